"""Pixel pairs on a feature grid: which exist, how alike their features are, what they ought to be.

A pair is a source pixel (y, x) and its partner (y + dy, x + dx). Offsets (dy, dx) cover half a disc, so that every pair
appears once; anything said of pairs is a stack of planes, ``s p q``, plane i for ``offsets[i]``, each value at the
source pixel. Definitions: Ahn & Kwak, CVPR 2018 (AffinityNet), sections 4.1 and 4.2.
"""

import math
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Literal, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.system.compiled import compiled, in_threads

CPU_PART = 2**20  # features worked on at once on a CPU; measured: larger parts leave the cache, smaller ones idle cores

CACHED_CELLS = 2**17  # cells of planes worked on at once there, likewise; far smaller parts cost more calls than work

Offset = tuple[int, int]
Border = Literal["full", "interior"]


class Pair(IntEnum):
    """What the labels of two pixels say about them."""

    IGNORED = 0
    BACKGROUND = 1
    FOREGROUND = 2
    DIFFERENT = 3
    NONE = 255


KINDS = (Pair.BACKGROUND, Pair.FOREGROUND, Pair.DIFFERENT)  # of pairs that losses count, in their order
_IGNORED, _BACKGROUND, _FOREGROUND, _DIFFERENT, _NONE = map(int, Pair)  # as compiled loops know them


# ── geometry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def pair_offsets(radius: int) -> list[Offset]:
    """All (dy, dx) shorter than ``radius`` that point right or down, row by row; a radius below 2 has none.

    Example:
        >>> pair_offsets(2)
        [(0, 1), (1, -1), (1, 0), (1, 1)]
        >>> len(pair_offsets(5)), len(pair_offsets(10))
        (34, 152)
    """
    right = [(0, dx) for dx in range(1, radius)]
    below = [(dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius)]
    return right + [(dy, dx) for dy, dx in below if dy**2 + dx**2 < radius**2]


