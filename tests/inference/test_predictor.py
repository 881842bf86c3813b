import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tagmask
from data.tiff_of_bands import numbers, tiff
from inference.random_segmenter import CLASSES, written_segmenter
from shared_runs import SIZE, tiny_recipe
from tagmask.data.images import read_image
from tagmask.data.stretch import stretch_of
from tagmask.errors import TagmaskError
from tagmask.inference import predictor
from tagmask.inference.predictor import load
from tagmask.networks.saved import save_weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written_segmenter(tmp_path_factory.mktemp("run"))


@pytest.fixture
def image(scenes):
    return scenes.read_image(scenes.records[0])[:40]


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_or_its_file_loads_to_the_same_callable(run, image):
    predictors = [load(run), load(str(run)), load(run / "segmenter.safetensors", "cpu"), tagmask.load(run)]
    assert all(predictor.classes == CLASSES for predictor in predictors)
    masks = [predictor(image) for predictor in predictors]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


@pytest.mark.parametrize("place", ["", "nowhere", "segmenter.safetensors"])
def test_a_run_without_a_segmenter_says_what_to_train(tmp_path, place):
    with pytest.raises(TagmaskError, match=r"no trained segmenter at .*tagmask run"):
        load(tmp_path / place)


def test_weights_from_elsewhere_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors", metadata={"format": "pt"})
    with pytest.raises(TagmaskError, match=r"foreign.safetensors was not written by tagmask"):
        load(tmp_path / "foreign.safetensors")


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "segmenter.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(TagmaskError, match="not a readable weights file"):
        load(tmp_path)


def test_other_weights_of_a_run_are_refused(tmp_path):
    facts = {"recipe": tiny_recipe().model_dump_json(), "classes": json.dumps(CLASSES)}
    save_weights(tmp_path / "method.safetensors", torch.nn.Linear(2, 2), facts)
    with pytest.raises(TagmaskError, match=r"method.safetensors cannot be loaded into DeepLab"):
        load(tmp_path / "method.safetensors")


def test_recipes_of_another_version_are_refused(tmp_path):
    recipe = tiny_recipe().model_dump(mode="json")
    recipe["segmenter"]["warp"] = 9
    facts = {"recipe": json.dumps(recipe), "classes": json.dumps(CLASSES)}
    save_weights(tmp_path / "segmenter.safetensors", torch.nn.Linear(2, 2), facts)
    with pytest.raises(TagmaskError, match="another version of tagmask"):
        load(tmp_path)


def test_the_backbones_initial_weights_are_not_needed(tmp_path):
    assert load(written_segmenter(tmp_path, "backbone.weights=gone.safetensors")).classes == CLASSES


# ── predicting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mask_has_the_size_of_its_image_and_class_numbers(run, image):
    mask = load(run)(image)
    assert mask.shape == image.shape[:2] == (40, SIZE)
    assert mask.dtype == np.int32
    assert 0 <= mask.min() <= mask.max() <= len(CLASSES)


def test_paths_pictures_and_arrays_give_the_same_mask(run, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "x.png")
    predictor = load(run)
    masks = [predictor(form) for form in (image, Image.fromarray(image), tmp_path / "x.png", str(tmp_path / "x.png"))]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "four channels", "floats", "empty"],
)
def test_arrays_that_are_no_photographs_are_refused(run, array):
    with pytest.raises(TagmaskError, match=r"must be RGB, uint8"):
        load(run)(array)


