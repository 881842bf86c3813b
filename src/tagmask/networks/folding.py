"""Frozen batch normalisation folded into the convolutions before it: the same function in fewer passes over features.

A normalisation that keeps its statistics multiplies each channel by a number and adds another. A convolution does that
for nothing: its weights are multiplied, anew in every pass, so that gradients reach weights and affine parts as before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from tagmask.contracts import Backbone
from tagmask.networks.backbones.freezing import keeps_statistics
from tagmask.networks.depthwise import convolve

PROBE = 64  # pixels of the image that shows which layers follow each other
CLOSE = 1e-3  # of the largest feature: what rounding may make of a random one

Pair = tuple[nn.Conv2d, BatchNorm]


def fold(backbone: Backbone) -> Callable[[], None]:
    """Let the passes through a backbone fold what is frozen, and return what ends that.

    Nothing is folded where features would not be the same, as where something else looks at what a convolution gives.

    Args:
        backbone: its parameters, state and copies know nothing of it.
    """
    pairs = _pairs(backbone)
    before = _levels(backbone) if pairs else []
    for pair in pairs:
        _fold(*pair)
    if pairs and not _alike(before, _levels(backbone)):
        _undo(pairs)
    return partial(_undo, pairs)


def unfold(backbone: Backbone) -> None:
    """End what ``fold`` has begun, whoever called it: graphs are traced without, and their readers fold for good."""
    for layer in backbone.modules():
        if getattr(vars(layer).get("forward"), "func", None) in (_convolve, _what_follows):
            vars(layer).pop("forward")


@contextmanager
def folded(backbone: Backbone) -> Iterator[None]:
    """``fold`` for as long as the block lasts."""
    undo = fold(backbone)
    try:
        yield
    finally:
        undo()


# ── which layers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _pairs(backbone: Backbone) -> list[Pair]:
    """Convolutions and the frozen normalisation of what they give, as a pass shows them."""
    frozen = {
        layer
        for layer in backbone.modules()
        if isinstance(layer, BatchNorm)
        and layer.track_running_stats
        and (keeps_statistics(layer) or not backbone.training)
    }
    if not frozen or next(backbone.parameters()).device.type == "meta":
        return []
    given: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # tensors are kept, so that no other takes the place of one
    found: list[Pair] = []

    def note(layer: nn.Conv2d, _: Any, output: Tensor) -> None:
        given[id(output)] = layer, output

    def look(layer: BatchNorm, inputs: tuple[Tensor]) -> None:
        if id(inputs[0]) in given:
            found.append((given[id(inputs[0])][0], layer))

    hooks = [layer.register_forward_hook(note) for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    hooks += [layer.register_forward_pre_hook(look) for layer in frozen]
    try:
        _levels(backbone)
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.no_grad()
def _levels(backbone: Backbone) -> list[Float[Tensor, "1 _ _ _"]]:
    """Features of noise, in evaluation; the backbone stays as it is."""
    modes = {layer: layer.training for layer in backbone.modules()}
    like = next(backbone.parameters())
    noise = torch.randn(1, 3, PROBE, PROBE, generator=torch.Generator().manual_seed(0))
    try:
        return backbone.eval().forward_levels(noise.to(like.device, like.dtype))
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def _alike(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(bool((a - b).abs().max() <= CLOSE * a.abs().max()) for a, b in zip(one, other, strict=True))


# ── how they pass ────────────────────────────────────────────────────────────────────────────────────────────────────


def _fold(convolution: nn.Conv2d, normalization: BatchNorm) -> None:
    # On the objects and not in their classes, as other layers are of the same classes.
    vars(convolution)["forward"] = partial(_convolve, convolution, normalization)
    vars(normalization)["forward"] = partial(_what_follows, normalization)


def _undo(pairs: list[Pair]) -> None:
    for pair in pairs:
        for layer in pair:
            vars(layer).pop("forward", None)


class _Scaled:
    """A convolution as its own forward pass sees it, with other weights."""

    def __init__(self, convolution: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
        self._convolution, self.weight, self.bias = convolution, weight, bias

    def __getattr__(self, name: str) -> Any:
        return getattr(self._convolution, name)


def _learns(normalization: BatchNorm) -> bool:
    """Whether it takes the statistics of the batch: a backbone that was in evaluation has begun to learn."""
    return normalization.training and not keeps_statistics(normalization)


def _convolve(convolution: nn.Conv2d, normalization: BatchNorm, features: Tensor) -> Tensor:
    if _learns(normalization):
        return convolve(type(convolution), convolution, features)
    mean, variance = normalization.running_mean, normalization.running_var
    assert isinstance(mean, Tensor), "statistics are kept"
    assert isinstance(variance, Tensor), "statistics are kept"
    scale = (variance + normalization.eps).rsqrt()
    if normalization.weight is not None:
        scale = scale * normalization.weight
    shift = -mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    if normalization.bias is not None:
        shift = shift + normalization.bias
    weight = convolution.weight * scale[:, None, None, None]
    scaled: Any = _Scaled(convolution, weight, shift)
    return convolve(type(convolution), scaled, features)


def _what_follows(normalization: BatchNorm, features: Tensor) -> Tensor:
    """What a normalisation of timm does behind itself."""
    if _learns(normalization):
        return type(normalization).forward(normalization, features)
    for name in ("drop", "act"):
        features = getattr(normalization, name, nn.Identity())(features)
    return features
