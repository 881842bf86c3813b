import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.tiff_of_bands import CODES, numbers, tiff
from tagmask.data.bands import band_layout, chosen_bands, read_bands


def written(folder: Path, content: bytes) -> Path:
    (folder / "a.tif").write_bytes(content)
    return folder / "a.tif"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("compression", "predictor"), [("none", 1), ("deflate", 1), ("deflate", 2)])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_all_bands_are_read_as_they_are(tmp_path, dtype, separate, tile, compression, predictor, order):
    values = numbers(dtype)
    path = written(tmp_path, tiff(values, compression, predictor, separate, tile, order))
    layout = band_layout(path)
    assert (layout.size, layout.bands, layout.bits) == ((21, 34), 5, values.dtype.itemsize * 8)
    layout.refuse_damaged(path)
    np.testing.assert_array_equal(read_bands(path, layout), values)


@pytest.mark.parametrize("dtype", ["float32", "int32", "int16"])
def test_other_kinds_of_numbers(tmp_path, dtype):
    values = numbers(dtype)
    path = written(tmp_path, tiff(values))
    np.testing.assert_array_equal(read_bands(path, band_layout(path)), values)


def test_what_is_no_tiff_has_no_layout(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    for name in ("a.png", "b.tif", "c.tif"):
        assert band_layout(tmp_path / name) is None
    assert band_layout(tmp_path) is None


def test_grey_and_colour_files_have_a_layout_too(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.tif")
    assert band_layout(tmp_path / "a.tif").bands == 3


@pytest.mark.parametrize(("code", "predictor"), [(7, 1), (8, 3), (34712, 1)])
def test_ways_of_storing_that_do_not_keep_bands_apart_are_refused(tmp_path, code, predictor, monkeypatch):
    monkeypatch.setitem(CODES, "none", code)
    path = written(tmp_path, tiff(numbers("uint8"), predictor=predictor))
    with pytest.raises(ValueError, match=f"compression {code}, predictor {predictor}.*deflate"):
        read_bands(path, band_layout(path))


def test_a_file_that_is_cut_off_is_refused_before_it_is_decoded(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(buffer, "TIFF")
    content = buffer.getvalue()
    path = written(tmp_path, content[:-100])
    with pytest.raises(OSError, match=r"cut off: \d+ bytes are missing"):
        band_layout(path).refuse_damaged(path)


def test_large_numbers_in_the_other_order_would_come_out_wrong(tmp_path):
    path = written(tmp_path, tiff(numbers("float32"), "deflate", order=">"))
    with pytest.raises(ValueError, match="Motorola"):
        band_layout(path).refuse_damaged(path)


def test_bands_are_chosen_by_their_place():
    values = numbers("uint8")
    np.testing.assert_array_equal(chosen_bands(values, (4, 0, 0)), values[:, :, [4, 0, 0]])
    for wrong in ((0, 1, 5), (-1, 0, 1)):
        with pytest.raises(ValueError, match="5 bands, 0 to 4"):
            chosen_bands(values, wrong)
