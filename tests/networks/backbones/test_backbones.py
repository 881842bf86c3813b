"""What every backbone promises: grids of the declared sizes, whole stages, gradients everywhere."""

import copy

import pytest
import torch
from torch import nn

from networks.backbones.timm_settings import timm_backbone
from tagmask.config import Resnet38dBackbone, TimmBackbone
from tagmask.networks.backbones import BACKBONES, build_backbone

ODD = (65, 97)


CONFIGS = {
    "resnet8": timm_backbone(output_stride=8),
    "resnet16": timm_backbone(output_stride=16),
    "resnet32": timm_backbone(output_stride=32),
    "mobilenet": timm_backbone("mobilenetv2_050", pad_type="same"),
    "convnext": timm_backbone("test_convnext"),
    "vit": timm_backbone("test_vit"),
    "channels_last": timm_backbone("test_mambaout", output_stride=32),
    "resnet38d": Resnet38dBackbone(weights="none"),
}


@pytest.fixture(scope="module")
def backbones():
    torch.manual_seed(0)
    return {name: build_backbone(config) for name, config in CONFIGS.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_levels_have_the_declared_channels_and_sizes(backbones, name):
    backbone = backbones[name].eval()
    images = torch.randn(1, 3, *ODD)
    with torch.no_grad():
        grids = backbone.forward_levels(images)
        deepest = backbone(images)
    expected = [(1, level.channels, *(-(-n // level.stride) for n in ODD)) for level in backbone.levels]
    assert [tuple(grid.shape) for grid in grids] == expected
    assert all(torch.isfinite(grid).all() for grid in grids)
    assert torch.equal(deepest, grids[-1])
    assert (backbone.channels, backbone.stride) == (grids[-1].shape[1], backbone.levels[-1].stride)
    strides = [level.stride for level in backbone.levels]
    assert strides == sorted(strides)


@pytest.mark.parametrize("name", CONFIGS)
def test_train_and_eval_agree_without_dropout(backbones, name):
    backbone = backbones[name]
    for layer in backbone.modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            layer.p = 0.0  # for good: no other test looks at dropout
    images = torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        torch.testing.assert_close(backbone.train()(images), backbone.eval()(images))


@pytest.mark.parametrize("name", CONFIGS)
def test_stages_hold_every_parameter_once(backbones, name):
    backbone = backbones[name]
    held = [id(p) for stage in backbone.stages() for module in stage for p in module.parameters()]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters())


@pytest.mark.parametrize("name", ["resnet16", "mobilenet", "convnext", "vit"])
def test_every_learning_parameter_gets_a_gradient(backbones, name):
    backbone = copy.deepcopy(backbones[name]).train()
    torch.stack([grid.square().sum() for grid in backbone.forward_levels(torch.randn(2, 3, 48, 64))]).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in backbone.parameters())


def test_every_kind_of_settings_has_a_backbone():
    assert set(BACKBONES) == {TimmBackbone, Resnet38dBackbone}
