"""Which parameters learn how fast, and which of them decay: one rule for classifiers, affinity nets and segmenters."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from tagmask.contracts import ParameterGroup

_Kind = Literal["weight", "bias", "norm"]
_KINDS: tuple[_Kind, ...] = ("weight", "bias", "norm")


def grouped_parameters(
    existing: nn.Module | None, new: Sequence[nn.Module], rate_factor: float = 1.0
) -> list[ParameterGroup]:
    """Group the learning parameters of a pretrained network and of the layers added to it.

    A parameter counts as normalisation if it is a vector other than a bias, or the bias of a module whose weight is a
    vector: so do the affine parts of every normalisation layer and the scales of residual branches, by shape alone; and
    so do embeddings of places and tokens, ``1 n d``, which weight decay would pull to 0 as well.

    Args:
        existing: the pretrained network, or None; it may contain modules of ``new``, whose parameters then count as
            new.
        new: modules that start from random numbers.
        rate_factor: a further factor of the learning rate of ``new``.

    Returns:
        The groups that are not empty. Each parameter with ``requires_grad`` is in exactly one of them, also if it is
        shared between modules; the others are in none.

    Example:
        >>> groups = grouped_parameters(nn.Conv2d(3, 8, 1), [nn.Linear(8, 2, bias=False)])
        >>> [(len(g.parameters), g.new, g.kind) for g in groups]
        [(1, False, 'weight'), (1, False, 'bias'), (1, True, 'weight')]
    """
    seen: set[int] = set()
    young = [_by_kind(module, seen) for module in new]
    old = [] if existing is None else [_by_kind(existing, seen)]
    return [
        ParameterGroup(members, new=is_new, kind=kind, rate_factor=rate_factor if is_new else 1.0)
        for is_new, parts in ((False, old), (True, young))
        for kind in _KINDS
        if (members := [parameter for part in parts for parameter in part[kind]])
    ]


def _by_kind(root: nn.Module, seen: set[int]) -> dict[_Kind, list[nn.Parameter]]:
    """Sort the learning parameters below ``root`` that are not in ``seen`` yet, and add them to it."""
    found: dict[_Kind, list[nn.Parameter]] = {kind: [] for kind in _KINDS}
    for module in root.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                found[_kind(module, name, parameter)].append(parameter)
    return found


def _kind(module: nn.Module, name: str, parameter: nn.Parameter) -> _Kind:
    is_bias = name.endswith("bias")
    weight = getattr(module, "weight", None)
    if is_bias and not (isinstance(weight, Tensor) and weight.ndim < 2):
        return "bias"
    is_embedding = name != "weight" and parameter.ndim == 3 and len(parameter) == 1
    return "norm" if is_bias or is_embedding or parameter.ndim < 2 else "weight"
