"""Freezing, applied once and kept by the modules themselves.

Nothing overrides ``train()``. A frozen normalisation carries a forward pre-hook that puts it into evaluation mode right
before it runs, so whoever calls ``train()`` later does not bring its statistics back to life. The hook is a function of
this module: it survives deep copies and pickling, and state dicts do not see it.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from tagmask.contracts import Backbone
from tagmask.errors import TagmaskError


def freeze(
    backbone: Backbone,
    frozen_stages: int | Literal["all"],
    batch_norm: Literal["train", "statistics", "fixed", "frozen"],
) -> None:
    """Stop parts of a backbone from learning, in place and for good.

    Args:
        backbone: what to freeze.
        frozen_stages: so many of ``backbone.stages()``, from the input on, neither learn nor update
            statistics; ``all``: nothing of it does, what lies behind its stages included.
        batch_norm: in the other stages, ``train`` learns statistics and affine part, ``statistics`` keeps the affine
            part, ``fixed`` keeps the statistics, ``frozen`` keeps both.

    Raises:
        TagmaskError: more frozen stages than there are.
    """
    stages = backbone.stages()
    if frozen_stages == "all":
        stages, frozen_stages = [*stages, [backbone]], len(stages) + 1
    if frozen_stages > len(stages):
        raise TagmaskError(f"frozen_stages is {frozen_stages}, but the backbone has {len(stages)}; lower it.")
    for module in chain.from_iterable(stages[:frozen_stages]):
        module.requires_grad_(False)
        _keep_statistics(_normalizations(module))
    if batch_norm in ("fixed", "frozen"):
        _keep_statistics(_normalizations(backbone))
    if batch_norm in ("statistics", "frozen"):
        for layer in _normalizations(backbone):
            layer.requires_grad_(False)


def set_momentum(backbone: Backbone, momentum: float) -> None:
    """Give all batch normalisation of a backbone this share of a batch in the running statistics, in place."""
    for layer in _normalizations(backbone):
        layer.momentum = momentum


def _normalizations(module: nn.Module) -> list[BatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm)]


def keeps_statistics(layer: BatchNorm) -> bool:
    """Whether the statistics of a layer stay what they are, also in training."""
    return _evaluate in layer._forward_pre_hooks.values()


def _keep_statistics(layers: Iterable[BatchNorm]) -> None:
    for layer in layers:
        if not keeps_statistics(layer):
            layer.register_forward_pre_hook(_evaluate)


def _evaluate(module: nn.Module, _inputs: object) -> None:
    module.training = False
