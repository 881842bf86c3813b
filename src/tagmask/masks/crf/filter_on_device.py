"""Gaussian filtering on the permutohedral lattice as torch operations, on whatever device the tensors are.

The lattice is that of ``permutohedral``: the same roundings, ties and keys, for all points at once. Vertices have their
numbers from sorting the keys, and find their neighbours by searching in them; how many there are is the one number
that the device is asked for. All steps of a filter, splat, blur and slice, are weighted sums of rows of a table. Each
sum is made by one thread in a fixed order, without atomic additions: results are the same, bit by bit, every time.

Dimension letters: n points, d features, s = d + 1 corners of a simplex, v vertices, k classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from torch import Tensor
from torch.nn import functional as F

from tagmask.masks.crf.permutohedral import Scale, Steps, axis_scale, axis_steps

PIECE = 256  # rows that one thread adds up: a vertex of an even surface may have all pixels


@final
@dataclass(frozen=True)
class RowSums:
    """Weighted sums of rows of a table.

    Attributes:
        rows: numbers of the rows; each line is a sum, unless ``starts`` is given.
        weights: of each of them; None: 1.
        starts: where in ``rows`` each sum starts; it ends where the next one does, the last at the end.
    """

    rows: Int32[Tensor, "..."]
    weights: Float32[Tensor, "..."] | None = None
    starts: Int32[Tensor, " _"] | None = None

    def __call__(self, table: Float32[Tensor, "_ k"]) -> Float32[Tensor, "_ k"]:
        """All sums."""
        return F.embedding_bag(self.rows, table, self.starts, mode="sum", per_sample_weights=self.weights)


@final
@dataclass(frozen=True)
class FilterOnDevice:
    """Filter by a Gaussian kernel over n points, symmetrically normalised as ``gaussian_filter.GaussianFilter`` is.

    Attributes:
        splat: each point's values to its corners: sums of pieces, then sums of these for each vertex.
        blurs: a vertex plus half of its two neighbours, along one axis after another.
        slice: what a point reads from its corners.
    """

    splat: tuple[RowSums, RowSums]
    blurs: tuple[RowSums, ...]
    slice: RowSums

    def __call__(self, values: Float32[Tensor, "n k"]) -> Float32[Tensor, "n k"]:
        """The filtered values of all points; the device is not waited for."""
        return reduce(lambda table, sums: sums(table), (*self.splat, *self.blurs, self.slice), values)


@torch.no_grad()
def filter_on_device(
    features: Float32[Tensor, "n d"], span: Float32[np.ndarray, "_ d"], phantoms: int = 0
) -> FilterOnDevice:
    """Build the filter of a set of points.

    Args:
        features: positions in units of the standard deviation.
        span: points between which all others lie in every feature, here and not on the device.
        phantoms: points at the origin of the feature space that create vertices and nothing else.

    Raises:
        ValueError: see ``permutohedral.build_lattice``.

    Two points far apart do not mix, two points in one place share what they have:

    >>> points = np.array([[0, 0], [99, 0], [99, 0]], np.float32)
    >>> kernel = filter_on_device(torch.tensor(points), points)
    >>> kernel(torch.tensor([[1.0], [1.0], [3.0]])).round(decimals=3).ravel().tolist()
    [1.0, 2.0, 2.0]
    """
    scale = axis_scale(features.shape[1])
    steps = axis_steps(span, scale)
    keys, weights = _embedded(F.pad(features, (0, 0, 0, phantoms)), scale, steps)
    known, vertices = torch.unique(keys, return_inverse=True)
    vertices, weights = vertices[: len(features)], weights[: len(features)].contiguous()
    blurs = tuple(_blur(known, step) for step in steps.tolist())
    plain = _filter(vertices, weights, len(known), blurs)
    mass = plain(torch.ones_like(features[:, :1]))
    # The constant 1 / (1 + 2^-d) of the unnormalised filter cancels in the normalised one: it is left out of both.
    return _filter(vertices, weights / (mass + 1e-20).sqrt(), len(known), blurs)


# ── the lattice ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _embedded(
    features: Float32[Tensor, "n d"], scale: Scale, steps: Steps
) -> tuple[Int64[Tensor, "n s"], Float32[Tensor, "n s"]]:
    """Keys and barycentric weights of the corners around every point (section 3.1 of the paper)."""
    corners = len(steps)
    offset, origin, excess = _rounded(_projected(features, scale))
    # Rising offsets; of equal ones the last comes first: ties decide which vertices exist.
    axes = offset.argsort(dim=1, descending=True, stable=True).flip(1)
    places = torch.arange(corners, device=features.device)
    moved = (places >= corners + excess).int() - (places < excess).int()
    origin = origin.gather(1, axes) + moved
    offset = offset.gather(1, axes) - (moved * corners).float()
    along = _filled(steps.tolist(), features.device)[axes]
    turned = (places + excess) % corners  # one walks along the axes from this place on through all corners
    climbed, before = along.gather(1, turned).cumsum(1), offset.gather(1, (turned - 1) % corners)
    first = -(along * origin).sum(1, keepdim=True)
    keys = torch.cat([first, first + climbed[:, :-1]], dim=1)
    before = before - (places == 0).float() * corners
    return keys, (offset.gather(1, turned) - before) * float(np.float32(1) / np.float32(corners))


def _projected(features: Float32[Tensor, "n d"], scale: Scale) -> Float32[Tensor, "n s"]:
    """Points on the hyperplane of coordinates that sum to zero.

    One operation for each rounding that the compiled form makes, in the same order: positions are equal to the bit.
    """
    total, columns = torch.zeros_like(features[:, 0]), []
    for j in range(len(scale), 0, -1):
        scaled = features[:, j - 1] * float(scale[j - 1])
        columns.append(total - scaled * j)
        total = total + scaled
    return torch.stack([total, *columns[::-1]], dim=1)


def _rounded(
    offset: Float32[Tensor, "n s"],
) -> tuple[Float32[Tensor, "n s"], Int64[Tensor, "n s"], Int64[Tensor, "n 1"]]:
    """What is left of every coordinate beside the nearest multiple of s, the factor of it, and the factors' sum."""
    corners = offset.shape[1]
    nearest = (offset * float(np.float32(1) / np.float32(corners))).round()
    origin = nearest.long()
    return offset - nearest * corners, origin, origin.sum(1, keepdim=True)


