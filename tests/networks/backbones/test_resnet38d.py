import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from networks.backbones.mxnet_writer import params_file
from tagmask.config import Resnet38dBackbone
from tagmask.contracts import Backbone, Level
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone
from tagmask.networks.backbones.resnet38d import Resnet38d, mxnet_name, read_resnet38d_weights

SHARED = Path(os.environ.get("TAGMASK_SHARED", "../shared"))


@pytest.fixture
def resnet38d() -> Backbone:
    """Names and shapes without values."""
    with torch.device("meta"):
        return build_backbone(Resnet38dBackbone(weights="none"))


def test_it_has_as_many_parameters_as_the_published_one(resnet38d):
    classifier = 20 * 4096
    assert sum(p.numel() for p in resnet38d.parameters()) + classifier == 105_152_832
    assert sum(p.numel() for p in resnet38d.parameters() if p.requires_grad) + classifier == 104_284_160
    assert resnet38d.levels[1:] == (Level(512, 8), Level(1024, 8), Level(4096, 8))
    assert len(resnet38d.stages()) == 7


def test_names_and_shapes_are_the_published_ones(resnet38d):
    path = SHARED / "golden/network_keys.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    expected = json.loads(path.read_text())["resnet38d_backbone"]["keys"]
    assert {name: list(tensor.shape) for name, tensor in resnet38d.state_dict().items()} == expected


def test_epsilon_is_a_setting():
    with torch.device("meta"):
        backbone = Resnet38d(Resnet38dBackbone(weights="none", batch_norm_eps=1.001e-5))
    assert {layer.eps for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)} == {1.001e-5}


def published_name(name: str) -> str:
    """The MXNet name of one of our tensors, written down independently of the reader."""
    block, *middle, field = name.split(".")
    field = {"running_mean": "moving_mean", "running_var": "moving_var", "bias": "beta"}.get(field, field)
    if not middle:
        return f"{block}_{field if block == 'conv1a' or field != 'weight' else 'gamma'}"
    kind, branch = middle[0].split("_", 1)
    level, _, index = block[1:].partition("_")
    field = "gamma" if kind == "bn" and field == "weight" else field
    return f"{'res' if kind == 'conv' else 'bn'}{level}{'b' + index if index else 'a'}_{branch}_{field}"


def test_mxnet_names_cover_every_tensor(resnet38d):
    names = [name for name in resnet38d.state_dict() if not name.endswith("num_batches_tracked")]
    assert [mxnet_name(f"arg:{published_name(name)}") for name in names] == names


def test_unknown_mxnet_names_stay():
    assert mxnet_name("arg:res2a_weight") == "arg:res2a_weight"
    assert mxnet_name("data") == "data"


def test_an_mxnet_file_is_read_under_our_names_without_its_classifier(tmp_path):
    path = tmp_path / "w.params"
    arrays = {"arg:bn7_gamma": np.ones(3, "<f4"), "arg:linear1000_bias": np.ones(2, "<f4")}
    path.write_bytes(params_file(arrays, "V2"))
    weights = read_resnet38d_weights(path)
    assert list(weights) == ["bn7.weight"]
    torch.testing.assert_close(weights["bn7.weight"], torch.ones(3))


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "w.params"
    path.write_bytes(params_file({"arg:conv1a_weight": np.zeros((64, 3, 3, 3), "<f4")}, "V2"))
    with torch.device("meta"), pytest.raises(TagmaskError, match="missing"):
        Resnet38d(Resnet38dBackbone(weights=str(path)))
