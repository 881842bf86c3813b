import numpy as np
import pytest
from PIL import Image

from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask, write_mask
from tagmask.data.mask_strips import geotiff_strips, png_strips
from tagmask.data.rasters import Placement, has_rasterio

needs_rasterio = pytest.mark.skipif(not has_rasterio(), reason="needs the extra geo (rasterio)")


def mask_of(num_classes: int) -> np.ndarray:
    return np.random.default_rng(0).integers(IGNORE, num_classes + 1, (23, 41)).astype(np.int32)


def strips_of(mask):
    return np.split(mask, [1, 8, 8, 20])


@pytest.mark.parametrize("num_classes", [3, 254, 300])
def test_strips_become_the_file_that_a_whole_mask_becomes(tmp_path, num_classes):
    mask = mask_of(num_classes)
    with png_strips(tmp_path / "strips.png", (23, 41), num_classes) as png:
        for strip in strips_of(mask):
            png.add(strip)
    write_mask(tmp_path / "whole.png", mask, None, num_classes)
    with Image.open(tmp_path / "strips.png") as ours, Image.open(tmp_path / "whole.png") as theirs:
        assert (ours.mode, ours.size, ours.getpalette()) == (theirs.mode, theirs.size, theirs.getpalette())
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))
    np.testing.assert_array_equal(read_mask(tmp_path / "strips.png", 255 if num_classes < 255 else 65535), mask)


def test_a_mask_that_is_not_finished_is_not_there(tmp_path):
    def stop():
        with png_strips(tmp_path / "a.png", (23, 41), 3) as png:
            png.add(mask_of(3)[:4])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []


@needs_rasterio
@pytest.mark.parametrize("num_classes", [3, 300])
def test_geotiffs_hold_numbers_place_and_what_means_no_label(tmp_path, num_classes):
    import rasterio  # noqa: PLC0415
    from affine import Affine  # noqa: PLC0415

    mask, transform = mask_of(num_classes), Affine(0.001, 0, 7.5, 0, -0.002, 47)
    place = Placement(rasterio.CRS.from_epsg(4326), transform)
    with geotiff_strips(tmp_path / "a.tif", (23, 41), num_classes, place) as file:
        for strip in strips_of(mask):
            file.add(strip)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.crs.to_epsg(), file.transform) == (4326, transform)
        assert file.nodata == (255 if num_classes == 3 else 65535)
        assert file.dtypes == ("uint8" if num_classes == 3 else "uint16",)
        np.testing.assert_array_equal(np.where(mask == IGNORE, file.nodata, mask), file.read(1))
        if num_classes == 3:
            assert file.colormap(1)[1] == (128, 0, 0, 255)
