"""Sorts a network's parameters into groups: existing or new, weight, bias or normalisation."""

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import nn

from tagmask.contracts import ParameterGroup

_Kind = Literal["weight", "bias", "norm"]


def grouped_parameters(
    existing: nn.Module, new: Sequence[nn.Module], rate_factor_of_new: float = 1.0
) -> list[ParameterGroup]:
    """Every trainable parameter in exactly one group; frozen ones in none; empty groups left out.

    Args:
        existing: the backbone, whose weights are trained already.
        new: modules that start from random numbers.
        rate_factor_of_new: a further factor for the new modules.
    """
    sorted_parameters = [(False, 1.0, existing), *((True, rate_factor_of_new, module) for module in new)]
    groups: dict[tuple[bool, float, _Kind], list[nn.Parameter]] = {}
    for is_new, factor, module in sorted_parameters:
        for kind, parameter in _trainable(module):
            groups.setdefault((is_new, factor, kind), []).append(parameter)
    return [ParameterGroup(found, is_new, kind, factor) for (is_new, factor, kind), found in groups.items()]


def _trainable(module: nn.Module) -> Iterator[tuple[_Kind, nn.Parameter]]:
    """Trainable parameters with their kind; one-dimensional ones that are no bias of a convolution are normalisation."""
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if name == "bias" and isinstance(owner, nn.Conv2d | nn.Linear):
                yield "bias", parameter
            else:
                yield ("weight" if parameter.ndim > 1 else "norm"), parameter