def fitting_radius(height: int, width: int, radius: int) -> int:
    """The largest radius up to ``radius`` that leaves the ``interior`` rule some sources on a small grid.

    Example:
        >>> fitting_radius(56, 56, 5), fitting_radius(9, 10, 5)
        (5, 4)
    """
    return min(radius, (min(height, width) - 1) // 2)


def pair_exists(
    height: int, width: int, offsets: Sequence[Offset], border: Border, device: torch.device | None = None
) -> Bool[Tensor, "s h w"]:
    """True where a pair starts; made once for the grids and offsets of a training, so it is not to be changed.

    Args:
        height: rows of the grid.
        width: columns of the grid.
        offsets: (dy, dx) of each plane.
        border: ``full`` takes every pair inside the grid. ``interior`` takes the same sources for all offsets, those
            whose partners all lie inside: rows 0..h-r and columns r-1..w-r for radius r. Published networks were
            trained so; it leaves the 10 pixels in the lower corners without any pair at radius 5.
        device: of the result; None: the CPU.
    """
    return _pair_exists(height, width, tuple(offsets), border, device or torch.device("cpu"))


@lru_cache(maxsize=4)
@torch.inference_mode(mode=False)  # whoever asks first, a training may be the next
def _pair_exists(
    height: int, width: int, offsets: tuple[Offset, ...], border: Border, device: torch.device
) -> Bool[Tensor, "s h w"]:
    exists = torch.zeros(len(offsets), height, width, dtype=torch.bool, device=device)
    for plane, offset in zip(exists, offsets, strict=True):
        plane[pair_ends(height, width, offset)[0]] = True
    if border == "interior":
        reach = max((max(abs(dy), abs(dx)) for dy, dx in offsets), default=0)
        exists[:, max(0, height - reach) :] = False
        exists[:, :, :reach] = False
        exists[:, :, max(0, width - reach) :] = False
    return exists


def pair_ends(height: int, width: int, offset: Offset) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Indices of all sources and of all partners of one offset, in the same order; empty if it does not fit.

    Example:
        >>> here, there = pair_ends(1, 4, (0, -1))
        >>> grid = torch.arange(4)[None]
        >>> grid[here].tolist(), grid[there].tolist()
        ([[1, 2, 3]], [[0, 1, 2]])
    """
    (top, bottom), (left, right) = (_span(size, step) for size, step in zip((height, width), offset, strict=True))
    return (..., top, left), (..., bottom, right)


def _span(size: int, step: int) -> tuple[slice, slice]:
    length = max(0, size - abs(step))
    first, second = max(0, -step), max(0, step)
    return slice(first, first + length), slice(second, second + length)


# ── affinities ───────────────────────────────────────────────────────────────────────────────────────────────────────


def feature_affinities(features: Float[Tensor, "b d p q"], offsets: Sequence[Offset]) -> Float[Tensor, "b s p q"]:
    """exp(-mean |fᵢ - fⱼ|) over the channels of each pair (equation 2): in (0, 1], and 0 where the partner is outside.

    Differences are formed offset by offset, and again in the backward pass instead of being kept, so that memory
    stays near that of the features; the gradient of |0| is 0.

    Example:
        >>> feature_affinities(torch.tensor([[[[0.0, 0.0, 1.0]]]]), [(0, 1)])
        tensor([[[[1.0000, 0.3679, 0.0000]]]])
    """
    return _FeatureAffinities.apply(features, tuple(offsets))


class _FeatureAffinities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Float[Tensor, "b d p q"], offsets: tuple[Offset, ...]) -> Float[Tensor, "b s p q"]:
        height, width = features.shape[-2:]
        affinities = features.new_zeros(len(features), len(offsets), height, width)
        size = _grids_at_once(features)
        for part, planes in zip(features.split(size), affinities.split(size), strict=True):
            for plane, offset in enumerate(offsets):
                here, there = pair_ends(height, width, offset)
                planes[:, plane][here] = (part[here] - part[there]).abs_().mean(1).neg_().exp_()
        ctx.save_for_backward(features, affinities)
        ctx.offsets = offsets
        return affinities

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names of arguments
        ctx: Any, *gradients: Float[Tensor, "b s p q"]
    ) -> tuple[Float[Tensor, "b d p q"], None]:
        features, affinities = ctx.saved_tensors
        height, width = features.shape[-2:]
        slopes = gradients[0] * affinities / -features.shape[1]
        total = torch.zeros_like(features)
        size = _grids_at_once(features)
        for part, planes, sums in zip(features.split(size), slopes.split(size), total.split(size), strict=True):
            for plane, offset in enumerate(ctx.offsets):
                here, there = pair_ends(height, width, offset)
                change = (part[here] - part[there]).sign_().mul_(planes[:, plane : plane + 1][here])
                sums[here] += change
                sums[there] -= change
        return total, None


def _grids_at_once(features: Float[Tensor, "b d p q"]) -> int:
    """How many images to work on together: on a CPU what its cache holds, on other devices the whole batch."""
    num_images = max(1, len(features))
    if features.device.type != "cpu":
        return num_images
    return max(1, CPU_PART * num_images // max(1, features.numel()))


# ── what pairs ought to be ───────────────────────────────────────────────────────────────────────────────────────────


def pair_codes(labels: Int[Tensor, "b p q"], offsets: Sequence[Offset], border: Border) -> UInt8[Tensor, "b s p q"]:
    """The ``Pair`` code of every pair of labels: 0 background, 1.. other classes, ``IGNORE`` unknown.

    Example:
        >>> pair_codes(torch.tensor([[[0, 0, 1, 1, -1]]]), [(0, 1)], "full")
        tensor([[[[  1,   3,   2,   0, 255]]]], dtype=torch.uint8)
    """
    height, width = labels.shape[-2:]
    exists = pair_exists(height, width, offsets, border, labels.device)
    make = _compiled_codes if labels.device.type == "cpu" else codes_by_planes
    return make(labels, offsets, exists)


def codes_by_planes(
    labels: Int[Tensor, "b p q"], offsets: Sequence[Offset], exists: Bool[Tensor, "s p q"]
) -> UInt8[Tensor, "b s p q"]:
    """``pair_codes`` on any device, for the pairs that exist."""
    height, width = labels.shape[-2:]
    known = (labels != IGNORE).to(torch.uint8)
    alike = known * torch.where(labels == BACKGROUND, Pair.BACKGROUND, Pair.FOREGROUND).to(torch.uint8)
    codes = known.new_full((len(labels), len(offsets), height, width), Pair.NONE)
    for plane, offset in enumerate(offsets):
        here, there = pair_ends(height, width, offset)
        different = Pair.DIFFERENT * (known[here] * known[there])
        codes[:, plane][here] = torch.where(labels[here] == labels[there], alike[here], different)
    return codes.masked_fill_(~exists, Pair.NONE)


def _compiled_codes(
    labels: Int[Tensor, "b p q"], offsets: Sequence[Offset], exists: Bool[Tensor, "s p q"]
) -> UInt8[Tensor, "b s p q"]:
    codes = torch.empty(len(labels), *exists.shape, dtype=torch.uint8)
    known, steps = labels.contiguous().numpy(), np.array(offsets, np.int64).reshape(-1, 2)
    in_threads(
        lambda image: _write_codes(known[image], steps, exists.numpy(), codes[image].numpy()),
        len(labels),
        torch.get_num_threads(),
    )
    return codes


@compiled
@no_type_check
def _write_codes(labels, offsets, exists, codes):
    height, width = labels.shape
    for plane in range(len(offsets)):
        dy, dx = offsets[plane]
        for y in range(height):
            for x in range(width):
                if not exists[plane, y, x]:
                    codes[plane, y, x] = _NONE
                    continue
                here, there = labels[y, x], labels[y + dy, x + dx]
                if min(here, there) == IGNORE:  # no label is less
                    codes[plane, y, x] = _IGNORED
                elif here != there:
                    codes[plane, y, x] = _DIFFERENT
                else:
                    codes[plane, y, x] = _BACKGROUND if here == BACKGROUND else _FOREGROUND


# ── how many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def grids_at_once(grids: Shaped[Tensor, "n ..."]) -> int:
    """How many grids are worked on together: on a CPU as many as its cache holds; on other devices all of them."""
    if grids.device.type != "cpu" or not grids.numel():
        return max(1, len(grids))
    return max(1, CACHED_CELLS // math.prod(grids.shape[-2:]))
