import numpy as np
import pytest
from PIL import Image

from data.geotiffs import geotiff
from inference.random_segmenter import written_segmenter
from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask
from tagmask.data.rasters import has_rasterio
from tagmask.data.windows import InMemory
from tagmask.inference import predictor
from tagmask.masks.overlays import overlay_mask
from tagmask.serving import mask_files, predict_folder
from tagmask.serving.mask_files import known_strips, write_strips
from tagmask.serving.predict_folder import predict_images

needs_rasterio = pytest.mark.skipif(not has_rasterio(), reason="needs the extra geo (rasterio)")


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (rows, columns, 3), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written_segmenter(tmp_path_factory.mktemp("run"))


@pytest.fixture
def mosaic(tmp_path):
    """A GeoTIFF of 150 x 100 pixels without data in its upper rows."""
    pixels = noise(150, 100)
    pixels[:20] = 0
    (tmp_path / "in").mkdir()
    return geotiff(tmp_path / "in" / "a.tif", pixels, nodata=0)


def test_strips_are_counted_written_and_shown(tmp_path):
    mask = np.array([[0, 1, 2, IGNORE]] * 6, np.int32)
    source = InMemory(noise(6, 4))
    counts = write_strips(tmp_path / "a.png", source, [mask[:1], mask[1:]], None, 2, overlays=True)
    assert counts.tolist() == [6, 6, 6]
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png.png", 255), mask)
    with Image.open(tmp_path / "a.png_overlay.jpg") as overlay:
        assert overlay.size == (4, 6)


@pytest.mark.parametrize("height", [1, 7, 40])
def test_overlays_of_strips_show_the_mask_at_the_size_of_the_overview(tmp_path, monkeypatch, height):
    monkeypatch.setattr(mask_files, "largest_factor", lambda size: 0.3)
    shown = []
    monkeypatch.setattr(
        mask_files, "overlay_mask", lambda pixels, mask: shown.append(mask) or overlay_mask(pixels, mask)
    )
    mask = np.random.default_rng(0).integers(0, 3, (40, 61)).astype(np.int32)
    strips = [mask[top : top + height] for top in range(0, 40, height)]
    write_strips(tmp_path / "a.png", InMemory(noise(40, 61)), strips, None, 2, overlays=True)
    np.testing.assert_array_equal(shown[0], mask_files.shrink_mask(mask, (12, 18)))


def test_nothing_is_left_of_a_mask_that_is_not_finished(tmp_path):
    def strips():
        yield np.zeros((3, 4), np.int32)
        raise MemoryError

    with pytest.raises(MemoryError):
        write_strips(tmp_path / "a.png", InMemory(noise(6, 4)), strips(), None, 2, overlays=True)
    assert list(tmp_path.iterdir()) == []


def test_pixels_without_data_have_no_label():
    class Gap(InMemory):
        def known(self, rows, columns):
            return np.add.outer(np.arange(*rows), np.arange(*columns)) > 1

    strips = known_strips(Gap(noise(2, 3)), [np.ones((1, 3), np.int32), np.ones((1, 3), np.int32)])
    assert np.concatenate(list(strips)).tolist() == [[IGNORE, IGNORE, 1], [IGNORE, 1, 1]]


@needs_rasterio
@pytest.mark.parametrize("tiles", ["auto", "none", 64])
def test_masks_of_images_on_a_map_lie_there_too(run, mosaic, tmp_path, tiles):
    import rasterio  # noqa: PLC0415

    outcome = predict_images(mosaic.parent, run, tmp_path / "out", overlays=True, tiles=tiles)
    assert (outcome.done, outcome.failed, outcome.notes) == (1, (), ())
    with rasterio.open(mosaic) as before, rasterio.open(tmp_path / "out/a.tif_mask.tif") as after:
        assert (after.crs, after.transform) == (before.crs, before.transform)
        assert (after.shape, after.nodata) == ((150, 100), 255)
        mask = after.read(1).astype(int)
    assert (mask[:20] == 255).all()
    assert mask[20:].max() <= 4
    np.testing.assert_array_equal(np.where(mask == 255, IGNORE, mask), read_mask(tmp_path / "out/a.tif.png", 255))
    rows = (tmp_path / "out/classes.csv").read_text().splitlines()[1:]
    assert sum(int(row.split(",")[2]) for row in rows) == 130 * 100


@needs_rasterio
def test_masks_on_a_map_are_no_photographs(run, mosaic):
    for _ in range(2):
        outcome = predict_images(mosaic.parent, run, mosaic.parent, overlays=True)
        assert outcome.done == 1
    assert outcome.notes == ("3 masks and overlays of an earlier call are passed over.",)


@needs_rasterio
def test_large_images_on_a_map_are_taken_in_tiles_and_a_note_says_so(run, mosaic, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "LARGEST", 100)
    outcome = predict_images(mosaic, run, tmp_path / "out", overlays=False)
    assert len(outcome.notes) == 1
    assert "in tiles of 256 pixels at their own scale: a.tif. With --tiles none" in outcome.notes[0]


@needs_rasterio
def test_without_rasterio_a_note_names_the_extra(run, mosaic, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_folder, "has_rasterio", lambda: False)
    monkeypatch.setattr(predict_folder, "placement", lambda path: None)
    outcome = predict_images(mosaic, run, tmp_path / "out", overlays=False)
    assert "pip install 'tagmask[geo]'): a.tif" in outcome.notes[0]
    assert not (tmp_path / "out/a.tif_mask.tif").exists()


@needs_rasterio
def test_a_part_that_cannot_be_read_is_one_images_failure(run, mosaic, tmp_path):
    Image.fromarray(noise(30, 30)).save(mosaic.parent / "b.png")
    large = geotiff(mosaic, noise(150, 100), compress="deflate")
    content = bytearray(large.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    mosaic.write_bytes(content)
    outcome = predict_images(mosaic.parent, run, tmp_path / "out", overlays=False, tiles=64)
    assert outcome.done == 1
    assert "a.tif" in outcome.failed[0]
    assert not (tmp_path / "out/a.tif.png").exists()