def _filled(numbers: Sequence[int], device: torch.device) -> Int64[Tensor, " _"]:
    """A few numbers on the device, written there and not copied from here."""
    return torch.cat([torch.full((1,), number, dtype=torch.int64, device=device) for number in numbers])


# ── sums of rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _filter(
    vertices: Int64[Tensor, "n s"], weights: Float32[Tensor, "n s"], num_vertices: int, blurs: tuple[RowSums, ...]
) -> FilterOnDevice:
    return FilterOnDevice(_splat(vertices, weights, num_vertices), blurs, RowSums(vertices.int(), weights))


def _splat(
    vertices: Int64[Tensor, "n s"], weights: Float32[Tensor, "n s"], num_vertices: int
) -> tuple[RowSums, RowSums]:
    """Sums of at most ``PIECE`` points each, and sums of these for each vertex.

    Corners are sorted by their vertices, and a piece begins at each vertex and at every multiple of ``PIECE``: so many
    are known beforehand, and those that are empty add nothing.
    """
    found, order = vertices.flatten().sort(stable=True)
    numbers = torch.arange(num_vertices, device=vertices.device)
    starts = torch.searchsorted(found, numbers)
    multiples = torch.arange(0, len(found), PIECE, device=vertices.device)
    pieces = torch.cat([starts, multiples]).sort().values
    points = order // vertices.shape[1]
    firsts = numbers + (starts + PIECE - 1) // PIECE  # vertices before this one, and multiples
    return (
        RowSums(points.int(), weights.flatten()[order], pieces.int()),
        RowSums(torch.arange(len(pieces), dtype=torch.int32, device=vertices.device), None, firsts.int()),
    )


def _blur(known: Int64[Tensor, " v"], step: int) -> RowSums:
    """Each vertex plus half of those a step before and after; the vertex itself, 0 times, for those that are absent."""
    here = torch.arange(len(known), device=known.device)
    sides = [_found(known, known + move, here) for move in (-step, step)]
    rows = torch.stack([here, *(place for place, _ in sides)], dim=1)
    weights = torch.stack([torch.ones_like(sides[0][1]), *(0.5 * there for _, there in sides)], dim=1)
    return RowSums(rows.int(), weights)


def _found(
    known: Int64[Tensor, " v"], wanted: Int64[Tensor, " v"], otherwise: Int[Tensor, " v"]
) -> tuple[Int64[Tensor, " v"], Float[Tensor, " v"]]:
    """The place of each wanted key, or another one, and whether it is there, as 1 or 0."""
    place = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
    there = known[place] == wanted
    return torch.where(there, place, otherwise), there.float()
