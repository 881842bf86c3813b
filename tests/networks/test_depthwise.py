from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from tagmask.config import TimmBackbone
from tagmask.networks import depthwise
from tagmask.networks.backbones import build_backbone
from tagmask.networks.depthwise import convolve, quick_depthwise
from tagmask.networks.folding import folded


def layer_of(kernel=3, rate=1, stride=1, groups=6, bias=True, padding=None, out=6, **settings):
    torch.manual_seed(0)
    padding = rate * (kernel // 2) if padding is None else padding
    return nn.Conv2d(
        6, out, kernel, stride=stride, padding=padding, dilation=rate, groups=groups, bias=bias, **settings
    ).double()


def both_ways(layer, features):
    """What the class gives and what ``convolve`` gives, with all gradients of a sum of squares."""
    found = []
    for pass_by in (type(layer).forward, lambda layer, features: convolve(type(layer), layer, features)):
        layer.zero_grad()
        given = features.clone().requires_grad_()
        out = pass_by(layer, given)
        (out.double().square().sum() / 2).backward()
        found.append((out, given.grad, *(p.grad for p in layer.parameters())))
    return found


@pytest.mark.parametrize("size", [(9, 12), (7, 7), (1, 5), (2, 3), (16, 1)])
@pytest.mark.parametrize("rate", [2, 3, (1, 2), (4, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_a_dilated_layer_gives_and_learns_the_same(size, rate, kernel, bias):
    rates = (rate, rate) if isinstance(rate, int) else rate
    layer = layer_of(kernel, rates, bias=bias, padding=tuple(each * (kernel // 2) for each in rates))
    expected, found = both_ways(layer, torch.randn(2, 6, *size, dtype=torch.float64))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"stride": 2},
        {"kernel": 5, "stride": 2},
        {"rate": 2, "stride": 2},
        {"rate": 2, "padding": 0},
        {"kernel": 4, "rate": 2, "padding": 2},
        {"rate": 2, "padding_mode": "reflect"},
        {"rate": 2, "groups": 3},
        {"rate": 2, "groups": 1},
        {"rate": 2, "out": 12},
        {"kernel": 7},
        {},
    ],
)
def test_any_other_layer_gives_and_learns_the_same(settings):
    expected, found = both_ways(layer_of(**settings), torch.randn(2, 6, 11, 10, dtype=torch.float64))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_grid_without_cells_passes():
    layer = layer_of(rate=2)
    assert convolve(nn.Conv2d, layer, torch.zeros(0, 6, 5, 5, dtype=torch.float64)).shape == (0, 6, 5, 5)


@pytest.mark.parametrize("learns", list(product([True, False], repeat=3)))
def test_what_learns_nothing_gets_no_slope(learns):
    layer, found = layer_of(rate=2), []
    for pass_by in (nn.Conv2d.forward, partial(convolve, nn.Conv2d)):
        torch.manual_seed(1)
        features = torch.randn(2, 6, 7, 9, dtype=torch.float64)
        parts = (features, layer.weight, layer.bias)
        for part, is_learned in zip(parts, learns, strict=True):
            part.requires_grad_(is_learned).grad = None
        out = pass_by(layer, features)
        if any(learns):
            out.square().sum().backward()
        found.append((out, *(part.grad for part in parts)))
    assert [slope is not None for slope in found[1][1:]] == [*learns]
    for one, other in zip(*found, strict=True):
        assert one is other is None or torch.allclose(one, other)


def test_what_learns_nothing_passes_as_torch_has_it(monkeypatch):
    monkeypatch.setattr(depthwise, "_Split", None)
    layer = layer_of(rate=2).requires_grad_(False)
    assert convolve(nn.Conv2d, layer, torch.randn(2, 6, 7, 9, dtype=torch.float64)).shape == (2, 6, 7, 9)


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"rate": 2}, torch.bfloat16),
        ({}, torch.bfloat16),
        ({"stride": 2}, torch.float32),
        ({"kernel": 5}, torch.float32),
        ({"rate": 2, "stride": 2}, torch.float32),
    ],
)
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_mixed_precision_spares_what_it_would_slow_down(settings, dtype, given):
    layer = layer_of(**settings).float()
    features = torch.randn(2, 6, 11, 10).to(given).float()
    expected, _ = both_ways(layer, features)
    with torch.autocast("cpu", torch.bfloat16):
        seen = features.to(given).requires_grad_()
        out = convolve(nn.Conv2d, layer, seen)
    assert out.dtype == dtype
    layer.zero_grad()
    (out.double().square().sum() / 2).backward()
    found = (out, seen.grad, *(p.grad for p in layer.parameters()))
    assert seen.grad.dtype == given
    assert layer.weight.grad.dtype == torch.float32
    for one, other in zip(found, expected, strict=True):
        assert (one.float() - other).norm() <= 0.02 * other.norm()


def test_no_gradient_asks_for_nothing_but_the_layer_itself():
    layer, features = layer_of(rate=2), torch.randn(2, 6, 7, 9, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(convolve(nn.Conv2d, layer, features), layer(features))


def passed(network, images):
    network.zero_grad()
    levels = network.forward_levels(images)
    torch.stack([level.square().mean() for level in levels]).sum().backward()
    return levels, {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pad_type", ["", "same"])
@pytest.mark.parametrize("fold", [True, False])
def test_a_backbone_gives_and_learns_the_same(pad_type, fold, monkeypatch):
    settings = {"output_stride": 8, "pad_type": pad_type, "batch_norm": "frozen"}
    backbone = build_backbone(TimmBackbone(model="mobilenetv2_035", weights="none", **settings)).double().train()
    images = torch.randn(2, 3, 65, 49, dtype=torch.float64)
    expected = passed(backbone, images)
    calls, slopes = [], depthwise._slopes
    monkeypatch.setattr(depthwise, "_slopes", lambda *given: calls.append(1) or slopes(*given))
    if fold:
        with folded(backbone), quick_depthwise(backbone):
            found = passed(backbone, images)
    else:
        with quick_depthwise(backbone):
            found = passed(backbone, images)
    torch.testing.assert_close(found, expected)
    assert len(calls) > 10
    assert not any("forward" in vars(layer) for layer in backbone.modules())


def test_an_error_leaves_layers_as_they_were():
    network = nn.Sequential(layer_of(rate=2), nn.Conv2d(6, 6, 3))
    inside = []

    def fail() -> None:
        with quick_depthwise(network):
            inside.extend("forward" in vars(layer) for layer in network)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [True, False]
    assert "forward" not in vars(network[0])
