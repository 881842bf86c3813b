import numpy as np
import pytest
from PIL import Image

from tagmask.config import CocoData, FolderData
from tagmask.data.stretch import Stretch
from tagmask.errors import TagmaskError
from tagmask.inference.reading import Reading, reading_of


@pytest.fixture
def file(tmp_path):
    """A photograph of 2 rows and 3 columns, each pixel with a red of its own, that EXIF turns by a quarter."""
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[..., 0] = np.arange(0, 60, 10).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def test_photographs_are_upright_unless_they_are_taken_as_stored(file):
    assert Reading().photograph(file)[..., 0].tolist() == [[30, 0], [40, 10], [50, 20]]
    assert Reading(as_stored=True).photograph(file)[..., 0].tolist() == [[0, 10, 20], [30, 40, 50]]


def test_bands_are_taken_in_their_order(file):
    assert Reading(bands=(1, 1, 0), as_stored=True).photograph(file)[0, 1].tolist() == [0, 0, 10]


@pytest.mark.parametrize("as_stored", [False, True])
def test_windows_are_parts_of_the_photograph(file, as_stored):
    reading = Reading(as_stored=as_stored)
    whole = reading.photograph(file)
    with reading.windows(file) as source:
        assert source.size == whole.shape[:2]
        assert np.array_equal(source.read((0, 2), (1, 2)), whole[0:2, 1:2])


def test_settings_of_a_data_set_are_those_of_the_reading():
    data = FolderData(bands=(2, 1, 0), largest_side=64, exif="as_stored", stretch=(2, 98))
    assert reading_of(data) == Reading((2, 1, 0), 64, True, Stretch((2, 98)))
    assert reading_of(CocoData(stretch_values=(0, 3000))) == Reading(stretch=Stretch(values=((0, 3000),)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TagmaskError, match=r"none\.png"):
        Reading().photograph(tmp_path / "none.png")
