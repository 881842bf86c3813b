import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shared_runs import TinyBackbone
from tagmask.config import TimmBackbone
from tagmask.contracts import Level
from tagmask.networks.backbones import build_backbone
from tagmask.networks.folding import fold, folded, unfold


def timm_backbone(model="mobilenetv2_035", batch_norm="frozen", **settings):
    torch.manual_seed(0)
    backbone = build_backbone(TimmBackbone(model=model, weights="none", batch_norm=batch_norm, **settings))
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as a trained one: nothing is 1 or 0
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return backbone.train()


def passed(backbone, images):
    """Features of all levels, and what a sum of them sends back to every parameter that learns."""
    backbone.zero_grad()
    levels = backbone.forward_levels(images)
    torch.stack([level.square().mean() for level in levels]).sum().backward()
    return levels, {name: p.grad.clone() for name, p in backbone.named_parameters() if p.grad is not None}


def count(backbone) -> int:
    """Layers that pass in another way than their class says."""
    return sum("forward" in vars(layer) for layer in backbone.modules())


@pytest.mark.parametrize(
    ("model", "settings", "pairs"),
    [
        ("mobilenetv2_035", {"output_stride": 16}, 52),
        ("mobilenetv2_035", {"output_stride": 16, "pad_type": "same"}, 52),
        ("test_resnet", {"output_stride": 8}, 15),
    ],
)
@pytest.mark.parametrize("batch_norm", ["frozen", "fixed"])
def test_features_and_gradients_are_the_same_in_fewer_passes(model, settings, pairs, batch_norm):
    backbone = timm_backbone(model, batch_norm, **settings).double()
    images = torch.randn(2, 3, 65, 81, dtype=torch.float64)
    expected, slopes = passed(backbone, images)
    with folded(backbone):
        assert count(backbone) == 2 * pairs
        levels, found = passed(backbone, images)
    torch.testing.assert_close(levels, expected)
    assert found.keys() == slopes.keys()
    assert any("bn" in name for name in found) == (batch_norm == "fixed")
    torch.testing.assert_close(found, slopes)
    assert count(backbone) == 0


@pytest.mark.parametrize("batch_norm", ["train", "statistics"])
def test_what_learns_its_statistics_is_left_alone(batch_norm):
    backbone = timm_backbone(batch_norm=batch_norm)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with folded(backbone):
        assert count(backbone) == 0
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(layer.training for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d))
    with folded(backbone.eval()):
        assert count(backbone) > 0  # in evaluation no statistics are learned


def test_state_and_copies_know_nothing_of_it():
    backbone = timm_backbone().double()
    names = list(backbone.state_dict())
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with folded(backbone):
        assert list(backbone.state_dict()) == names
        other = copy.deepcopy(backbone)
        with torch.no_grad():
            backbone.model.conv_stem.weight.zero_()
        assert other.model.conv_stem.weight.abs().sum() > 0
    with torch.no_grad():
        other.model.conv_stem.weight.zero_()
    torch.testing.assert_close(other.forward_levels(images), backbone.forward_levels(images))


def test_who_begins_to_learn_afterwards_takes_the_statistics_of_the_batch():
    backbone = timm_backbone(batch_norm="train").eval()
    plain, images = copy.deepcopy(backbone), torch.randn(2, 3, 64, 64)
    fold(backbone)
    assert count(backbone) > 0
    expected, found = plain.train().forward_levels(images), backbone.train().forward_levels(images)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(backbone.state_dict(), plain.state_dict())


class Shared(TinyBackbone):
    """Something else than the normalisation looks at what a convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        nn.init.uniform_(self.norm.running_mean, 1, 2)
        self.levels = (Level(8, 1),)

    def forward_levels(self, images):
        given = self.first(images)
        return [F.relu(self.norm(given)) + given]


def test_nothing_is_folded_where_features_would_change():
    backbone = Shared().eval()
    with folded(backbone):
        assert count(backbone) == 0


def test_networks_without_normalisation_or_numbers_pass_as_they_are():
    with folded(TinyBackbone()):
        pass
    with torch.device("meta"):
        backbone = build_backbone(TimmBackbone(model="mobilenetv2_035", weights="none", batch_norm="frozen"))
    with folded(backbone):
        assert count(backbone) == 0


def test_whoever_has_begun_it_anyone_can_end_it():
    backbone = timm_backbone().eval()
    fold(backbone)
    assert count(backbone)
    own = backbone.train.__func__
    vars(backbone)["forward"] = own  # of somebody else, and none of ours
    unfold(backbone)
    assert count(backbone) == 1
