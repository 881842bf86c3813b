"""YOLO's polygons, checked with a reader of other people's."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, label

from exchange.conftest import CLASSES, drawn_mask
from tagmask.errors import TagmaskError
from tagmask.exchange.formats import yolo
from tagmask.exchange.items import Item, Parcel


def test_one_pixel_is_one_line(tmp_path):
    mask = np.array([[0, 2]], np.int32)
    yolo.write(Parcel(tmp_path, CLASSES, [Item("1", "1", "val", False, None, "1.jpg", lambda: mask)]))
    text = (tmp_path / "labels" / "val" / "1.txt").read_text()
    assert text == "1 0.550000 0.100000 0.950000 0.100000 0.950000 0.900000 0.550000 0.900000\n"
    yaml = (tmp_path / "data.yaml").read_text()
    assert yaml == "train: images/val\nval: images/val\nnames:\n  0: cat\n  1: big dog\n"


def test_what_has_no_place_is_said(parcel):
    [note] = yolo.write(parcel)
    assert note.startswith("3 masks have pixels without label")


def test_supervision_draws_the_same_regions(parcel):
    """It rounds corners and takes the pixels under the outline for inside: a pixel more at the right and below."""
    supervision = pytest.importorskip("supervision", reason="the group `formats` is not installed")
    yolo.write(parcel)
    images = parcel.folder / "images" / "train"
    images.mkdir(parents=True)
    Image.new("RGB", (16, 12)).save(images / "a__1.png")
    [(_, _, found)] = supervision.DetectionDataset.from_yolo(
        str(images), str(parcel.folder / "labels" / "train"), str(parcel.folder / "data.yaml"), force_masks=True
    )
    for number in (1, 2):
        expected = drawn_mask(0) == number
        drawn = found.mask[found.class_id == number - 1].any(axis=0)
        assert len(found.mask[found.class_id == number - 1]) == label(expected)[1]
        assert not (expected & ~drawn).any()
        assert not (drawn & ~binary_dilation(expected, np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])[::-1, ::-1])).any()


def folder_with(tmp_path, lines, names="names: [cat, big dog]"):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1.txt").write_text(lines)
    (tmp_path / "data.yaml").write_text(names)
    return tmp_path


def test_smaller_regions_lie_over_larger_ones_and_thin_ones_are_counted(tmp_path):
    folder = folder_with(tmp_path, "1 0 0 .5 0 .5 1 0 1\n\n0 0 0 1 0 1 1 0 1\n1 .1 .1\n")
    found = yolo.read(folder, CLASSES)
    assert found.notes == ["1 regions have fewer than three corners; they cover nothing and are left out."]
    assert found.masks[0].read((1, 2)).tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 .5 .5 .2 .2", "line 1 is a box"),
        ("2 0 0 1 0 1 1", r"class 2, but data.yaml has \[0, 1\]"),
        ("cat 0 0 1 0 1 1", "expected a class and x y"),
        ("0 0 0 1 0 1 nan", "numbers from 0 to 1"),
        ("0 0 0 640 0 640 480", "numbers from 0 to 1"),
        ("0 0 0 1 0 1 1 1", "pairs of numbers"),
    ],
)
def test_other_lines_are_refused(line, words, tmp_path):
    with pytest.raises(TagmaskError, match=words):
        yolo.read(folder_with(tmp_path, line), CLASSES)
