import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import tiny_backbone
from tagmask.config import PyramidConfig
from tagmask.contracts import Level
from tagmask.errors import TagmaskError
from tagmask.methods import pyramid
from tagmask.methods.pyramid import (
    MARGIN,
    PEAK,
    TINY,
    Pyramid,
    ScoredActivation,
    cells_inside,
    fine_levels,
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


def test_padding_does_not_pool_and_an_image_of_padding_pools_as_a_whole():
    scores = torch.tensor([1.0, 3.0, 99.0])[None, None, None]
    inside = torch.tensor([[[True, True, False]]])
    sharpness = torch.tensor([2.0])
    expected = log_mean_exp(scores[..., :2], sharpness)
    torch.testing.assert_close(log_mean_exp(scores, sharpness, inside), expected)
    torch.testing.assert_close(log_mean_exp(scores, sharpness, inside & False), log_mean_exp(scores, sharpness))


def test_logits_of_a_training_step_leave_padding_out():
    net, batch = method(), random_batch()
    half = batch.valid.clone()
    half[:, :, half.shape[2] // 2 :] = False
    found = net(batch.images)
    finished = net.finish(found, batch.tags, half)
    expected = log_mean_exp(found.scores, net.log_sharpness.exp(), cells_inside(half, found.scores))
    torch.testing.assert_close(finished.logits, expected)
    assert not torch.allclose(finished.logits, found.logits)


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_levels_are_the_deepest_of_each_stride_and_the_last_two():
    strides = [Level(8, stride) for stride in (2, 4, 4, 8, 16, 16)]
    assert fine_levels(tuple(strides), 4) == (2, 3, 4, 5)
    assert fine_levels(tuple(strides), 8) == (3, 4, 5)
    assert fine_levels((Level(8, 14),), 4) == (0,)


def test_levels_that_do_not_exist_are_refused():
    with pytest.raises(TagmaskError, match=r"method\.levels \[9\].*levels 0 to"):
        method(levels=(9,))


@pytest.mark.parametrize("size", [(32, 48), (33, 41)])
def test_a_margin_goes_around_images_and_its_cells_are_cut_off(size):
    net = method().eval()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.pad(images, (MARGIN,) * 4)
    with torch.no_grad():
        found = net(images).embedding
        whole = net.fused(net.backbone.forward_levels(wide))
    assert found.shape[2:] == tuple(math.ceil(side / net.cell) for side in size)
    start = MARGIN // net.cell
    torch.testing.assert_close(found, whole[..., start : start + found.shape[2], start : start + found.shape[3]])


def test_what_surrounds_an_image_in_a_training_view_changes_hardly_anything():
    net = method().eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    view = torch.nn.functional.pad(image, (0, 64, 0, 64))
    with torch.no_grad():
        alone, padded = net(image).scores, net(view).scores[..., : 64 // net.cell, : 64 // net.cell]
    torch.testing.assert_close(alone, padded, atol=1e-4, rtol=1e-4)


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
        """The scores of the batch; of a single image enlarged twice, those of the first one enlarged twice."""
        if len(images) == 2:
            return replace(found, scores=scores)
        enlarged = net._features(images)
        larger = (
            scores[:1].repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : enlarged.shape[2], : enlarged.shape[3]]
        )
        plain = torch.zeros(1, 1, *larger.shape[2:])
        maps = plain.expand(-1, CLASSES, -1, -1)
        return ScoredActivation(torch.zeros(1, CLASSES), maps, plain, enlarged, larger, plain)

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
