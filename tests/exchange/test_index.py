import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.data.datasets.paths import any_case
from tagmask.errors import TagmaskError
from tagmask.exchange.index import Index, Names, file_names, read_index, write_index

ids = st.lists(st.text(st.sampled_from('aAäÄ._-: /\\"1'), min_size=1, max_size=4), unique=True, max_size=12)


@pytest.mark.parametrize("flat", [True, False])
@given(image_ids=ids)
def test_no_two_images_have_the_same_name_on_any_system(flat, image_ids):
    names = file_names(image_ids, flat)
    assert list(names) == image_ids
    assert len({any_case(name) for name in names.values()}) == len(image_ids)
    for name in names.values():
        assert not set(':"\\') & set(name)
        assert not any(part in ("", ".", "..") for part in name.split("/"))
        assert not flat or not set("/ ") & set(name)


@given(ids)
def test_every_name_finds_its_image(image_ids):
    for flat in (True, False):
        names = file_names(image_ids, flat)
        index = Names({name: image_id for image_id, name in names.items()}, image_ids)
        assert [index.find(name) for name in names.values()] == image_ids


def test_folders_stay_folders_where_they_are_wanted():
    assert file_names(["a b/1", "a b/1 "], flat=False) == {"a b/1": "a b/1", "a b/1 ": "a b/1-2"}


def test_long_names_are_cut_and_stay_different():
    names = file_names(["ä" * 300, "ä" * 301], flat=True)
    assert [len(name.encode()) for name in names.values()] == [200, 202]


def test_without_an_index_names_are_looked_for():
    names = Names({}, ["cats/1", "dogs/1", "dogs/2"])
    assert names.find("cats/1") == "cats/1"
    assert names.find("images\\dogs\\1") == "dogs/1"
    assert names.find("cats__1") == "cats/1"
    assert names.find("train/2") == "dogs/2"
    assert names.find("../../3") is None
    with pytest.raises(ValueError, match="1 may be cats/1 or dogs/1; put tagmask"):
        names.find("train/1")


def test_the_index_goes_before_names():
    assert Names({"1": "dogs/1", "gone": "cow"}, ["1", "dogs/1"]).find("labels/1") == "dogs/1"
    assert Names({"gone": "cow"}, ["1"]).find("gone") is None


def test_composed_and_decomposed_letters_are_the_same():
    assert Names({"gr\u00f6\u00dfe": "x"}, ["x"]).find("gro\u0308\u00dfe") == "x"


def test_an_index_is_read_again_and_of_another_format_refused(tmp_path):
    index = Index(format="voc", classes=["cat"], images={"a": "b/a"})
    assert read_index(tmp_path, "voc") is None
    write_index(tmp_path, index)
    (tmp_path / "x.json").touch()
    assert read_index(tmp_path, "voc") == read_index(tmp_path / "x.json", "voc") == index
    with pytest.raises(TagmaskError, match="was written as voc; read it with --from voc"):
        read_index(tmp_path, "coco")


@pytest.mark.parametrize("content", [[], {"tagmask": 2}, {"images": {"a": 3}}, {"format": "zip"}])
def test_a_damaged_index_is_refused(content, tmp_path):
    (tmp_path / "tagmask.json").write_text(json.dumps(content))
    with pytest.raises(TagmaskError, match="restore it, or delete it"):
        read_index(tmp_path, "voc")
