import dataclasses

import numpy as np
from PIL import Image

from exchange.conftest import drawn_mask
from tagmask.conventions import IGNORE
from tagmask.data.images import palette
from tagmask.exchange.formats import voc


def test_the_layout_is_that_of_the_challenge(parcel):
    assert voc.write(parcel) == []
    assert (parcel.folder / "ImageSets" / "Segmentation" / "train.txt").read_text() == "a__1\nb_2\n"
    assert (parcel.folder / "ImageSets" / "Segmentation" / "val.txt").read_text() == "c\n"
    assert (parcel.folder / "classes.txt").read_text() == "background\ncat\nbig dog\n"
    with Image.open(parcel.folder / "SegmentationClass" / "a__1.png") as image:
        assert image.mode == "P"
        mask = np.where(drawn_mask(0) == IGNORE, 255, drawn_mask(0))
        assert np.array_equal(np.array(image), mask)
        assert np.array_equal(np.array(image.convert("RGB")), palette()[mask])


def test_photographs_of_other_suffixes_are_counted(parcel):
    items = [dataclasses.replace(parcel.items[0], image="JPEGImages/a.png")]
    [note] = voc.other_suffixes(items)
    assert note.startswith("1 photographs are not called .jpg")
