"""Rates and decay of every parameter."""

import pytest
from torch import nn

from tagmask.parameter_groups import grouped_parameters


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False), nn.LayerNorm(4))


def factors(groups, parameter) -> tuple[float, float]:
    (group,) = [g for g in groups if any(p is parameter for p in g.parameters)]
    return group.rate_factor, group.decay_factor


def test_each_kind_has_its_rate_and_decay():
    old = network()
    new = [nn.Conv2d(4, 2, 1), nn.GroupNorm(1, 2)]
    groups = grouped_parameters(old, new, head_factor=10, bias_factor=2)
    assert factors(groups, old[0].weight) == (1, 1)
    assert factors(groups, old[0].bias) == (2, 0)
    assert factors(groups, old[1].weight) == factors(groups, old[1].bias) == (1, 0)
    assert factors(groups, old[3].weight) == factors(groups, old[3].bias) == (1, 0)
    assert factors(groups, new[0].weight) == (10, 1)
    assert factors(groups, new[0].bias) == (20, 0)
    assert factors(groups, new[1].weight) == factors(groups, new[1].bias) == (10, 0)


def test_every_learning_parameter_is_in_exactly_one_group():
    old = network()
    old[2].weight.requires_grad_(False)
    head = nn.Linear(4, 2)
    groups = grouped_parameters(nn.ModuleList([old, head]), [head, head], head_factor=10, bias_factor=2)
    members = [id(p) for g in groups for p in g.parameters]
    learning = [id(p) for p in [*old.parameters(), *head.parameters()] if p.requires_grad]
    assert sorted(members) == sorted(learning)
    assert factors(groups, head.weight) == (10, 1)


def test_empty_groups_are_left_out():
    frozen = network().requires_grad_(False)
    groups = grouped_parameters(frozen, [nn.Linear(4, 2, bias=False)], 10, 2)
    assert [(g.rate_factor, g.decay_factor, len(g.parameters)) for g in groups] == [(10, 1, 1)]
    assert grouped_parameters(frozen, [], 10, 2) == []


def test_parameters_without_a_layer_of_their_own_are_sorted_by_shape():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gamma = nn.Parameter(nn.init.ones_(nn.Linear(1, 3, bias=False).weight[:, 0].detach()))

    scale, attention = Scale(), nn.MultiheadAttention(4, 1)
    groups = grouped_parameters(nn.ModuleList([scale, attention]), [], 10, 2)
    assert factors(groups, scale.gamma) == (1, 0)
    assert factors(groups, attention.in_proj_bias) == (2, 0)
    assert factors(groups, attention.in_proj_weight) == (1, 1)


@pytest.mark.parametrize("bias_factor", [1, 2.0])
def test_the_order_of_the_groups_is_fixed(bias_factor):
    groups = grouped_parameters(network(), [nn.Linear(4, 2)], 5, bias_factor)
    expected = [(1, 1), (bias_factor, 0), (1, 0), (5, 1), (5 * bias_factor, 0)]
    assert [(g.rate_factor, g.decay_factor) for g in groups] == expected
