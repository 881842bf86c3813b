from dataclasses import replace

import numpy as np
import pytest
import torch

from shared_runs import tiny_backbone
from tagmask.config import CrfConfig, PyramidConfig
from tagmask.errors import TagmaskError
from tagmask.methods import pyramid
from tagmask.methods.pyramid import ENDS, Pyramid, agreements, risen, widest_end
from tagmask.testing import check_method, random_batch

CLASSES = 4


def method(**settings) -> Pyramid:
    torch.manual_seed(0)
    return Pyramid(PyramidConfig(**settings), tiny_backbone(), CLASSES)


def test_it_keeps_every_promise_of_a_method():
    check_method(Pyramid)


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


def test_scores_rise_from_what_other_images_reach_to_the_peak_of_each_image():
    scores = torch.tensor([[[[-6.0, -3.0, 1.0]], [[2.0, 7.0, 12.0]]]])
    found = risen(scores, torch.tensor([-3.0, 2.0]))
    torch.testing.assert_close(found, torch.tensor([[[[-0.75, 0.0, 1.0]], [[0.0, 0.5, 1.0]]]]))
    assert risen(torch.tensor([[[[-3.0, -2.75]]]]), torch.tensor([-3.0])).max() == 0.25  # hardly anything rises


def test_maps_are_a_half_where_an_object_ends():
    net, batch = method(), random_batch()
    net.end[:] = torch.tensor([0.2, 0.4, 0.6, 0.8])
    found, (scores, _) = net(batch.images), net._scores(batch.images)
    torch.testing.assert_close(found.maps > 0.5, risen(scores, net.level) > net.end[:, None, None])
    assert found.background is None


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
    monkeypatch.setattr(net, "_measure_ends", lambda *_: None)
    net.calibrate([replace(batch, tags=torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0]]))])
    assert net.level.tolist() == pytest.approx([0.95 * 99, 3.0, 0, 0], abs=1.01)


def bump(rows: int, columns: int, height: float, width: float) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return height * np.exp(-((y - rows / 2) ** 2 + (x - columns / 2) ** 2) / (2 * width**2))


@pytest.mark.parametrize("radius", [5, 8, 14])
def test_an_object_ends_where_regions_agree_and_outlines_lie_on_edges(radius):
    """Regions of scores are round; the image has a bright disc, at whose border the object should end."""
    y, x = np.mgrid[:64, :64]
    disc = (y - 32) ** 2 + (x - 32) ** 2 < radius**2
    image = np.repeat((100 + 80 * disc).astype(np.uint8)[..., None], 3, axis=2)
    risen_scores = bump(64, 64, 1.0, 11.0).astype(np.float32)
    found = agreements(risen_scores, risen_scores**1.1, image, None)
    chosen = risen_scores > ENDS[int(np.argmax(found))]
    assert abs(np.sqrt(chosen.sum() / np.pi) - radius) < 2


def test_what_the_crf_takes_away_is_no_object():
    image = np.random.default_rng(0).integers(100, 110, (48, 48, 3)).astype(np.uint8)
    risen_scores = bump(48, 48, 1.0, 3.0).astype(np.float32)
    crf = CrfConfig(gaussian_sxy=3, gaussian_weight=10, bilateral_sxy=40, bilateral_srgb=20, bilateral_weight=20)
    plain, refined = (agreements(risen_scores, risen_scores, image, each) for each in (None, crf))
    assert plain[-1] > 0
    assert refined[-1] == 0


def test_regions_of_both_scales_must_agree():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    left, right = np.zeros((32, 32), np.float32), np.zeros((32, 32), np.float32)
    left[8:20, 2:14], right[8:20, 16:28] = 1.0, 1.0
    assert max(agreements(left, right, image, None)) == 0
    assert min(agreements(left, left, image, None)) > 0.8


def test_an_end_must_be_clearly_better_than_a_wider_one():
    clear = np.random.default_rng(0).normal(0, 0.05, (20, len(ENDS)))
    clear[:, 5] += 0.2
    assert widest_end(clear) == ENDS[5]
    noisy = np.random.default_rng(0).normal(0, 1, (20, len(ENDS)))
    noisy += 0.05 * np.eye(len(ENDS))[6] - noisy.mean(axis=0)
    assert widest_end(noisy) == ENDS[0]  # a twentieth of the deviation is no evidence
    assert widest_end(clear[:1]) == ENDS[0]  # one image is no evidence


def test_ends_are_found_on_images_with_the_tag_and_kept(monkeypatch):
    net, batch = method(), random_batch(number=2)
    asked = []

    def drawn(plain, enlarged, image, config):
        asked.append(plain.shape)
        return [float(end == ENDS[3]) + len(asked) * 1e-3 for end in ENDS]

    monkeypatch.setattr(pyramid, "agreements", drawn)
    tags = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1]])
    net.calibrate([replace(batch, tags=tags), replace(batch, tags=tags)])
    assert net.end.tolist() == pytest.approx([0.35, 0.5, 0.5, 0.35])
    assert asked == [tuple(batch.images.shape[2:])] * 4
    kept = method()
    kept.load_state_dict(net.state_dict())
    assert kept.end.tolist() == net.end.tolist()


def test_images_of_any_size_calibrate_and_none_without_a_tag_is_needed():
    net, batch = method(), random_batch()
    valid = batch.valid.clone()
    valid[0, 20:] = False
    for size in range(16, 24):
        valid[1] = False
        valid[1, :size, : size + 3] = True
        net.calibrate([replace(batch, valid=valid, tags=torch.ones_like(batch.tags))])
        assert net.level.isfinite().all()
        assert net.end.isfinite().all()


def test_rare_classes_and_the_shape_of_the_objects_are_learned():
    net, batch = method(), random_batch()
    losses = net.losses(batch)
    losses["tags"].backward()
    for parameter in (net.tags.log_sharpness, net.tags.bias, net.tags.classify.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    grouped = [p for group in net.parameter_groups() if group.new for p in group.parameters]
    assert any(p is net.tags.log_sharpness for p in grouped)
