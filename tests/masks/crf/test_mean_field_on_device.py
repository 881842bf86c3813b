"""The dense CRF of tensors against that of arrays.

Iterations make what rounding does larger where labels are in balance: both forms are as far from the same computation
in float64 as from each other.
"""

import numpy as np
import pytest
import torch

from crf_inputs import photograph, scores
from devices import DEVICES
from no_waiting import META, Questions, no_waiting
from tagmask.config import CRF_PRESETS, CrfConfig
from tagmask.masks.crf import mean_field_on_device as module
from tagmask.masks.crf import refine
from tagmask.masks.crf.mean_field import kernel_features
from tagmask.masks.crf.mean_field_on_device import (
    LatticesOnDevice,
    energies_on_device,
    features_on_device,
    mean_field_on_device,
    refine_on_device,
    refiner_on_device,
)

PSA = CRF_PRESETS["psa"]


def refined(image: np.ndarray, probabilities: np.ndarray, config: CrfConfig, device: str = "cpu") -> np.ndarray:
    return refine_on_device(probabilities, config, LatticesOnDevice(image, torch.device(device)))


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(axis=0) == expected.argmax(axis=0)).mean() >= 0.9999


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("preset", CRF_PRESETS)
@pytest.mark.parametrize("num_labels", [1, 2, 3, 21])
@pytest.mark.parametrize("size", [(48, 64), (1, 1), (1, 40), (37, 1)])
def test_equals_the_crf_of_arrays(size, num_labels, preset, device):
    image = photograph(*size)
    probabilities = scores(num_labels, image)
    found = refined(image, probabilities, CRF_PRESETS[preset], device)
    assert_alike(found, refine(image, probabilities, CRF_PRESETS[preset]))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["one colour", "noise"])
def test_equals_the_crf_of_arrays_on_unusual_pictures(kind, device):
    image = np.full((40, 44, 3), 77, np.uint8)
    if kind == "noise":
        image = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
    probabilities = scores(3, image)
    for config in CRF_PRESETS.values():
        assert_alike(refined(image, probabilities, config, device), refine(image, probabilities, config))


@pytest.mark.parametrize(
    "config",
    [
        CrfConfig(iterations=0),
        CrfConfig(gaussian_weight=0),
        CrfConfig(bilateral_weight=0),
        CrfConfig(gaussian_weight=0, bilateral_weight=0),
        CrfConfig(pad_to_four=True),
        CrfConfig(unary="hard", num_labels=21, gt_prob=0.6),
    ],
    ids=["no iterations", "colours alone", "places alone", "no kernel", "pad_to_four", "num_labels"],
)
def test_takes_all_settings(config):
    image = photograph(23, 31)
    probabilities = scores(3, image).astype(np.float64)
    assert_alike(refined(image, probabilities, config), refine(image, probabilities, config))


def test_one_pixel_by_hand():
    # both kernels reduce to the identity, so that Q <- softmax(log p + (3 + 10) Q)
    probabilities = np.array([0.6, 0.4], np.float32).reshape(2, 1, 1)
    expected = probabilities.astype(np.float64)
    for _ in range(PSA.iterations):
        raw = probabilities * np.exp(13 * expected)
        expected = raw / raw.sum(axis=0)
    np.testing.assert_allclose(refined(np.full((1, 1, 3), 9, np.uint8), probabilities, PSA), expected, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("srgb", [None, 13.0])
def test_features_are_equal_to_the_bit(srgb, device):
    image = photograph(23, 31)
    found = features_on_device(torch.from_numpy(image).to(device), 67, srgb)
    assert (found.cpu().numpy() == kernel_features(image, 67, srgb)).all()


def test_kernels_are_built_once():
    lattices = LatticesOnDevice(photograph(), torch.device("cpu"))
    first, again = (lattices.weighted_kernels(PSA) for _ in range(2))
    assert [weight for weight, _ in first] == [3, 10]
    assert [kernel for _, kernel in first] == [kernel for _, kernel in again]


def test_what_does_not_fit_on_the_device_is_left_to_the_processor(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(module, "refine_on_device", full)
    image = photograph()
    probabilities = scores(3, image)
    assert (refiner_on_device(image, "cpu")(probabilities, PSA) == refine(image, probabilities, PSA)).all()


def test_bad_input_is_refused():
    image = photograph(5, 6)
    with pytest.raises(ValueError, match="resize the scores"):
        refined(image, scores(2, photograph(6, 5)), PSA)
    with pytest.raises(ValueError, match="NaN"):
        refined(image, scores(2, image) * np.float32(np.nan), PSA)
    with pytest.raises(ValueError, match="without pixels"):
        LatticesOnDevice(image[:0], torch.device("cpu"))
    for sxy in (1e-7, 1e-44):
        with pytest.raises(ValueError, match="use a larger one"):
            refined(image, scores(2, image), CrfConfig(gaussian_sxy=sxy))


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_iterations_do_not_wait_for_the_device():
    with no_waiting():
        probabilities = torch.ones(3, 20, device=META)
        for unary in ("soft", "hard"):
            energies = energies_on_device(probabilities, CrfConfig(unary=unary, num_labels=4))
            assert mean_field_on_device(energies, [(3.0, lambda values: values * 2)], 5).shape == energies.shape


def test_a_picture_waits_for_each_kernel_and_for_what_leaves():
    image = photograph()
    with Questions() as questions:
        refined(image, scores(3, image), PSA)
    assert questions.asked == ["unique", "unique", "cpu", "numpy"]
