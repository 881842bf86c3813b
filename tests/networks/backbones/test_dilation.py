"""Taps of convolutions whose stride was removed."""

import copy
import pickle

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from networks.backbones.timm_settings import timm_backbone
from tagmask.networks.backbones import build_backbone
from tagmask.networks.backbones.dilation import centre, undilate


def test_undilated_taps_are_neighbours_at_the_same_grid():
    layer = nn.Conv2d(1, 1, 3, padding=4, dilation=4)
    shape = layer(torch.zeros(1, 1, 5, 6)).shape
    undilate(layer)
    assert (layer.dilation, layer.padding) == ((1, 1), (1, 1))
    assert layer(torch.zeros(1, 1, 5, 6)).shape == shape


def test_two_taps_stay_around_their_cell():
    layer = nn.Conv2d(1, 1, 2, padding=1, dilation=2)
    undilate(layer)
    assert layer.dilation == (2, 2)


def two_taps() -> Conv2dSame:
    layer = Conv2dSame(1, 1, 2, bias=False)
    nn.init.ones_(layer.weight)
    return layer.requires_grad_(False)


@pytest.mark.parametrize("again", [lambda layer: layer, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_two_taps_are_centred_by_the_mean_of_both_places(again):
    layer, point = two_taps(), torch.zeros(1, 1, 3, 4)
    point[0, 0, 1, 2] = 4.0
    assert torch.equal(layer(point)[0, 0, :, :], torch.tensor([[0, 4, 4, 0], [0, 4, 4, 0], [0, 0, 0, 0.0]]))
    centre(layer)
    # 2 x 2 ones and the mean of 2 x 2: a pyramid of 3 x 3 around the point, whose sum is as large
    assert torch.equal(again(layer)(point)[0, 0], torch.tensor([[0, 1, 2, 1], [0, 2, 4, 2], [0, 1, 2, 1.0]]))
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    "layer",
    [Conv2dSame(1, 1, 3), Conv2dSame(1, 1, 2, stride=2), Conv2dSame(1, 1, 2, dilation=2), nn.Conv2d(1, 1, 2)],
    ids=["three taps", "with a stride", "dilated", "not completed"],
)
def test_other_convolutions_stay_as_they_are(layer):
    centre(layer)
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


@pytest.mark.parametrize(("stride", "count"), [(8, 1), (16, 1), (32, 0)])
def test_a_convnext_has_one_such_layer_where_its_stride_is_removed(stride, count):
    backbone = build_backbone(timm_backbone("test_convnext", output_stride=stride))
    assert sum(bool(layer._forward_hooks) for layer in backbone.modules()) == count


@pytest.mark.parametrize("stride", [8, 16])
def test_a_convnext_can_be_undilated(stride):
    backbone = build_backbone(timm_backbone("test_convnext", output_stride=stride, dilated=False)).eval()
    dilated = [max(layer.dilation) for layer in backbone.modules() if isinstance(layer, nn.Conv2d) if layer.groups > 1]
    assert max(dilated) == 1
    assert backbone(torch.zeros(1, 3, 65, 97)).shape[2:] == (-(-65 // stride), -(-97 // stride))
