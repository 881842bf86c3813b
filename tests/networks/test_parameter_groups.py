"""Origin and kind of every parameter."""

import torch
from torch import nn

from tagmask.networks.parameter_groups import grouped_parameters


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False), nn.LayerNorm(4))


def place(groups, parameter) -> tuple[bool, str, float]:
    (group,) = [g for g in groups if any(p is parameter for p in g.parameters)]
    return group.new, group.kind, group.rate_factor


def test_each_parameter_is_sorted_by_origin_and_kind():
    old = network()
    new = [nn.Conv2d(4, 2, 1), nn.GroupNorm(1, 2)]
    groups = grouped_parameters(old, new)
    assert place(groups, old[0].weight) == (False, "weight", 1)
    assert place(groups, old[0].bias) == (False, "bias", 1)
    for layer in (old[1], old[3]):
        assert place(groups, layer.weight) == place(groups, layer.bias) == (False, "norm", 1)
    assert place(groups, new[0].weight) == (True, "weight", 1)
    assert place(groups, new[0].bias) == (True, "bias", 1)
    assert place(groups, new[1].weight) == place(groups, new[1].bias) == (True, "norm", 1)


def test_a_further_factor_reaches_new_layers_only():
    old, head = network(), nn.Linear(4, 2)
    groups = grouped_parameters(old, [head], 3.0)
    assert place(groups, old[0].weight) == (False, "weight", 1)
    assert place(groups, head.weight) == (True, "weight", 3)
    assert place(groups, head.bias) == (True, "bias", 3)


def test_every_learning_parameter_is_in_exactly_one_group():
    old, head = network(), nn.Linear(4, 2)
    old[2].weight.requires_grad_(False)
    members = [id(p) for g in grouped_parameters(old, [head]) for p in g.parameters]
    assert sorted(members) == sorted(id(p) for p in [*old.parameters(), *head.parameters()] if p.requires_grad)


def test_frozen_networks_leave_no_empty_groups():
    frozen = network().requires_grad_(False)
    assert [(g.new, g.kind) for g in grouped_parameters(frozen, [nn.Linear(4, 2, bias=False)])] == [(True, "weight")]
    assert grouped_parameters(frozen, []) == []


def test_embeddings_of_a_transformer_do_not_decay():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.pos_embed, self.cls_token = nn.Parameter(torch.ones(1, 9, 4)), nn.Parameter(torch.ones(1, 1, 4))
            self.line = nn.Conv1d(2, 1, 3)

    old = Embedded()
    groups = grouped_parameters(old, [])
    assert place(groups, old.pos_embed) == place(groups, old.cls_token) == (False, "norm", 1)
    assert place(groups, old.line.weight) == (False, "weight", 1)