def test_files_that_are_no_photographs_are_named(run, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(TagmaskError, match=r"x\.png"):
        load(run)(tmp_path / "x.png")


@pytest.mark.parametrize("size", [(1, 1), (7, 90)])
def test_images_of_any_size_are_segmented(run, size):
    assert load(run)(np.full((*size, 3), 128, np.uint8)).shape == size


def test_posteriors_are_probabilities_and_their_best_class_is_the_mask(run, image):
    predictor = load(run)
    images = [predictor.normalization.apply(image)]
    posterior = predictor.posterior((40, SIZE), images)
    np.testing.assert_allclose(posterior.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(posterior.argmax(axis=0), predictor.mask(image, images))


def test_settings_of_the_recipe_are_followed(tmp_path, image, run):
    plain = load(run)
    settings = ("segmenter.scales=[0.5,1.0]", "segmenter.crf=deeplab", f"segmenter.base_long_side={2 * SIZE}")
    changed = load(written_segmenter(tmp_path, *settings))
    for ours, theirs in zip(plain.network.parameters(), changed.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (plain(image) != changed(image)).any()


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_the_network_passes_in_the_precision_of_the_recipe(tmp_path, image, precision, dtype):
    found, seen = load(written_segmenter(tmp_path, f"segmenter.precision={precision}"), "cpu"), []
    layer = next(each for each in found.network.modules() if isinstance(each, torch.nn.Conv2d))
    layer.register_forward_hook(lambda layer, given, out: seen.append(out.dtype))
    assert found.posterior((40, SIZE), [found.normalization.apply(image)]).dtype == np.float32
    assert seen == [dtype]


def test_settings_that_belong_together_elsewhere_in_a_recipe_do_not_matter(tmp_path):
    learnt = ("method={kind: sipe}", "masks.confident={kind: learnt}", "affinity=null")
    folder = written_segmenter(tmp_path, *learnt)
    assert tagmask.load(folder)(np.zeros((48, 48, 3), np.uint8)).shape == (48, 48)


# ── devices, bands and large photographs ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:99", "xyz:0", "mps" if not torch.backends.mps.is_available() else "gpu"]
)
def test_a_device_that_is_not_there_is_one_message(run, device):
    with pytest.raises(TagmaskError, match=rf"the device '{device}' cannot be used here: .*; take cpu") as raised:
        load(run, device)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_taken(run, monkeypatch, cuda, mps, expected):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(predictor.torch, "device", lambda name: asked.append(name) or torch.empty(0).device)
    load(run)
    assert asked == [expected]


def test_large_photographs_are_segmented_smaller_and_their_masks_enlarged(run, image, monkeypatch):
    segment = load(run)
    seen = []
    mask = segment.mask
    monkeypatch.setattr(segment, "mask", lambda pixels, images: seen.append(pixels.shape) or mask(pixels, images))
    monkeypatch.setattr(predictor, "LARGEST", 40 * SIZE // 4)
    found = segment(image)
    assert seen == [(20, SIZE // 2, 3)]
    assert (found.shape, found.dtype) == (image.shape[:2], np.int32)
    np.testing.assert_array_equal(found[::2, ::2], found[1::2, 1::2])


def test_the_limit_is_of_pixels():
    assert predictor.largest_factor((3000, 4000)) == 1
    for size in ((9000, 12000), (60_000, 600), (2, 50_000_000)):
        factor = predictor.largest_factor(size)
        assert size[0] * factor * size[1] * factor == pytest.approx(predictor.LARGEST)


def test_images_are_read_as_the_run_read_them(tmp_path, image):
    Image.fromarray(image).save(tmp_path / "x.png")
    turned = load(written_segmenter(tmp_path, "data.bands=[2,1,0]"))
    assert turned.reading.bands == (2, 1, 0)
    np.testing.assert_array_equal(turned(tmp_path / "x.png"), turned(image[:, :, ::-1].copy()))


def test_numbers_of_16_bits_are_stretched_as_the_run_stretched_them(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(numbers("uint16")))
    data = tiny_recipe("data.bands=[0,1,2]", "data.stretch=[2,98]").data
    segment = load(written_segmenter(tmp_path, "data.bands=[0,1,2]", "data.stretch=[2,98]"))
    trained = read_image(tmp_path / "x.tif", data.bands, stretch_of(data))
    assert trained.max() == 255
    np.testing.assert_array_equal(segment.reading.photograph(tmp_path / "x.tif"), trained)
    with segment.reading.windows(tmp_path / "x.tif") as source:
        np.testing.assert_array_equal(source.read((3, 20), (5, 30)), trained[3:20, 5:30])


# ── whether in tiles ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_tiles_are_chosen_for_large_georeferenced_files_alone(run, tmp_path, monkeypatch):
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "x.tif")
    segment = load(run)
    assert segment.tile_side(tmp_path / "x.tif") is None
    monkeypatch.setattr(predictor, "is_placed", lambda path: True)
    assert segment.tile_side(tmp_path / "x.tif") is None
    monkeypatch.setattr(predictor, "LARGEST", 40 * 50 - 1)
    assert segment.tile_side(tmp_path / "x.tif") == segment.usual_side == 256
    assert segment.tile_side(None) is None
    assert load(run, tiles="none").tile_side(tmp_path / "x.tif") is None
    monkeypatch.setattr(predictor, "is_placed", lambda path: False)
    assert segment.tile_side(tmp_path / "x.tif") is None
    assert load(run, tiles="64").tile_side(None) == 64
