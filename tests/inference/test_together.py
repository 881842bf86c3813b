import numpy as np
import pytest
import torch
from torch.nn import functional

from tagmask.inference import predictor as module
from tagmask.inference.predictor import load
from tagmask.inference.together import gains_together, masks_together


@pytest.fixture
def predictor(tiny_run, monkeypatch):
    """A predictor that takes the strongest colour for the class, so that every photograph has a mask of its own."""
    found = load(tiny_run.folder.path, "cpu")
    monkeypatch.setattr(found.network, "forward", lambda images: functional.avg_pool2d(images, 4))
    return found


@pytest.fixture
def images(scenes):
    return [scenes.read_image(record) for record in scenes.records[:3]]


@pytest.mark.parametrize(
    "changes",
    [{}, {"flip": False}, {"scales": (0.5, 1.0)}, {"base_long_side": 32}, {"precision": "bf16"}],
    ids=["as it is", "not mirrored", "two scales", "scaled", "half precision"],
)
def test_masks_are_those_of_one_by_one(predictor, images, monkeypatch, changes):
    monkeypatch.setattr(predictor, "config", predictor.config.model_copy(update=changes))
    alone = [predictor(image) for image in images]
    assert len({mask.tobytes() for mask in alone}) == len(images)  # else nothing would tell them apart
    for mask, expected in zip(masks_together(predictor, images), alone, strict=True):
        assert mask.dtype == np.int32
        assert np.mean(mask == expected) > 0.99


def test_large_photographs_are_scaled_down_and_back(predictor, images, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 400)
    for mask, image in zip(masks_together(predictor, images), images, strict=True):
        assert np.mean(mask == predictor(image)) > 0.99


def test_only_an_accelerator_gains(predictor, monkeypatch):
    assert not gains_together(predictor)
    monkeypatch.setattr(predictor, "device", torch.device("cuda"))
    assert gains_together(predictor)
    monkeypatch.setattr(predictor, "tiles", 64)
    assert not gains_together(predictor)
