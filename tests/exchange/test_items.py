import numpy as np
import pytest
from PIL import Image

from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.exchange.items import (
    class_numbers,
    json_file,
    names_of_numbers,
    numbered_masks,
    pictures,
    regions,
    translated,
)


def test_numbers_have_names():
    assert names_of_numbers(["cat", "unlabelled"]) == {0: "background", 1: "cat", 2: "unlabelled", 255: "unlabelled_"}


def test_regions_are_classes_and_last_what_has_no_label():
    assert regions(np.array([[2, 0, IGNORE], [1, 2, 2]], np.int32)) == [1, 2, IGNORE]
    assert regions(np.zeros((1, 1), np.int32)) == []


def test_a_class_called_like_what_has_no_label_is_a_class():
    names = {1: "unlabelled", 2: "unlabelled_", 3: "background"}
    assert class_numbers(names, ["unlabelled"], "x") == {1: 1, 2: IGNORE, 3: 0}


def test_unknown_numbers_are_refused():
    with pytest.raises(ValueError, match="it holds 3, 7; expected 0, 1"):
        translated(np.array([[0, 3, 7]], np.int32), {0: 0, 1: 1})


def test_pictures_are_found_at_any_depth_and_hidden_ones_are_none(tmp_path):
    for name in ("b.png", "a/c.png", "._b.png", "d.txt", "e.png.d/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, _ in pictures(tmp_path)] == ["a/c", "b", "e.png.d/f"]


def test_a_picture_of_very_many_pixels_is_refused_before_it_is_read(tmp_path, monkeypatch):
    Image.new("P", (400, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr("tagmask.exchange.items.read_mask", lambda *_: pytest.fail("it was read"))
    [arrival] = numbered_masks(tmp_path, {0: 0})
    with pytest.raises(ValueError, match="300 x 400 rows x columns and its image 3 x 4"):
        arrival.read((3, 4))


def test_the_only_json_file_beside_the_index_is_meant(tmp_path):
    (tmp_path / "tagmask.json").touch()
    with pytest.raises(TagmaskError, match="holds none"):
        json_file(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.json").touch()
    assert json_file(tmp_path) == json_file(tmp_path / "x" / "a.json") == tmp_path / "x" / "a.json"
    (tmp_path / "b.json").touch()
    with pytest.raises(TagmaskError, match=r"holds b\.json, x/a\.json; name the file"):
        json_file(tmp_path)
