"""The pixel correlation against its plain dense form, and what it must never do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared_runs import tiny_backbone
from tagmask.config import EquivarianceConfig
from tagmask.errors import TagmaskError
from tagmask.methods import likeness, pixel_correlation
from tagmask.methods.pixel_correlation import PixelCorrelation, correlate, correlation_input

GOLDEN = Path(__file__).parents[1] / "golden" / "seam.npz"


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(maps: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The definition, with the whole matrix."""
    unit = (features / (features.norm(dim=1, keepdim=True) + 1e-5)).flatten(2)
    likeness = torch.relu(torch.einsum("bdi,bdj->bij", unit, unit))
    spread = torch.einsum("bki,bij->bkj", maps.flatten(2), likeness)
    return (spread / (likeness.sum(dim=1, keepdim=True) + 1e-5)).view_as(maps)


def gradients(function, maps, features, cotangent):
    leaves = [maps.clone().requires_grad_(), features.clone().requires_grad_()]
    return torch.autograd.grad(function(*leaves), leaves, cotangent)


# ── the maps that are spread ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_input_by_hand():
    scores = torch.tensor([[[[-7.0, 7.0, 0.0]], [[2.0, 1.0, -1.0]], [[1.0, 4.0, 1.0]]]])
    maps = correlation_input(scores)
    expected = torch.tensor([[[[0.0, 0.0, 0.75]], [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.25]]]])
    torch.testing.assert_close(maps, expected, atol=2e-5, rtol=0)


def test_equal_classes_both_stay():
    maps = correlation_input(torch.tensor([[[[0.0, 0.0]], [[3.0, 1.0]], [[3.0, 2.0]]]]))
    assert maps[0, 1, 0, 0] == maps[0, 2, 0, 0] > 0.99


def test_absent_classes_compete():
    scores = draw(1, 3, 4, 4)
    stronger = scores.clone()
    stronger[:, 2] = scores[:, 1] + scores[:, 1].abs().clamp_min(1) * (1 + torch.arange(16).view(4, 4))
    assert (correlation_input(scores)[:, 1] > 0).any()
    assert not torch.equal(correlation_input(stronger)[:, 1], correlation_input(scores)[:, 1])


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0, 1e20])
def test_constant_scores_are_finite_and_within_bounds(value):
    maps = correlation_input(torch.full((1, 4, 3, 2), value))
    assert maps.isfinite().all()
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert (maps[:, 0] > 0.99).all() == (value <= 0)


@given(st.integers(0, 1000), st.integers(2, 5))
def test_one_winner_and_the_background_complete_each_other(seed, channels):
    maps = correlation_input(draw(2, channels, 3, 5, seed=seed))
    assert ((maps[:, 1:] > 0).sum(dim=1) <= 1).all()
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(2, 3, 5))


# ── the correlation ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_alike_pixels_share_and_opposite_ones_do_not():
    features = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]])[None, :, None]
    refined = correlate(torch.tensor([[[[1.0, 0.0, 5.0]]]]), features)
    torch.testing.assert_close(refined, torch.tensor([[[[0.5, 0.5, 5.0]]]]), atol=1e-4, rtol=0)


@given(st.integers(0, 1000), st.sampled_from([(1, 1), (1, 3), (2, 3), (5, 7), (9, 4)]), st.integers(1, 6))
def test_blocks_change_nothing(seed, size, channels):
    maps, features = draw(2, 3, *size, seed=seed).abs(), draw(2, channels, *size, seed=seed + 1)
    cotangent = draw(2, 3, *size, seed=seed + 2)
    torch.testing.assert_close(correlate(maps, features), dense(maps, features), atol=1e-6, rtol=1e-5)
    for found, expected in zip(
        gradients(correlate, maps, features, cotangent), gradients(dense, maps, features, cotangent), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pixels", [1, 5, 40])
def test_the_memory_bounds_every_block(monkeypatch, pixels):
    monkeypatch.setattr(likeness, "MEBIBYTE", 2 * 40 * 4 * pixels)  # of a batch of two: so many rows a block
    made = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda a, b: made.append(bmm(a, b)) or made[-1])
    maps, features = draw(2, 3, 5, 8).abs(), draw(2, 6, 5, 8, seed=1)
    cotangent = draw(2, 3, 5, 8, seed=2)
    found = gradients(lambda m, f: correlate(m, f, 1), maps, features, cotangent)
    assert max(block.shape[1] for block in made) == min(pixels, 4)
    assert len(made) == 3 * -(-40 // min(pixels, 4))  # once forward, and twice backward
    for one, other in zip(found, gradients(dense, maps, features, cotangent), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_maps_that_learn_nothing_cost_nothing():
    maps, features = draw(1, 2, 3, 3).abs(), draw(1, 4, 3, 3).requires_grad_()
    refined = correlate(maps, features)
    (gradient,) = torch.autograd.grad(refined.square().sum(), features)
    leaf = features.detach().requires_grad_()
    (expected,) = torch.autograd.grad(dense(maps, leaf).square().sum(), leaf)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e12])
