import math
from dataclasses import replace

import pytest
import torch

from conftest import tiny_backbone
from tagmask.config import PyramidConfig
from tagmask.errors import TagmaskError
from tagmask.methods.pyramid import Pyramid, log_mean_exp, risen
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
    rows, columns = alone.maps.shape[2:]
    torch.testing.assert_close(found.maps[:1, :, :rows, :columns], alone.maps)
    assert not found.maps[0, :, rows:].any()
    other = batch.images.clone()
    other[0][:, ~valid[0]] = 9.0
    (again,) = net.outputs(replace(batch, images=other, valid=valid))
    torch.testing.assert_close(again.logits, found.logits)


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_levels_that_do_not_exist_are_refused():
    with pytest.raises(TagmaskError, match=r"method\.levels \[9\].*levels 0 to"):
        method(levels=(9,))


# ── maps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_maps_rise_from_what_other_images_reach_to_the_peak_of_each_image():
    scores = torch.tensor([[[[-6.0, -3.0, 1.0]], [[2.0, 2.0, 12.0]]]])
    found = risen(scores, torch.tensor([-3.0, 2.0]))
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]]]))


def test_what_hardly_rises_is_no_object():
    found = risen(torch.tensor([[[[-3.0, -2.75]]]]), torch.tensor([-3.0]))
    assert found.flatten().tolist() == [0, 0.25]
    assert risen(torch.tensor([[[[-9.0, -8.0]]]]), torch.tensor([-3.0])).max() == 0


def test_calibration_measures_images_without_the_tag_alone(monkeypatch):
    """Class 1 is on all images: its median counts, since no image is without it."""
    net, batch = method(), random_batch(number=2)
    scores = torch.zeros(2, CLASSES, 10, 10)
    scores[0, 0] = 50.0
    scores[1, 0] = torch.arange(100.0).reshape(10, 10)
    scores[:, 1, 5:] = 4.0
    scores[:, 1, :4] = 2.0
    order = iter(scores[:, None])
    monkeypatch.setattr(net, "_scores", lambda image: (next(order), image))
    net.calibrate([replace(batch, tags=torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0]]))])
    assert net.level.tolist() == pytest.approx([0.9 * 99, 3.0, 0, 0], abs=1.01)
    kept = method()
    kept.load_state_dict(net.state_dict())
    assert kept.level.tolist() == net.level.tolist()


def test_rare_classes_and_the_shape_of_the_objects_are_learned():
    net, batch = method(), random_batch()
    losses = net.losses(batch)
    losses["tags"].backward()
    for parameter in (net.log_sharpness, net.bias, net.classify.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    grouped = [p for group in net.parameter_groups() if group.new for p in group.parameters]
    assert any(p is net.log_sharpness for p in grouped)
