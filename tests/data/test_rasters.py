import itertools

import numpy as np
import pytest
from PIL import Image

from data.geotiffs import geotiff
from data.tiff_of_bands import numbers, tiff
from tagmask.data import rasters
from tagmask.data.images import read_image
from tagmask.data.rasters import DamagedPartError, is_placed, open_windows, placement, raster_size
from tagmask.data.stretch import Stretch
from tagmask.errors import TagmaskError

needs_rasterio = pytest.mark.skipif(not rasters.has_rasterio(), reason="needs the extra geo (rasterio)")
PARTS = list(itertools.pairwise((0, 8, 9, 21))), list(itertools.pairwise((0, 20, 34)))


@pytest.fixture
def without_rasterio(monkeypatch):
    monkeypatch.setattr(rasters, "has_rasterio", lambda: False)


def put_together(source):
    rows = [np.concatenate([source.read(row, column) for column in PARTS[1]], axis=1) for row in PARTS[0]]
    return np.concatenate(rows)


# ── parts of files ───────────────────────────────────────────────────────────────────────────────────────────────────


@needs_rasterio
@pytest.mark.parametrize("stretch", [Stretch(), Stretch((2, 98)), Stretch(None, ((10, 200),))])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_parts_of_bands_are_what_training_reads(tmp_path, dtype, stretch):
    (tmp_path / "a.tif").write_bytes(tiff(numbers(dtype), "deflate", tile=16))
    with open_windows(tmp_path / "a.tif", (4, 0, 2), stretch=stretch) as source:
        assert isinstance(source, rasters.Raster)
        np.testing.assert_array_equal(put_together(source), read_image(tmp_path / "a.tif", (4, 0, 2), stretch))


@needs_rasterio
def test_floats_are_judged_by_the_largest_of_the_whole_image(tmp_path, monkeypatch):
    monkeypatch.setattr(rasters, "STRIP", 4)
    values = numbers("float32")
    values[-1, -1] = 200.0  # the other parts alone would be taken as 0..1
    (tmp_path / "a.tif").write_bytes(tiff(values))
    with open_windows(tmp_path / "a.tif", (0, 1, 2)) as source:
        np.testing.assert_array_equal(put_together(source), read_image(tmp_path / "a.tif", (0, 1, 2)))


@needs_rasterio
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16", "F", "P", "1", "CMYK", "LA"])
def test_parts_of_pictures_are_what_training_reads(tmp_path, mode):
    values = numbers("uint8", bands=4)
    picture = Image.fromarray(values[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(values)
    (picture if mode == "I;16" else picture.convert(mode) if mode != "RGBA" else picture).save(tmp_path / "a.tif")
    with open_windows(tmp_path / "a.tif") as source:
        assert isinstance(source, rasters.Raster) == (mode in ("RGB", "RGBA", "L", "I;16", "F"))
        np.testing.assert_array_equal(put_together(source), read_image(tmp_path / "a.tif"))


def test_files_of_other_kinds_and_turned_ones_are_read_as_a_whole(tmp_path):
    picture, exif = Image.fromarray(numbers("uint8", bands=3)), Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.tif", exif=exif)
    for name, size in (("a.png", (21, 34)), ("b.tif", (34, 21))):
        with open_windows(tmp_path / name) as source:
            assert (type(source).__name__, source.size) == ("InMemory", size)


def test_without_rasterio_files_are_read_as_a_whole(tmp_path, without_rasterio):
    (tmp_path / "a.tif").write_bytes(tiff(numbers("uint16")))
    with open_windows(tmp_path / "a.tif", (0, 1, 2)) as source:
        np.testing.assert_array_equal(put_together(source), read_image(tmp_path / "a.tif", (0, 1, 2)))
    assert (placement(tmp_path / "a.tif"), raster_size(tmp_path / "a.tif")) == (None, None)


def test_what_only_rasterio_reads_names_the_extra(tmp_path, without_rasterio):
    (tmp_path / "a.tif").write_bytes(b"II+\0" + bytes(100))
    expected = pytest.raises(
        TagmaskError, match=r"BigTIFF, and rasterio is not installed: pip install 'tagmask\[geo\]'"
    )
    with expected, open_windows(tmp_path / "a.tif"):
        pass


@needs_rasterio
def test_big_tiffs_are_read(tmp_path):
    values = numbers("uint16", bands=4)
    path = geotiff(tmp_path / "a.tif", values, bigtiff="yes")
    assert path.read_bytes()[:4] == b"II+\0"
    assert raster_size(path) == (21, 34)
    with open_windows(path, (0, 1, 2), stretch=Stretch(None, ((0, 255),))) as source:
        np.testing.assert_array_equal(put_together(source), values[:, :, :3])


@needs_rasterio
def test_there_is_a_limit(tmp_path, monkeypatch):
    path = geotiff(tmp_path / "a.tif", numbers("uint8", bands=3))
    monkeypatch.setattr(rasters, "LARGEST_IN_PARTS", 21 * 34 - 1)
    with pytest.raises(TagmaskError, match=r"21 x 34 rows x columns; at most 713 pixels"), open_windows(path):
        pass


@needs_rasterio
def test_a_damaged_part_is_named(tmp_path):
    path = geotiff(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (600, 64, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:-40_000])
    with open_windows(path) as source:
        if isinstance(source, rasters.Raster):
            with pytest.raises(DamagedPartError, match=r"a\.tif"):
                source.read((0, 600), (0, 64))


@needs_rasterio
def test_an_overview_is_averaged(tmp_path):
    values = np.zeros((40, 60, 3), np.uint8)
    values[:, ::2] = 200
    with open_windows(geotiff(tmp_path / "a.tif", values)) as source:
        assert source.overview((4, 6)).tolist() == np.full((4, 6, 3), 100).tolist()


# ── maps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_rasterio
def test_where_there_are_no_data(tmp_path):
    values = np.ones((6, 5, 3), np.uint8)
    values[:2] = 0
    with open_windows(geotiff(tmp_path / "a.tif", values, nodata=0)) as source:
        np.testing.assert_array_equal(source.known((1, 4), (0, 5)), np.repeat([[False], [True], [True]], 5, axis=1))
    with open_windows(geotiff(tmp_path / "b.tif", values)) as source:
        assert source.known((1, 4), (0, 5)) is None


@needs_rasterio
def test_a_place_on_a_map_is_known(tmp_path):
    path = geotiff(tmp_path / "a.tif", numbers("uint8", bands=3))
    place = placement(path)
    assert place.crs.to_epsg() == 32632
    assert place.transform @ (2, 1) == (500_020, 5_299_990)
    assert is_placed(path)


@needs_rasterio
def test_a_place_on_a_map_is_known_without_rasterio_too(tmp_path, monkeypatch):
    path = geotiff(tmp_path / "a.tif", numbers("uint8", bands=3))
    monkeypatch.setattr(rasters, "has_rasterio", lambda: False)
    assert is_placed(path)
    assert placement(path) is None


def test_photographs_lie_nowhere(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.tif")
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    assert not any(is_placed(tmp_path / name) for name in ("a.tif", "a.png", "none.tif"))