def test_features_of_any_length_are_finite(scale):
    features = (scale * draw(1, 4, 3, 3)).requires_grad_()
    refined = correlate(draw(1, 2, 3, 3).abs(), features)
    refined.sum().backward()
    assert refined.isfinite().all()
    assert features.grad.isfinite().all()
    assert scale > 0 or (refined == 0).all()


def test_half_precision_is_left_outside():
    maps, features = draw(1, 2, 3, 3).abs(), draw(1, 4, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = correlate(maps.bfloat16(), features.bfloat16())
    assert inside.dtype == torch.float32
    assert torch.equal(inside, correlate(maps.bfloat16().float(), features.bfloat16().float()))


def test_gradients_of_the_reference_at_every_pixel():
    with np.load(GOLDEN) as arrays:
        names = ("in_pcm_cam", "in_pcm_f", "in_pcm_cotangent", "out_pcm_grad_f")
        scores, features, cotangent, expected = (torch.from_numpy(arrays[name]) for name in names)
    features.requires_grad_()
    found = torch.autograd.grad(correlate(correlation_input(scores), features), features, cotangent)[0]
    allowed = 1e-6 + 1e-5 * expected.abs().amax(dim=1, keepdim=True)
    assert ((found - expected).abs() <= allowed).all()


# ── the module ───────────────────────────────────────────────────────────────────────────────────────────────────────


def module(**fields) -> PixelCorrelation:
    torch.manual_seed(0)
    return PixelCorrelation(EquivarianceConfig(widths=(4, 5), correlation_width=7, **fields), tiny_backbone())


def refined_by(correlation: PixelCorrelation, scores: torch.Tensor) -> torch.Tensor:
    images = draw(2, 3, 33, 41)
    with torch.no_grad():
        levels = tiny_backbone().forward_levels(images)
    return correlation(scores, images, levels)


def test_classes_compete_in_single_precision(monkeypatch):
    seen = []
    monkeypatch.setattr(pixel_correlation, "correlate", lambda maps, *_: seen.append(maps) or maps)
    scores = draw(2, 4, 5, 6).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refined_by(module(), scores)
    assert torch.equal(seen[0], correlation_input(scores.float()))


def test_levels_of_another_stride_are_resized():
    for levels in ((0, 1), (-3, 2), (1, 1), None):
        refined = refined_by(module(levels=levels), draw(2, 4, 5, 6))
        assert refined.shape == (2, 4, 5, 6)
        assert refined.min() >= 0
        assert refined.max() <= 1


def test_the_two_levels_before_the_deepest_are_compared_unless_others_are_chosen():
    assert module().levels == (0, 1)
    assert module(levels=(-1, 0)).levels == (2, 0)
    assert (module(levels=(-1, 0)).f8_3.in_channels, module(levels=(-1, 0)).f8_4.in_channels) == (16, 8)


@pytest.mark.parametrize("levels", [(0, 3), (-4, 0)])
def test_levels_the_backbone_lacks_are_refused(levels):
    with pytest.raises(TagmaskError, match=r"levels is \[.*the backbone has 3 levels; choose from 0 to 2"):
        module(levels=levels)


def test_a_backbone_with_too_few_levels_is_refused_by_name():
    backbone = tiny_backbone()
    backbone.levels = backbone.levels[:2]
    with pytest.raises(TagmaskError, match=r"not set.*the backbone has 2 levels"):
        PixelCorrelation(EquivarianceConfig(), backbone)
    PixelCorrelation(EquivarianceConfig(levels=(0, 0)), backbone)


def test_levels_and_images_learn_nothing_and_scores_only_if_asked():
    images = draw(1, 3, 16, 16)
    levels = [level.requires_grad_() for level in (draw(1, 8, 4, 4), draw(1, 12, 2, 2), draw(1, 16, 2, 2))]
    for reaches in ("correlation", "maps"):
        correlation, scores = module(cross_reaches=reaches), draw(1, 3, 2, 2, seed=3).requires_grad_()
        correlation(scores, images, levels).square().sum().backward()
        assert all(level.grad is None for level in levels)
        assert (scores.grad is not None) == (reaches == "maps")
        assert all(parameter.grad.abs().sum() > 0 for parameter in correlation.parameters())


def test_initial_weights_are_of_the_published_spread():
    torch.manual_seed(0)
    correlation = PixelCorrelation(EquivarianceConfig(widths=(400, 500), correlation_width=600), tiny_backbone())
    assert correlation.f8_3.weight.std().item() == pytest.approx((2 / 8) ** 0.5, rel=0.05)
    assert correlation.f8_4.weight.std().item() == pytest.approx((2 / 12) ** 0.5, rel=0.05)
    bound = 4 * (6 / (903 + 600)) ** 0.5
    assert bound * 0.99 < correlation.f9.weight.abs().max().item() <= bound
    assert [name for name, _ in correlation.named_parameters()] == ["f8_3.weight", "f8_4.weight", "f9.weight"]
