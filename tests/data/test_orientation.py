from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagmask.data.images import image_size, read_image
from tagmask.data.orientation import Shape, as_stored, read_photograph, shape_of


def photograph(path: Path, orientation: int | None) -> np.ndarray:
    """Write a photograph of 3 x 5 pixels with an EXIF entry; returns its pixels as stored."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_photograph_is_turned_back_to_how_it_is_stored(tmp_path: Path, orientation: int):
    stored = photograph(tmp_path / "a.png", orientation)
    upright = read_image(tmp_path / "a.png")
    shape = shape_of(tmp_path / "a.png")
    assert shape is not None
    assert shape == Shape((3, 5), orientation)
    assert upright.shape[:2] == shape.upright
    np.testing.assert_array_equal(as_stored(upright, shape.orientation), stored)


@pytest.mark.parametrize("orientation", [None, 0, 9])
def test_other_entries_turn_nothing(tmp_path: Path, orientation: int | None):
    photograph(tmp_path / "a.png", orientation)
    assert shape_of(tmp_path / "a.png") == Shape((3, 5), 1)


def test_files_that_are_no_images_have_no_shape(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"text")
    assert shape_of(tmp_path / "a.png") is None
    assert shape_of(tmp_path / "b.png") is None


def test_a_photograph_is_read_upright_or_as_it_is_stored(tmp_path):
    image, exif = Image.new("RGB", (3, 2), (9, 9, 9)), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_photograph(tmp_path / "a.jpg", None, stored=False).shape == (3, 2, 3)
    assert read_photograph(tmp_path / "a.jpg", None, stored=True).shape == (2, 3, 3)


@pytest.mark.parametrize("bands", [None, (0, 1, 2)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_files_are_turned_once(tmp_path, orientation, bands):
    pixels = photograph(tmp_path / "a.png", orientation)
    photograph(tmp_path / "a.tif", orientation)
    upright = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", bands), upright)
    assert image_size(tmp_path / "a.tif") == upright.shape[:2]
    np.testing.assert_array_equal(read_photograph(tmp_path / "a.tif", bands, stored=True), pixels)
    assert shape_of(tmp_path / "a.tif") == shape_of(tmp_path / "a.png") == Shape((3, 5), orientation)
