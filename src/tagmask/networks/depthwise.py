"""Trainings of depthwise convolutions on processors, by ways that torch is quicker at; the same function.

A depthwise convolution has a filter for each channel. Torch has quick gradients of those with 3 x 3 weights, no stride
and no dilation. Others cost several times as much, and in bfloat16 ten times; of networks such as MobileNetV2, which
hold few of them, that is a good part of a step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


@contextmanager
def quick_depthwise(network: nn.Module) -> Iterator[None]:
    """Let the depthwise convolutions of a network pass by ``convolve`` for as long as the block lasts.

    What passes in another way already, as what is folded, stays as it is; ``folding`` calls ``convolve`` itself.
    """
    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d) and _is_depthwise(each)]
    layers = [layer for layer in layers if "forward" not in vars(layer)]
    try:
        for layer in layers:  # on the objects and not in their classes, as other layers are of the same classes
            vars(layer)["forward"] = partial(convolve, type(layer), layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def convolve(kind: type[nn.Conv2d], layer: Any, features: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
    """What ``kind.forward`` of a layer gives.

    Args:
        kind: class of the layer.
        layer: a convolution, or what has all of its attributes.
        features: what it is given.
    """
    if features.device.type != "cpu" or not (_is_depthwise(layer) and _learns(layer, features)):
        return kind.forward(layer, features)
    if _splits(kind, layer):
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else features.dtype
        bias = None if layer.bias is None else layer.bias.to(dtype)
        return _Split.apply(features.to(dtype), layer.weight.to(dtype), bias, layer.dilation)
    if layer.kernel_size == (3, 3) and layer.stride == (1, 1) and layer.dilation == (1, 1):
        return kind.forward(layer, features)
    with torch.autocast("cpu", enabled=False):
        return kind.forward(layer, features.to(layer.weight.dtype))


def _is_depthwise(layer: Any) -> bool:
    return layer.groups == layer.in_channels == layer.out_channels > 1


def _learns(layer: Any, features: Tensor) -> bool:
    given = (features, layer.weight, layer.bias)
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in given)


def _splits(kind: type[nn.Conv2d], layer: Any) -> bool:
    """Whether a layer is dilated, and gives a grid as large as it gets with zeros around."""
    same = tuple(rate * (side // 2) for rate, side in zip(layer.dilation, layer.kernel_size, strict=True))
    odd = all(side % 2 for side in layer.kernel_size)
    plain = kind is nn.Conv2d and layer.padding_mode == "zeros" and layer.stride == (1, 1) and odd
    return plain and layer.padding == same and layer.dilation != (1, 1)


class _Split(torch.autograd.Function):
    """A dilated convolution as undilated ones of the grids of every n-th row and column: they do not see each other."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, rates: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rates, ctx.has_bias = rates, bias is not None
        padding, groups = [side // 2 for side in weight.shape[2:]], len(weight)
        out = torch.empty_like(_innermost(features))
        for part in _parts(features, rates):
            out[part] = F.conv2d(_innermost(features[part]), weight, bias, padding=padding, groups=groups)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator's doing
        features, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2]]
        to_features = torch.empty_like(_innermost(features)) if wanted[0] else None
        to_weight, to_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        for part in _parts(features, ctx.rates):
            seen = _innermost(features[part])
            of_features, of_weight, of_bias = _slopes(_innermost(slopes[0][part]), seen, weight, wanted)
            if to_features is not None:
                to_features[part] = of_features
            to_weight += of_weight if wanted[1] else 0
            to_bias += of_bias if wanted[2] else 0
        return to_features, to_weight if wanted[1] else None, to_bias if wanted[2] else None, None


def _parts(features: Tensor, rates: tuple[int, int]) -> Iterator[tuple[slice, ...]]:
    """Where the cells of each grid lie; grids without any cell are left out."""
    rows, columns = (range(min(rate, side)) for rate, side in zip(rates, features.shape[2:], strict=True))
    for row, column in product(rows, columns):
        yield slice(None), slice(None), slice(row, None, rates[0]), slice(column, None, rates[1])


def _innermost(grid: Tensor) -> Tensor:
    return grid.contiguous(memory_format=torch.channels_last)


def _slopes(slopes: Tensor, features: Tensor, weight: Tensor, wanted: list[bool]) -> tuple[Any, ...]:
    """What a depthwise convolution without stride and dilation sends back to features, weight, bias; None: unasked."""
    padding = [side // 2 for side in weight.shape[2:]]
    return torch.ops.aten.convolution_backward(
        slopes, features, weight, [len(weight)], [1, 1], padding, [1, 1], False, [0, 0], len(weight), wanted
    )
