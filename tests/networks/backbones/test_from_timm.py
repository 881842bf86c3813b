import os
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from networks.backbones.timm_settings import timm_backbone
from tagmask.config import TimmBackbone
from tagmask.contracts import Level, Normalization
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone, from_timm
from tagmask.networks.backbones.from_timm import FromTimm

SHARED = Path(os.environ.get("TAGMASK_SHARED", "../shared"))
ODD = (65, 97)


@pytest.fixture(scope="module")
def mobilenet() -> FromTimm:
    torch.manual_seed(0)
    return FromTimm(timm_backbone("mobilenetv2_050", pad_type="same"))


def test_features_behind_the_last_stage_are_the_deepest_level(mobilenet):
    backbone = mobilenet.eval()
    images = torch.randn(1, 3, *ODD)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), backbone.model.forward_features(images))
    assert [level.channels for level in backbone.levels[-2:]] == [160, 1280]


@pytest.mark.parametrize(("model", "signed"), [("mobilenetv2_050", False), ("resnet18", False), ("test_vit", True)])
def test_features_behind_a_relu_are_known_to_have_no_sign(model, signed):
    backbone = FromTimm(timm_backbone(model)).eval()
    assert backbone.signed == signed
    with torch.no_grad():
        assert bool((backbone(torch.randn(1, 3, *ODD)) < 0).any()) == signed


def test_same_tensor_is_not_listed_twice():
    levels = FromTimm(timm_backbone(output_stride=16)).levels
    assert levels == (Level(32, 2), Level(32, 4), Level(48, 8), Level(192, 16), Level(96, 16))


@pytest.mark.parametrize(("model", "prefix", "patch"), [("test_vit", 1, 16), ("vit_small_patch14_reg4_dinov2", 5, 14)])
def test_transformer_sees_the_image_enlarged_to_whole_patches_and_loses_its_prefix_tokens(model, prefix, patch):
    backbone = FromTimm(timm_backbone(model)).eval()
    assert (backbone.multiple, backbone.model.num_prefix_tokens) == (patch, prefix)
    images = torch.randn(1, 3, *ODD)
    rows, columns = (-(-n // patch) for n in ODD)
    enlarged = F.interpolate(images, (patch * rows, patch * columns), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), backbone(enlarged))
        tokens = backbone.model.forward_features(enlarged)[:, prefix:]
        torch.testing.assert_close(backbone(enlarged), tokens.transpose(1, 2).reshape(1, -1, rows, columns))


@pytest.mark.parametrize(("model", "stride"), [("resnet26d", 16), ("test_resnet", 8)])
def test_undilated_kernels_keep_the_grids(model, stride):
    dilated, undilated = (
        build_backbone(timm_backbone(model, output_stride=stride, dilated=wanted)).eval() for wanted in (True, False)
    )
    assert largest_dilation(dilated) > 1
    assert largest_dilation(undilated) == 1
    assert undilated.levels == dilated.levels
    images = torch.randn(1, 3, 33, 47)
    with torch.no_grad():
        grids = [[grid.shape for grid in each.forward_levels(images)] for each in (dilated, undilated)]
    assert grids[0] == grids[1]
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (dilated, undilated)]
    assert shapes[0] == shapes[1]


def largest_dilation(network: nn.Module) -> int:
    return max(max(layer.dilation) for layer in network.modules() if isinstance(layer, nn.Conv2d))


def test_normalization_is_the_models_unless_given(mobilenet):
    assert mobilenet.normalization == Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    given_mean = FromTimm(timm_backbone(mean=(0.1, 0.2, 0.3))).normalization
    assert given_mean == Normalization((0.1, 0.2, 0.3), tuple(timm.get_pretrained_cfg("test_resnet").std))


@pytest.mark.parametrize(("model", "asked", "message"), [("test_mambaout", 16, "32"), ("test_vit", 8, "16")])
def test_impossible_stride_names_the_possible_one(model, asked, message):
    with pytest.raises(TagmaskError, match=f"set output_stride: {message}"):
        FromTimm(timm_backbone(model, output_stride=asked))


