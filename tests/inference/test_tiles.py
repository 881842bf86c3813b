import itertools
import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from inference.random_segmenter import CLASSES, written_segmenter
from shared_runs import tiny_recipe
from tagmask.contracts import Backbone, Normalization
from tagmask.data.images import image_size
from tagmask.data.windows import InMemory
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor, load
from tagmask.inference.tiles import Tiling, checked_tiles, overlap_of, tile_spans, tile_weights
from tagmask.networks.deeplab import DeepLab

SIDES = (64, 96, 160)
SIZES = (1, 33, 63, 64, 65, 95, 96, 97, 128, 160, 200, 257, 1000)


class NoBackbone(Backbone):
    normalization = Normalization((0.5,) * 3, (0.1,) * 3)

    def forward_levels(self, images):
        return []

    def stages(self):
        return []


class Convolutions(DeepLab):
    """Three classes from convolutions of 1 and 3 pixels: a pixel sees 2 pixels around it, less than tiles leave out."""

    def __init__(self):
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.classify = nn.Conv2d(8, 3, 1)
        self.backbone = NoBackbone()

    def forward(self, images):
        return self.classify(self.layers(images)) * 30


class Tagged(DeepLab):
    """Half of the columns look like class 1, whose tag is there if a pixel is white: what a tag head would tell."""

    def __init__(self):
        nn.Module.__init__(self)
        self.backbone = Convolutions().backbone
        self.maximum_over = ()

    def _logits(self, images):
        logits = torch.zeros(len(images), 2, *images.shape[2:])
        logits[:, 1, :, ::2] = 3
        return logits, 10 * images.amax(dim=(1, 2, 3))[:, None]


def predictor_of(network, tiles, classes):
    return Predictor(network, tiny_recipe().segmenter, CLASSES[:classes], torch.device("cpu"), tiles=tiles)


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows * columns).integers(0, 256, (rows, columns, 3), np.uint8)


def strips_of(image, side, posterior, num_logits):
    return list(Tiling(InMemory(image), side, posterior, num_logits).strips())


# ── along one axis ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", SIZES)
def test_tiles_cover_every_pixel_and_overlap_enough(size, side):
    spans = tile_spans(size, side)
    assert (spans[0][0], spans[-1][1]) == (0, size)
    assert all(start % 32 == 0 and end - start <= side for start, end in spans)
    assert all(end - start == side for start, end in spans[:-1])
    assert all(before[1] - after[0] >= min(overlap_of(side), size) for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", SIZES)
def test_weights_sum_to_one_at_every_pixel_and_are_0_at_borders_inside_the_image(size, side):
    total, quarter = np.zeros(size), overlap_of(side) // 4
    for (start, end), weight in zip(tile_spans(size, side), tile_weights(size, side), strict=True):
        total[start:end] += weight
        assert start == 0 or not weight[: quarter - 1].any()
        assert end == size or not weight[1 - quarter :].any()
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_window_rises_smoothly():
    weight = tile_weights(1000, 512)[0]
    assert abs(np.diff(weight)).max() < 0.03  # half a turn of a sine over 64 pixels


@pytest.mark.parametrize(("words", "nearest"), [("x", 64), ("-64", 64), ("0", 64), ("32", 64), ("500", 512), (70, 64)])
def test_sides_that_tiles_cannot_have_name_one_that_they_can(words, nearest):
    with pytest.raises(TagmaskError, match=rf"got {words}; take {nearest}$"):
        checked_tiles(words)


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(1, 1), (40, 64), (64, 65), (65, 64), (96, 96), (97, 128), (130, 200), (64, 300)])
def test_tiles_give_the_mask_of_the_whole_where_the_network_sees_less_than_they_overlap(size):
    image = noise(*size)
    whole, tiled = predictor_of(Convolutions(), "none", 2)(image), predictor_of(Convolutions(), 64, 2)(image)
    assert size == (1, 1) or len(np.unique(whole)) > 1
    np.testing.assert_array_equal(tiled, whole)


def test_probabilities_of_tiles_are_blended():
    """Every tile is sure of another class than its neighbours; where one has more weight, its class is taken."""
    sure = itertools.cycle([(1.0, 0.0), (0.0, 1.0)])

    def posterior(pixels):
        return np.ones((2, *pixels.shape[:2]), np.float32) * np.array(next(sure))[:, None, None]

    strips = strips_of(noise(64, 96), 64, posterior, 2)  # tiles of columns 0 to 63 and 32 to 95
    np.testing.assert_array_equal(np.concatenate(strips), np.repeat([[0] * 48 + [1] * 48], 64, axis=0))


