import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import tiny_backbone
from tagmask.config import PyramidConfig
from tagmask.errors import TagmaskError
from tagmask.methods import pyramid
from tagmask.methods.pyramid import (
    PEAK,
    TINY,
    Pyramid,
    ScoredActivation,
    log_mean_exp,
    object_thresholds,
    widest,
)
from tagmask.testing import check_method, random_batch

CLASSES = 4


def method(**settings) -> Pyramid:
    torch.manual_seed(0)
    return Pyramid(PyramidConfig(**settings), tiny_backbone(), CLASSES)


def test_it_keeps_every_promise_of_a_method():
    check_method(Pyramid)


# ── pooling ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pooling_is_the_mean_for_small_r_and_the_maximum_for_large_r():
    scores = torch.tensor([0.0, 1.0, 5.0, -2.0])[None, None, None]
    assert log_mean_exp(scores, torch.tensor([1e-4])).item() == pytest.approx(1.0, abs=1e-2)
    assert log_mean_exp(scores, torch.tensor([200.0])).item() == pytest.approx(5.0 - math.log(4) / 200)


def test_training_images_pass_without_their_padding_as_they_will_be_seen_later():
    net, batch = method(), random_batch()
    valid = batch.valid.clone()
    valid[0] = False
    valid[0, 5:25, 3:27] = True
    (found,) = net.outputs(replace(batch, valid=valid))
    alone = net(batch.images[:1, :, 5:25, 3:27])
    torch.testing.assert_close(found.logits[:1], alone.logits)
    rows, columns = alone.scores.shape[2:]
    torch.testing.assert_close(found.scores[:1, :, :rows, :columns], alone.scores)
    assert not found.passes[0, 0, rows:].any()
    other = batch.images.clone()
    other[0][:, ~valid[0]] = 9.0
    (again,) = net.outputs(replace(batch, images=other, valid=valid))
    torch.testing.assert_close(again.logits, found.logits)


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_levels_that_do_not_exist_are_refused():
    with pytest.raises(TagmaskError, match=r"method\.levels \[9\].*levels 0 to"):
        method(levels=(9,))


# ── thresholds ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_tiny_ends_below_its_peak_and_what_is_wide_above_other_images():
    scores = torch.tensor([[[[10.0, 0.0]], [[10.0, 0.0]], [[10.0, 0.0]]]])
    level, width = torch.tensor([-3.0, -3.0, 50.0]), torch.tensor([TINY / 2, 2 * TINY, 1e6])
    tiny, middle, wide = object_thresholds(scores, level, width).flatten().tolist()
    assert tiny == 10 - PEAK
    assert middle == pytest.approx(0.25 * (10 - PEAK) + 0.75 * -3)
    assert wide == pytest.approx(10 - PEAK)  # never above the peak: something of a tag is there


def test_the_background_is_where_none_of_the_tags_is_whatever_has_been_added():
    net, batch = method(), random_batch()
    found = net(batch.images)
    pair = replace(found, maps=2 * found.maps, passes=2 * found.passes, background=2 * found.background)
    tags = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    finished = net.finish(pair, tags)
    torch.testing.assert_close(finished.background[0], 2 - 2 * found.maps[0, :1])
    assert (finished.background[1] == 2).all()
    torch.testing.assert_close(finished.background[2, 0], 2 - 2 * found.maps[2].amax(dim=0))


def test_calibration_measures_other_images_and_widths(monkeypatch):
    """Class 0 lies in a square of 4 x 4 cells of the first image; class 1 is on all images; the others on none."""
    net, batch = method(), random_batch(number=2)
    scores = torch.zeros(2, CLASSES, 9, 11)
    scores[0, 0, 2:6, 1:5] = 9.0
    scores[1, 0] = -1.0
    scores[1, 0, 0, 0] = 7.0
    tags = torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0]])
    found = net(batch.images)

    def drawn(self, images):
        """The scores of an image of the batch, or of the first one enlarged twice."""
        number = 1 if torch.equal(images[0], batch.images[1]) else 0
        drawn = scores[number : number + 1]
        if images.shape[2] > batch.images.shape[2]:
            drawn = drawn.repeat_interleave(2, 2).repeat_interleave(2, 3)
        plain = torch.zeros_like(drawn[:, :1])
        return ScoredActivation(found.logits[:1], drawn, plain, plain, drawn, plain)

    monkeypatch.setattr(pyramid.Pyramid, "forward", drawn)
    net.calibrate([replace(batch, tags=tags)])
    assert net.width.tolist() == [4 * net.cell, TINY, TINY, TINY]
    assert net.negative_level[0].item() == -1  # the 95 % quantile does not see the one cell of 7
    assert net.negative_level[1:].tolist() == [0, 0, 0]
    kept = method()
    kept.load_state_dict(net.state_dict())
    assert kept.width.tolist() == net.width.tolist()


@pytest.mark.parametrize(("shape", "expected"), [((1, 1), 2), ((3, 9), 4), ((4, 4), 4), ((5, 5), 6)])
def test_the_widest_disc_reaches_the_border_of_its_region(shape, expected):
    region = np.zeros((12, 12), bool)
    region[2 : 2 + shape[0], 1 : 1 + shape[1]] = True
    assert widest(region) == expected


def test_rare_classes_and_the_shape_of_the_objects_are_learned():
    net, batch = method(), random_batch()
    losses = net.losses(batch)
    losses["tags"].backward()
    for parameter in (net.log_sharpness, net.bias, net.classify.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    grouped = [p for group in net.parameter_groups() if group.new for p in group.parameters]
    assert any(p is net.log_sharpness for p in grouped)
