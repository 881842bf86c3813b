"""A photograph is refined where its device says, and the caller does not notice."""

import numpy as np
import pytest

from crf_inputs import photograph, scores
from devices import DEVICES
from tagmask.config import CRF_PRESETS
from tagmask.masks.crf import dispatch, mean_field_on_device, refine, refiner


@pytest.mark.parametrize("device", DEVICES)
def test_a_refiner_computes_as_refine_does_on_any_device(device):
    image = photograph()
    probabilities = scores(3, image)
    on_device = refiner(image, device)
    for config in (CRF_PRESETS["psa"], CRF_PRESETS["irn"]):
        found, expected = on_device(probabilities, config), refine(image, probabilities, config)
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_device_that_can_is_asked_and_others_are_not(monkeypatch):
    asked, image = [], photograph()
    processor = refiner(image)
    monkeypatch.setattr(mean_field_on_device, "refiner_on_device", lambda _, name: asked.append(name) or processor)
    for device in ("cpu", "mps", "cuda:1"):
        refiner(image, device)
    assert asked == ["cuda:1"]
    assert [dispatch.computes_on(device) for device in ("cpu", "mps", "cuda:1")] == [False, False, True]
