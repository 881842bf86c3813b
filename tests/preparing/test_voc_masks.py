import io

import numpy as np
import pytest
from PIL import Image

import published_trees as published
from tagmask.data.images import palette
from tagmask.preparing.voc_masks import (
    NO_PHOTOGRAPH,
    UNREADABLE,
    WRONG_PALETTE,
    WRONG_SIZE,
    WRONG_VALUES,
    from_mat,
    from_png,
)

MASK = np.array([[0, 1, 20], [255, 5, 0]], np.uint8)


@pytest.fixture
def photograph(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.jpg")
    return tmp_path / "a.jpg"


def read(content):
    with Image.open(io.BytesIO(content)) as image:
        return image.mode, np.array(image), np.array(image.getpalette()).reshape(-1, 3)


def saved(path, mask, colours=None):
    image = Image.fromarray(mask)
    if colours is not None:
        image.putpalette(colours.tobytes())
    image.save(path)
    return path


def test_a_mask_of_voc_is_taken_as_it_is(tmp_path, photograph):
    published.indexed(tmp_path / "a.png", MASK)
    found = from_png(tmp_path / "a.png", photograph)
    assert (found.content, found.faults) == (None, ())


def test_grey_masks_and_those_of_sbd_come_under_the_palette(tmp_path, photograph):
    published.sbd_mask(tmp_path / "a.mat", MASK % 255)
    grey = from_png(saved(tmp_path / "a.png", MASK), photograph)
    for found, expected in ((grey, MASK), (from_mat(tmp_path / "a.mat", photograph), MASK % 255)):
        assert found.faults == ()
        mode, pixels, colours = read(found.content)
        assert mode == "P"
        assert pixels.tolist() == expected.tolist()
        assert np.array_equal(colours, palette()[: len(colours)])


@pytest.mark.parametrize("turned", [palette()[::-1], np.roll(palette(), 1, axis=1)])
def test_another_palette_and_colours_are_faults(tmp_path, photograph, turned):
    assert from_png(saved(tmp_path / "a.png", MASK, turned), photograph).faults == ((WRONG_PALETTE, ""),)
    saved(tmp_path / "b.png", np.zeros((2, 3, 3), np.uint8))
    assert from_png(tmp_path / "b.png", photograph).faults == ((WRONG_PALETTE, ""),)


def test_all_faults_of_a_mask_are_named(tmp_path, photograph):
    published.indexed(tmp_path / "a.png", np.array([[0, 21], [1, 2], [99, 254]], np.uint8))
    found = from_png(tmp_path / "a.png", photograph)
    assert found.content is None
    assert found.faults == (
        (WRONG_VALUES, " (21, 99, 254)"),
        (WRONG_SIZE, " (mask 3 x 2, photograph 2 x 3 rows x columns)"),
    )


def test_files_that_cannot_be_read(tmp_path, photograph):
    ((what, words),) = from_png(tmp_path / "none.png", photograph).faults
    assert what == UNREADABLE
    assert "no such file" in words
    published.indexed(tmp_path / "a.png", MASK)
    photograph.write_bytes(b"")
    assert from_png(tmp_path / "a.png", photograph).faults == ((NO_PHOTOGRAPH, ""),)