def test_strips_end_where_the_next_row_of_tiles_begins():
    strips = strips_of(noise(130, 40), 64, lambda pixels: np.ones((2, *pixels.shape[:2]), np.float32), 2)
    assert [len(strip) for strip in strips] == [32, 32, 32, 34]
    assert all(strip.shape[1] == 40 and not strip.any() for strip in strips)


def test_a_tile_without_data_does_not_pass_the_network():
    class Half(InMemory):
        def known(self, rows, columns):
            return np.broadcast_to(np.arange(*columns) < 64, (rows[1] - rows[0], columns[1] - columns[0]))

    seen = []

    def posterior(pixels):
        seen.append(pixels.shape)
        return np.stack([np.zeros(pixels.shape[:2], np.float32), np.ones(pixels.shape[:2], np.float32)])

    mask = np.concatenate(list(Tiling(Half(noise(64, 192)), 64, posterior, 2).strips()))
    assert len(seen) == 2  # of those that begin at 0, 32, 64, 96 and 128
    assert mask[:, :64].all()
    assert not mask[:, 88:].any()


def test_a_tile_is_told_its_own_tags():
    image = np.zeros((64, 256, 3), np.uint8)
    image[30, 10] = 255  # the only sign of the class
    assert predictor_of(Tagged(), "none", 1)(image)[:, ::2].all()
    mask = predictor_of(Tagged(), 64, 1)(image)
    assert mask[:, :32:2].all()
    assert not mask[:, 64:].any()


def test_scales_mirror_images_and_the_crf_are_those_of_the_run(tmp_path, scenes):
    image = scenes.read_image(scenes.records[0])
    for number, settings in enumerate([(), ("segmenter.scales=[0.5,1.0]",), ("segmenter.crf=deeplab",)]):
        run = written_segmenter(tmp_path / str(number), *settings)
        np.testing.assert_array_equal(load(run, tiles=64)(image), load(run, tiles="none")(image))  # one tile


def test_tiles_are_of_the_images_own_scale(tmp_path):
    run, image = written_segmenter(tmp_path, "data.largest_side=32"), noise(64, 64)
    tiled, own = load(run, tiles=64), load(run, tiles="none")
    own.reading = replace(own.reading, largest_side=None)
    np.testing.assert_array_equal(tiled(image), own(image))


def test_paths_and_pixels_are_taken_in_tiles(tmp_path):
    from PIL import Image  # noqa: PLC0415

    predictor, image = load(written_segmenter(tmp_path), tiles="64"), noise(70, 130)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "a.tif")
    masks = [predictor(form) for form in (image, tmp_path / "a.png", str(tmp_path / "a.tif"))]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_kept_is_a_band_and_not_the_image():
    """Of 40 classes on 2048 x 256 pixels, 84 MB of probabilities, no more than the band of a row of tiles is held."""
    num_logits, image = 40, noise(2048, 256)

    def posterior(pixels):
        return np.full((num_logits, *pixels.shape[:2]), 1 / num_logits, np.float32)

    tracemalloc.start()
    for _ in Tiling(InMemory(image), 64, posterior, num_logits).strips():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    band = 4 * num_logits * overlap_of(64) * 256
    tile = 4 * num_logits * 64 * 64
    assert peak < 2 * band + 4 * tile + 1_000_000


PEAK = """
import json, resource, sys
from pathlib import Path
import torch
from tagmask.serving.predict_folder import predict_images
torch.set_num_threads(1)
outcome = predict_images(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), overlays=True, tiles=512)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([outcome.done, outcome.failed, peak]))
"""


@pytest.mark.slow
def test_a_large_mosaic_fits_into_4_gib(tmp_path):
    from PIL import Image  # noqa: PLC0415

    run, image = (
        written_segmenter(tmp_path / "run", "segmenter.flip=false", "backbone.output_stride=32"),
        tmp_path / "mosaic.jpg",
    )
    Image.fromarray(np.tile(noise(500, 500), (18, 24, 1))).save(image, quality=50)
    command = [sys.executable, "-c", PEAK, image, run, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written, failed, peak = json.loads(done.stdout.splitlines()[-1])
    assert (written, failed) == (1, [])
    assert image_size(tmp_path / "out" / "mosaic.jpg.png") == (9_000, 12_000)
    assert peak < 4 * 2**30
