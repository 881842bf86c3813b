import copy
import pickle

import pytest
import torch
from torch import nn

from networks.backbones.timm_settings import timm_backbone
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone
from tagmask.networks.backbones.freezing import freeze
from tagmask.networks.backbones.from_timm import FromTimm


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.named_buffers() if tensor.is_floating_point()}


def moved_statistics(network: nn.Module) -> set[str]:
    """Names of the statistics that a forward pass in training mode changes."""
    before = statistics(network)
    network.train()(torch.randn(2, 3, 64, 64))
    return {name for name, tensor in statistics(network).items() if not torch.equal(tensor, before[name])}


def learning(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def affine(network: nn.Module) -> int:
    return sum(2 * layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


def test_fixed_keeps_statistics_and_frozen_the_affine_part_too():
    total = learning(FromTimm(timm_backbone()))
    train, fixed, frozen = (build_backbone(timm_backbone(batch_norm=mode)) for mode in ("train", "fixed", "frozen"))
    assert (learning(train), learning(fixed), learning(frozen)) == (total, total, total - affine(frozen))
    assert moved_statistics(train) == set(statistics(train))
    assert moved_statistics(fixed) == moved_statistics(frozen) == set()


def test_statistics_alone_may_learn_at_a_momentum_of_their_own():
    backbone = build_backbone(timm_backbone(batch_norm="statistics", batch_norm_momentum=0.0003))
    assert learning(backbone) == learning(FromTimm(timm_backbone())) - affine(backbone)
    first = next(layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d))
    seen = []
    first.register_forward_hook(lambda _layer, inputs, _output: seen.append(inputs[0].detach()))
    before = first.running_mean.clone()
    assert moved_statistics(backbone) == set(statistics(backbone))
    torch.testing.assert_close(first.running_mean, 0.9997 * before + 0.0003 * seen[0].mean(dim=(0, 2, 3)))
    assert {layer.momentum for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)} == {0.0003}


def test_frozen_stages_keep_weights_and_statistics():
    backbone = build_backbone(timm_backbone(batch_norm="train", frozen_stages=2))
    stages = [nn.ModuleList(stage) for stage in backbone.stages()]
    assert [learning(stage) > 0 for stage in stages] == [False, False, True, True, True]
    moved = moved_statistics(backbone)
    still = {name for name in statistics(backbone) if name.startswith(("model.conv1", "model.bn1", "model.layer1"))}
    assert still
    assert moved == set(statistics(backbone)) - still


@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_freezing_survives_copies(again):
    backbone = build_backbone(timm_backbone("mobilenetv2_050", batch_norm="frozen", frozen_stages=1))
    copied = again(backbone)
    copied.load_state_dict(backbone.state_dict())
    assert learning(copied) == learning(backbone) > 0
    assert moved_statistics(copied) == set()


def test_freezing_twice_is_freezing_once():
    backbone = build_backbone(timm_backbone())
    freeze(backbone, 0, "fixed")
    assert {len(m._forward_pre_hooks) for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {1}


def test_more_stages_than_there_are_are_refused():
    with pytest.raises(TagmaskError, match="frozen_stages is 6, but the backbone has 5"):
        build_backbone(timm_backbone(frozen_stages=6))


def test_all_of_a_backbone_may_stay_as_it_is():
    backbone = build_backbone(timm_backbone("mobilenetv2_050", batch_norm="train", frozen_stages="all"))
    assert learning(backbone) == 0
    assert moved_statistics(backbone) == set()
    assert not any(grid.requires_grad for grid in backbone.train().forward_levels(torch.randn(2, 3, 64, 64)))
