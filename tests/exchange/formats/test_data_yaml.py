import pytest

from tagmask.errors import TagmaskError
from tagmask.exchange.formats.data_yaml import read_names, write_data_yaml
from tagmask.exchange.items import Parcel


def test_names_come_back_and_both_splits_have_a_folder(parcel):
    write_data_yaml(parcel, {0: "größe: x", 1: "no"}, masks_dir="masks")
    assert read_names(parcel.folder) == {0: "größe: x", 1: "no"}
    assert "train: images/train\nval: images/val\nmasks_dir: masks\n" in (parcel.folder / "data.yaml").read_text()
    write_data_yaml(Parcel(parcel.folder, parcel.classes, parcel.items[:2]), {})
    assert "train: images/train\nval: images/train\n" in (parcel.folder / "data.yaml").read_text()


def test_a_list_of_names_counts_from_zero(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [cat, dog]")
    assert read_names(tmp_path) == {0: "cat", 1: "dog"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: 3", "lists no classes"),
        ("[]", "lists no classes"),
        ("names: {a: cat}", "lists no classes"),
        ("names: [yes, no]", "put them into quotes"),
        ("names: !!python/object/apply:os.system [ls]", "cannot read"),
        ("names: [", "cannot read"),
    ],
)
def test_something_else_is_refused(text, words, tmp_path):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(TagmaskError, match=words):
        read_names(tmp_path)
