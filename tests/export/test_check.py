from dataclasses import replace

import numpy as np
import pytest
import torch

import tagmask
from tagmask.errors import TagmaskError
from tagmask.export.check import Comparison, compared, median_seconds, refuse_different

GOOD = Comparison(images=2, difference=1e-3, equal=0.999, size=(40, 50), threads=1, torch_seconds=0.2, seconds=0.1)


class Shifted:
    """A network whose logits are those of another plus a number for the first class."""

    def __init__(self, network, shift):
        self.network, self.normalization, self.shift = network, network.normalization, shift

    def __call__(self, images):
        logits = self.network(images).clone()
        logits[:, 0] += self.shift
        return logits


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, size, dtype=np.uint8) for size in ((30, 40, 3), (90, 50, 3))]


def test_a_network_equals_itself(trained, images):
    predictor = tagmask.load(trained, "cpu")
    found = compared(predictor, predictor, images)
    assert (found.images, found.difference, found.equal, found.size) == (2, 0, 1, (30, 40))
    assert found.threads == torch.get_num_threads()
    assert min(found.seconds, found.torch_seconds) > 0


def test_a_shift_of_logits_is_measured(trained, images):
    other, predictor = tagmask.load(trained, "cpu"), tagmask.load(trained, "cpu")
    other.network = Shifted(predictor.network, 0.25)
    assert compared(other, predictor, images).difference == pytest.approx(0.25, abs=1e-5)
    other.network = Shifted(predictor.network, -1e6)  # never background again
    background = [float((predictor.mask(*predictor.scaled(image)) == 0).mean()) for image in images]
    pixels = [30 * 40, 40 * 22]  # the second is scaled to a long side of 40
    expected = 1 - np.average(background, weights=pixels)
    assert compared(other, predictor, images).equal == pytest.approx(expected, abs=2e-3)


def test_at_the_limits_it_is_accepted_and_beyond_them_refused_with_the_figures():
    refuse_different(GOOD, "float32")
    for bad in (replace(GOOD, difference=2e-3), replace(GOOD, equal=0.998)):
        with pytest.raises(TagmaskError, match=r"nothing was written.*(2.0e-03|99.800 %).*--to bundle"):
            refuse_different(bad, "float32")


def test_of_eight_bits_the_classes_alone_count():
    refuse_different(replace(GOOD, difference=3.0, equal=0.95), "int8-static")
    with pytest.raises(TagmaskError, match=r"94.000 %.*other kind of --int8"):
        refuse_different(replace(GOOD, equal=0.94), "int8-dynamic")


def test_the_figures_in_words():
    assert str(GOOD) == (
        "2 photographs: largest difference of a logit 1.0e-03, 99.900 % of pixels have the same class. One pass over "
        "40 x 50 pixels, 1 thread(s): 100 ms, torch 200 ms (medians of 7)."
    )


def test_the_first_pass_does_not_count():
    calls = []
    median_seconds(lambda images: calls.append(1) or images, torch.zeros(1, 3, 2, 2), passes=3)
    assert len(calls) == 4
