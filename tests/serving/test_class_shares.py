import csv
import json

import numpy as np
import pytest

from tagmask.data.class_list import is_class_list
from tagmask.data.images import palette
from tagmask.errors import TagmaskError
from tagmask.serving.class_shares import ClassShares

MASK = np.array([[0, 2], [2, 2]], np.int32)


def rows(path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_classes_with_their_numbers_and_the_colours_of_the_masks(tmp_path):
    ClassShares(tmp_path / "out", ("cat", "a, b"))
    found = json.loads((tmp_path / "out/classes.json").read_text())
    assert [(entry["index"], entry["name"]) for entry in found] == [(0, "background"), (1, "cat"), (2, "a, b")]
    assert [entry["color"] for entry in found] == palette()[:3].tolist()
    assert is_class_list(tmp_path / "out/classes.json")


def test_a_line_for_each_class_that_an_image_shows(tmp_path):
    shares = ClassShares(tmp_path, ("cat", "a, b"))
    shares.add("x.jpg", MASK)
    shares.add('d/"y".png', np.zeros((3, 1), np.int32))
    shares.write()
    assert rows(tmp_path / "classes.csv") == [
        ["image", "class", "pixels", "share"],
        ["x.jpg", "background", "1", "0.250000"],
        ["x.jpg", "a, b", "3", "0.750000"],
        ['d/"y".png', "background", "3", "1.000000"],
    ]


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    shares = ClassShares(tmp_path, ("cat",))
    shares.add("\udcff.jpg", MASK % 2)
    shares.write()
    assert rows(tmp_path / "classes.csv")[1][0] == "\\udcff.jpg"


def test_own_files_are_written_anew(tmp_path):
    for _ in range(2):
        shares = ClassShares(tmp_path, ("cat",))
        shares.add("x.jpg", MASK % 2)
        shares.write()
    assert len(rows(tmp_path / "classes.csv")) == 2


@pytest.mark.parametrize(("name", "text"), [("classes.json", '{"mine": 1}'), ("classes.csv", "cat,dog\n")])
def test_files_of_somebody_else_are_kept(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(TagmaskError, match=rf"{name} was not written by tagmask predict.*--out"):
        ClassShares(tmp_path, ("cat",))
    assert (tmp_path / name).read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


def test_masks_of_other_classes_keep_their_names(tmp_path):
    ClassShares(tmp_path, ("cat", "dog"))
    before = (tmp_path / "classes.json").read_bytes()
    ClassShares(tmp_path, ("cat", "dog"))
    with pytest.raises(TagmaskError, match=r"other classes.*another --out folder"):
        ClassShares(tmp_path, ("apple", "zebra"))
    assert (tmp_path / "classes.json").read_bytes() == before


def test_images_of_earlier_calls_stay_in_the_table_while_their_masks_are_there(tmp_path):
    first = ClassShares(tmp_path, ("cat",))
    for name in ("a.jpg", "gone.jpg", "again.jpg"):
        first.add(name, np.ones((2, 2), np.int32))
    first.write()
    for name in ("a.jpg", "again.jpg"):
        (tmp_path / f"{name}.png").touch()
    second = ClassShares(tmp_path, ("cat",))
    second.add("again.jpg", np.zeros((2, 2), np.int32))
    second.write()
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert lines == ["image,class,pixels,share", "a.jpg,cat,4,1.000000", "again.jpg,background,4,1.000000"]
