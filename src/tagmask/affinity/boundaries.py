"""Pixel pairs and the boundaries between them: affinities along paths, displacements towards centres.

Two pixels belong together unless a boundary lies between them, and pixels of one object agree on where its centre is.
Pairs, offsets and codes are those of ``affinity``. Definitions: Ahn, Cho & Kwak, CVPR 2019 (IRN), sections 4 and 5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from tagmask.affinity.pairs import Offset, Pair, grids_at_once, pair_ends
from tagmask.contracts import Losses

# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def path(offset: Offset) -> list[Offset]:
    """The cells between a source and its partner, both included, relative to the source and row by row.

    They are the points of the bounding box nearer than 1 to the straight line through both ends.

    Example:
        >>> path((1, 1))
        [(0, 0), (0, 1), (1, 0), (1, 1)]
        >>> len(path((0, 3))), len(path((4, 2)))
        (4, 11)
    """
    dy, dx = offset
    box = [(y, x) for y in range(min(0, dy), max(0, dy) + 1) for x in range(min(0, dx), max(0, dx) + 1)]
    return [(y, x) for y, x in box if (dy * x - dx * y) ** 2 < dy**2 + dx**2]


@dataclass(frozen=True)
class _Run:
    """Cells of a path that follow each other in a row or in a column: the first of them, and how many."""

    start: Offset
    length: int
    along: int  # the axis: 1 within a row, 0 within a column


@cache
def _runs(offset: Offset) -> tuple[_Run, ...]:
    """A path as the fewest runs: rows of a flat one, columns of a steep one; every run is without gaps."""
    along = 1 if abs(offset[0]) <= abs(offset[1]) else 0
    cells = sorted(path(offset), key=lambda cell: (cell[1 - along], cell[along]))
    lines = [list(line) for _, line in groupby(cells, key=lambda cell: cell[1 - along])]
    return tuple(_Run(line[0], len(line), along) for line in lines)


# ── affinities ───────────────────────────────────────────────────────────────────────────────────────────────────────


def path_affinities(boundary: Float[Tensor, "b p q"], offsets: Sequence[Offset]) -> Float[Tensor, "b s p q"]:
    """1 - the largest boundary on the path of each pair (equation 3): in [0, 1], and 0 where the partner is outside.

    The cells of an image are ranked once, so that the largest rank on a path tells both how strong a boundary is and
    where. Ranks take two bytes in grids of up to 2¹⁵ cells; maxima over runs in rows and columns are shared by all
    paths, of which each is a few runs; and the backward pass finds them again. Nothing but the ranks' source, the
    boundary, is kept in between, and no index of a pair ever exists for more than one offset at a time.

    The gradient goes to one cell of each path. Of equal ones that is the cell nearest to the partner, counted in rows
    plus columns, then the upper one.

    Args:
        boundary: how likely a boundary passes through each cell, in [0, 1].
        offsets: (dy, dx) to the partners, dy not negative: see ``affinity.pair_offsets``.

    Example:
        >>> path_affinities(torch.tensor([[[0.0, 0.75, 0.0, 0.5]]]), [(0, 1), (0, 2)])
        tensor([[[[0.2500, 0.2500, 0.5000, 0.0000]],
        <BLANKLINE>
                 [[0.2500, 0.2500, 0.0000, 0.0000]]]])
    """
    return _PathAffinities.apply(boundary, tuple(offsets))


class _PathAffinities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, boundary: Float[Tensor, "b p q"], offsets: tuple[Offset, ...]) -> Float[Tensor, "b s p q"]:
        height, width = boundary.shape[1:]
        affinities = boundary.new_zeros(len(boundary), len(offsets), height, width)
        for part, planes in zip(_parts(boundary), _parts(affinities), strict=True):
            for ranking, chosen in _rankings(part, offsets):
                opposite = 1 - ranking.values
                for plane, largest in ranking.largest(offsets, chosen):
                    inside = planes[:, plane][pair_ends(height, width, offsets[plane])[0]]
                    inside.copy_(opposite.gather(1, largest).view_as(inside))
        ctx.save_for_backward(boundary)
        ctx.offsets = offsets
        return affinities

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names of arguments
        ctx: Any, *gradients: Float[Tensor, "b s p q"]
    ) -> tuple[Float[Tensor, "b p q"], None]:
        (boundary,) = ctx.saved_tensors
        height, width = boundary.shape[1:]
        total = torch.zeros_like(boundary)
        for part, planes, sums in zip(_parts(boundary), _parts(gradients[0]), _parts(total), strict=True):
            for ranking, chosen in _rankings(part, ctx.offsets):
                by_rank = torch.zeros_like(ranking.values)
                for plane, largest in ranking.largest(ctx.offsets, chosen):
                    inside = planes[:, plane][pair_ends(height, width, ctx.offsets[plane])[0]]
                    by_rank.scatter_add_(1, largest, inside.flatten(1))
                sums.sub_(by_rank.gather(1, ranking.ranks.long()).view_as(sums))
        return total, None


def _parts(grids: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "_ ..."], ...]:
    """What is worked on together."""
    return grids.split(grids_at_once(grids))


def _rankings(boundary: Float[Tensor, "b p q"], offsets: tuple[Offset, ...]) -> Iterator[tuple["_Ranking", list[int]]]:
    """One ranking for the offsets that point right or down, one for those that point left, and the planes of each."""
    fits = [abs(dy) < boundary.shape[1] and abs(dx) < boundary.shape[2] for dy, dx in offsets]
    for direction in (1, -1):
        chosen = [i for i, (_, dx) in enumerate(offsets) if fits[i] and (dx < 0) == (direction < 0)]
        if chosen and len(boundary):
            yield _Ranking(boundary, direction), chosen


class _Ranking:
    """The cells of each image in the order of their boundaries; of equal ones the cell preferred comes last.

    Attributes:
        values: boundaries in ascending order, ``b n``.
        ranks: the position of each cell in that order, ``b n`` in row-major order.
    """

    def __init__(self, boundary: Float[Tensor, "b p q"], direction: int) -> None:
        self.height, self.width = boundary.shape[1:]
        preferred = _by_preference(self.height, self.width, direction, boundary.device)
        values = boundary.flatten(1)[:, preferred]
        self.values, order = values.sort(dim=1, stable=True)
        num_cells = self.height * self.width
        dtype = torch.int16 if num_cells <= 2**15 else torch.int32
        positions = torch.arange(num_cells, dtype=dtype, device=boundary.device).expand(len(boundary), -1)
        self.ranks = torch.empty_like(positions, memory_format=torch.contiguous_format)
        self.ranks.scatter_(1, preferred[order], positions)
        self._maxima = {(1, along): self.ranks for along in (0, 1)}

    def largest(self, offsets: tuple[Offset, ...], chosen: list[int]) -> Iterator[tuple[int, Int[Tensor, "b n"]]]:
        """Plane and largest rank on the path of each pair that lies in the grid, sources row by row.

        A path is a few shifts in the row of all cells, however it crosses the lines of the grid; the pairs that wrap
        around the border are dropped at the end.
        """
        found = torch.empty_like(self.ranks)
        for plane in chosen:
            dy, dx = offsets[plane]
            first, last = max(0, -dx), found.shape[1] - dy * self.width - max(0, dx)
            maximum: Tensor | None = None
            for run in _runs((dy, dx)):
                shift = run.start[0] * self.width + run.start[1]
                values = self._run_maxima(run)[:, first + shift : last + shift]
                if maximum is None:
                    maximum = found[:, first:last].copy_(values)
                else:
                    torch.maximum(maximum, values, out=maximum)
            grid = found.unflatten(1, (self.height, self.width))
            yield plane, grid[pair_ends(self.height, self.width, (dy, dx))[0]].long().flatten(1)

    def _run_maxima(self, run: _Run) -> Int[Tensor, "b _"]:
        """The largest rank of each run of a length, at its first cell; made once from the next shorter ones."""
        key = (run.length, run.along)
        if key not in self._maxima:
            shorter = self._run_maxima(_Run(run.start, run.length - 1, run.along))
            step = 1 if run.along else self.width
            self._maxima[key] = torch.maximum(shorter[:, :-step], shorter[:, step:])
        return self._maxima[key]


def _by_preference(height: int, width: int, direction: int, device: torch.device) -> Int[Tensor, " n"]:
    """Cells of a grid, the preferred last: far along rows and ``direction``, then up."""
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)[None]
    return ((rows + direction * columns) * height - rows).flatten().argsort()


# ── displacements ────────────────────────────────────────────────────────────────────────────────────────────────────


def displacement_losses(
    field: Float[Tensor, "b 2 p q"], codes: UInt8[Tensor, "b s p q"], offsets: Sequence[Offset], eps: float = 1e-5
) -> Losses:
    """How far displacements are from pointing at one place (equations 5 to 7), counted over the whole batch.

    Two pixels of one object that point at the same place differ by the offset between them. In the background there is
    no object, and neighbours are to point alike. Differences are formed offset by offset, and only the two gradients
    with respect to the field are kept for the backward pass.

    Args:
        field: displacement of each cell, rows then columns, in cells.
        codes: the ``Pair`` code of each pair.
        offsets: (dy, dx) of each plane of ``codes``.
        eps: keeps a kind without pairs at 0.

    Returns:
        ``displacement_foreground``, the mean of |Dᵢ - Dⱼ - (dy, dx)| over both channels of pairs of one class, and
        ``displacement_background``, that of |Dᵢ - Dⱼ| over pairs of background, times 1/2 each.

    Example:
        >>> field = torch.tensor([[[[0.0, 0.0, 0.0]], [[2.0, 1.5, 1.0]]]])
        >>> codes = torch.tensor([[[[2, 1, 255]]]], dtype=torch.uint8)
        >>> {k: round(v.item(), 3) for k, v in displacement_losses(field, codes, [(0, 1)]).items()}
        {'displacement_foreground': 0.125, 'displacement_background': 0.125}
    """
    foreground, background = _Displacements.apply(field, codes, tuple(offsets), eps)
    return {"displacement_foreground": foreground / 2, "displacement_background": background / 2}


class _Displacements(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        field: Float[Tensor, "b 2 p q"],
        codes: UInt8[Tensor, "b s p q"],
        offsets: tuple[Offset, ...],
        eps: float,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        height, width = field.shape[2:]
        kinds = (Pair.FOREGROUND, Pair.BACKGROUND)
        sums, counts = field.new_zeros(len(kinds)), field.new_zeros(len(kinds))
        slopes = [torch.zeros_like(field) for _ in kinds]
        steps = _steps(offsets, field.dtype, field.device)
        for plane, offset in enumerate(offsets):
            here, there = pair_ends(height, width, offset)
            differences = field[here] - field[there]
            for i, kind in enumerate(kinds):
                chosen = (codes[:, plane : plane + 1][here] == kind).to(field.dtype)
                wanted = steps[plane] if kind == Pair.FOREGROUND else 0
                errors = (differences - wanted) * chosen
                sums[i] += errors.abs().sum()
                counts[i] += chosen.sum()
                signs = errors.sign_()
                slopes[i][here] += signs
                slopes[i][there] -= signs
        counts = 2 * counts + eps
        ctx.save_for_backward(*(slope.div_(count) for slope, count in zip(slopes, counts, strict=True)))
        means = sums / counts
        return means[0], means[1]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names of arguments
        ctx: Any, *gradients: Float[Tensor, ""]
    ) -> tuple[Float[Tensor, "b 2 p q"], None, None, None]:
        foreground, background = ctx.saved_tensors
        return gradients[0] * foreground + gradients[1] * background, None, None, None


@lru_cache(maxsize=4)
def _steps(offsets: tuple[Offset, ...], dtype: torch.dtype, device: torch.device) -> Float[Tensor, "s 2 1 1"]:
    """Offsets as a tensor; kept, as a copy of numbers makes an accelerator wait."""
    return torch.tensor(offsets, dtype=dtype, device=device).view(-1, 2, 1, 1)
