"""What the published heads do beyond their convolutions, against plain forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tagmask.config import AugmentConfig, HeadConfig, SegmenterConfig, TrainingConfig
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Level
from tagmask.errors import TagmaskError
from tagmask.networks.heads import HEADS, prepare

LEVELS = (Level(6, 8),)
CLASSES = 4
WIDTH = 5
PUBLISHED = HeadConfig(weights="kaiming_fan_out", batch_norm="statistics", batch_norm_momentum=0.0003)


def built(kind: str, head: HeadConfig = PUBLISHED, **settings) -> nn.Module:
    training = TrainingConfig(steps=1, rate=0.1, augment=AugmentConfig(crop=32))
    config = SegmenterConfig(
        **{"kind": kind, "rates": (2,), "width": WIDTH, "dropout": 0, "training": training} | settings
    )
    torch.manual_seed(0)
    module = HEADS[kind](config, LEVELS, CLASSES)
    prepare(module, head)
    return module


def features(number: int = 3) -> torch.Tensor:
    return torch.randn(number, 6, 7, 9, generator=torch.Generator().manual_seed(1))


def normalized(grid: torch.Tensor) -> torch.Tensor:
    """By the mean and the variance of a batch, without an affine part."""
    mean, variance = grid.mean(dim=(0, 2, 3), keepdim=True), grid.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    return (grid - mean) / torch.sqrt(variance + 1e-5)


# ── how they start ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_convolutions_start_from_a_normal_distribution_over_their_fan_out():
    head = built("deeplab_v1", HeadConfig())
    torch.manual_seed(7)
    prepare(head, PUBLISHED)
    torch.manual_seed(7)
    # outputs times taps: 5 x 9 of the dilated, 5 of the 1x1, 4 of the classifier
    for layer, fan_out in ((0, WIDTH * 9), (3, WIDTH), (7, CLASSES)):
        weight = head.layers[layer].weight
        assert torch.equal(weight, torch.empty_like(weight).normal_(0, math.sqrt(2 / fan_out)))


def test_the_bias_of_the_classifier_stays_as_it_was_and_so_does_all_by_default():
    plain, published = built("deeplab_v1", HeadConfig()), built("deeplab_v1")
    assert torch.equal(plain.layers[7].bias, published.layers[7].bias)
    torch.manual_seed(0)
    untouched = nn.Conv2d(6, WIDTH, 3, bias=False)
    assert torch.equal(plain.layers[0].weight, untouched.weight)
    assert [layer.momentum for layer in plain.layers if isinstance(layer, nn.BatchNorm2d)] == [0.1, 0.1]
    assert all(parameter.requires_grad for parameter in plain.parameters())


# ── how they learn ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_normalisation_measures_the_batch_at_its_momentum_and_learns_nothing():
    head = built("deeplab_v1").train()
    inside = F.conv2d(features(), head.layers[0].weight, padding=2, dilation=2)
    mixed = F.conv2d(normalized(inside).relu(), head.layers[3].weight)
    expected = F.conv2d(normalized(mixed).relu(), head.layers[7].weight, head.layers[7].bias)
    found = head([features()])
    torch.testing.assert_close(found, expected)
    for layer, seen in ((head.layers[1], inside), (head.layers[4], mixed)):
        torch.testing.assert_close(layer.running_mean, 0.0003 * seen.mean(dim=(0, 2, 3)))
        torch.testing.assert_close(layer.running_var, 0.9997 + 0.0003 * seen.var(dim=(0, 2, 3), unbiased=True))
    found.square().mean().backward()
    torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=1).step()
    assert {name for name, parameter in head.named_parameters() if parameter.grad is None} == {
        f"layers.{layer}.{part}" for layer in (1, 4) for part in ("weight", "bias")
    }
    assert head.layers[1].weight.tolist() == [1] * WIDTH
    assert head.layers[4].bias.tolist() == [0] * WIDTH


# ── v3 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_v3_joins_dilated_and_image_wide_features():
    head = built("deeplab_v3", rates=(0, 2, 3)).train()
    grid = features()
    kernels = [branch[0].weight for branch in head.branches]
    assert [kernel.shape[2] for kernel in kernels] == [1, 3, 3]
    parts = [F.conv2d(grid, kernels[0])]
    parts += [
        F.conv2d(grid, kernel, padding=rate, dilation=rate) for kernel, rate in zip(kernels[1:], (2, 3), strict=True)
    ]
    wide = F.conv2d(grid.mean(dim=(2, 3), keepdim=True), head.pooled[0].weight)
    joined = torch.cat([normalized(part).relu() for part in (*parts, wide.expand_as(parts[0]))], dim=1)
    mixed = normalized(F.conv2d(joined, head.mix[0].weight)).relu()
    expected = F.conv2d(mixed, head.classify.weight, head.classify.bias)
    torch.testing.assert_close(head([grid]), expected, rtol=1e-4, atol=1e-4)


def test_v3_takes_a_single_image_at_prediction_alone():
    head = built("deeplab_v3")
    assert head.eval()([features(1)]).shape == (1, CLASSES, 7, 9)
    with pytest.raises(TagmaskError, match="got 1 image; let at least 2 pass"):
        head.train()([features(1)])


def test_dropout_of_three_quarters_is_dropout_of_a_half_twice():
    share = load_recipe("voc-eps-ppc").segmenter.dropout
    head = built("deeplab_v3", dropout=share).train()
    twice = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).train()
    ones = torch.ones(100_000)
    for dropout in (head.dropout, twice):
        passed = dropout(ones)
        assert passed.unique().tolist() == [0, 4]
        assert (passed > 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