@pytest.mark.parametrize(("model", "stride"), [("test_vit", 16), ("test_mambaout", 32)])
def test_a_model_may_keep_its_own_stride_where_that_is_allowed(model, stride):
    assert FromTimm(timm_backbone(model, output_stride=8, own_stride=True)).stride == stride
    assert FromTimm(timm_backbone("test_resnet", output_stride=8, own_stride=True)).stride == 8


def test_patch_of_fourteen_counts_as_sixteen():
    backbone = FromTimm(timm_backbone("vit_tiny_patch16_224.augreg_in21k", output_stride=16))
    assert backbone.stride == 16
    assert FromTimm(timm_backbone("eva02_tiny_patch14_224", output_stride=16)).stride == 14


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet5", "resnet50"),
        ("ResNet-50", "resnet50"),
        ("vit_small_dinov2", "vit_small_patch14_dinov2"),
        ("dinov2", "vit_.*_dinov2"),
        ("convnext tiny", "convnext_tiny"),
    ],
)
def test_unknown_model_names_near_ones(name, near):
    with pytest.raises(TagmaskError, match=f"did you mean .*{near}"):
        FromTimm(timm_backbone(name))


@pytest.mark.parametrize("name", ["/", "qqqqqqqq"])
def test_unknown_model_unlike_any_says_where_names_are_listed(name):
    with pytest.raises(TagmaskError, match=r"timm\.list_models\(\)"):
        FromTimm(timm_backbone(name))


def test_unknown_weights_of_a_model_name_those_that_there_are():
    with pytest.raises(TagmaskError, match=r"it has .*convnext_tiny\.fb_in1k"):
        FromTimm(timm_backbone("convnext_tiny.in1k_fb"))
    assert FromTimm(timm_backbone("test_vit.r160_in1k")).stride == 16


def test_a_model_without_grids_is_refused(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: nn.Identity())
    with pytest.raises(TagmaskError, match="no forward_intermediates; choose another model"):
        FromTimm(timm_backbone())


@pytest.mark.parametrize("model", ["maxvit_rmlp_pico_rw_256", "mixer_s32_224", "crossvit_tiny_240"])
def test_model_for_one_image_size_is_refused(model):
    with pytest.raises(TagmaskError, match="every image size"), torch.device("meta"):
        FromTimm(timm_backbone(model, output_stride=32))


def test_refused_pad_type_is_explained():
    with pytest.raises(TagmaskError, match="pad_type"):
        FromTimm(timm_backbone("test_resnet", pad_type="same"))


def test_no_network_says_how_to_give_a_file(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("name or service not known")

    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr(from_timm, "check_fetchable", lambda model: None)
    with pytest.raises(TagmaskError, match=r"set `weights` to the local .safetensors"):
        FromTimm(timm_backbone(weights="pretrained"))


def test_removed_classifiers_hidden_layers_do_not_learn():
    backbone = FromTimm(timm_backbone("mobilenetv3_small_050", output_stride=32))
    assert not any(p.requires_grad for p in backbone.model.conv_head.parameters())
    assert all(p.requires_grad for p in backbone.model.blocks.parameters())


def test_real_mobilenet_file():
    path = SHARED / "weights/mobilenetv2_100.tflite_in1k.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    config = timm_backbone("mobilenetv2_100", weights=str(path), pad_type="same", frozen_stages=2)
    backbone = build_backbone(config).train()
    with torch.no_grad():
        features = backbone(torch.randn(2, 3, *ODD))
    assert features.shape == (2, 1280, 5, 7)
    assert 0.01 < features.mean() < 1.5


def test_a_network_without_numbers_is_laid_out_too():
    with torch.device("meta"):
        backbone = FromTimm(TimmBackbone(model="test_resnet", weights="none"))
    assert backbone.signed  # it cannot be told
    assert next(backbone.parameters()).is_meta
