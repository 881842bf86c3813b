import dataclasses

import numpy as np
import pytest
from PIL import Image

from exchange.conftest import CLASSES, drawn_mask
from tagmask.errors import TagmaskError
from tagmask.exchange.formats import cvat
from tagmask.exchange.items import Parcel


def test_the_layout_is_that_of_the_documentation(parcel):
    items = [dataclasses.replace(parcel.items[0], name="a b/1")]
    [note] = cvat.write(Parcel(parcel.folder, CLASSES, items))
    assert "needs the label 'unlabelled'" in note
    assert (parcel.folder / "labelmap.txt").read_text().splitlines() == [
        "# label:color_rgb:parts:actions",
        *("background:0,0,0::", "cat:128,0,0::", "big dog:0,128,0::", "unlabelled:224,224,192::"),
    ]
    assert (parcel.folder / "ImageSets" / "Segmentation" / "default.txt").read_text() == '"a b/1"\n'
    with Image.open(parcel.folder / "SegmentationObject" / "a b" / "1.png") as image:
        objects = np.array(image)
    assert np.array_equal(objects, np.array([0, 1, 2, 3])[drawn_mask(0)])  # IGNORE is the last


def test_colours_that_cvat_has_chosen_are_read(parcel):
    """CVAT writes the colours of its labels, in masks of three bytes a pixel."""
    parcel = Parcel(parcel.folder, CLASSES, parcel.items[:1])
    cvat.write(parcel)
    (parcel.folder / "labelmap.txt").write_text("background:0,0,0::\nbig dog:250,50,83:legs:walk\ncat:51,221,255::\n")
    colours = np.array([[[0, 0, 0], [51, 221, 255], [250, 50, 83]]], np.uint8)
    Image.fromarray(colours).save(parcel.folder / "SegmentationClass" / "a__1.png")
    [arrival] = cvat.read(parcel.folder, CLASSES).masks
    assert arrival.read((1, 3)).tolist() == [[0, 1, 2]]


def test_a_colour_of_no_label_is_refused(parcel):
    cvat.write(parcel)
    (parcel.folder / "labelmap.txt").write_text("background:0,0,0::\ncat:128,0,0::\n")
    with pytest.raises(ValueError, match=r"the colours \(0, 128, 0\), \(224, 224, 192\), which labelmap.txt"):
        cvat.read(parcel.folder, CLASSES).masks[0].read((12, 16))


def test_images_without_a_mask_are_counted(parcel):
    cvat.write(parcel)
    (parcel.folder / "SegmentationClass" / "c.png").unlink()
    assert cvat.read(parcel.folder, CLASSES).notes == [
        "1 images are listed without a mask, and are left as they are: c."
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cat", "is no label"),
        ("cat:1,2,999::", "is no label"),
        ("dog:128,0,0::", "gives one colour to 'cat' and 'dog'"),
    ],
)
def test_a_damaged_label_map_is_refused(line, words, parcel):
    cvat.write(parcel)
    (parcel.folder / "labelmap.txt").write_text(f"cat:128,0,0::\n{line}\n")
    with pytest.raises(TagmaskError, match=words):
        cvat.read(parcel.folder, ("cat", "dog"))


@pytest.mark.parametrize("name", ["a:b", "#a"])
def test_names_that_a_label_map_cannot_hold_are_refused(name, tmp_path):
    with pytest.raises(TagmaskError, match="hold no colon"):
        cvat.write(Parcel(tmp_path, (name,), []))
