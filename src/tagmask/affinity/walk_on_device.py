"""The walk of ``random_walk`` as torch operations, on whatever device the tensors are.

The affinities of a cell to those around it, itself among them, lie in planes as the window of their directions does,
and one step is the sum over these planes of maps seen through shifted views: no matrix of all cells, no additions in an
order that may change. An accelerator takes a handful of operations for each step, however many directions there are.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tagmask.affinity.random_walk import Form, chebyshev_plan, exact_plan

MOST_PRODUCTS = 1 << 26  # numbers that one step holds at a time, 256 MiB of float32

Window = Float[Tensor, "y x p q"]


@torch.no_grad()
def walk_on_device(
    maps: Float[Tensor, "k p q"],
    affinities: Float[Tensor, "s p q"],
    offsets: Sequence[tuple[int, int]],
    beta: float,
    steps: int,
    form: Form = "chebyshev",
    tolerance: float = 1e-5,
) -> Float[Tensor, "k p q"]:
    """Average every map over the neighbours ``steps`` times, weighted by the affinities: see ``random_walk``.

    The device is waited for once, before the first step: values are checked, and how even the degrees are says how many
    terms the Chebyshev form needs.

    Args:
        maps: one map a class, float32 or float64, in which all is computed.
        affinities: on the same device, in any precision.
        offsets: (rows, columns) to the partner of each plane.
        beta: power of the affinities, above 0.
        steps: length t of the walk.
        form: step by step, or the expansion in Chebyshev polynomials.
        tolerance: bound on the error of the Chebyshev form.

    Returns:
        The walked maps, equal to those of ``random_walk`` up to rounding.

    Raises:
        ValueError: as ``random_walk``.

    Example:
        >>> walk_on_device(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]]), [(0, 1)], beta=8, steps=1)
        tensor([[[0.5000, 0.5000]]])
    """
    if len(offsets) != len(affinities):
        raise ValueError(
            f"got {len(offsets)} offsets for {len(affinities)} affinity planes; expected one for each plane."
        )
    if maps.numel() == 0:
        return maps.clone()
    weights = windowed(affinities.to(maps.dtype), offsets)
    powers = weights.pow(beta)
    degrees = powers.sum((0, 1), dtype=torch.float32 if maps.device.type == "mps" else torch.float64)  # MPS lacks it
    bound = tolerance / math.sqrt(_evenness(maps, weights, degrees))
    plan = exact_plan(steps) if form == "exact" else chebyshev_plan(steps, bound)
    together = max(1, MOST_PRODUCTS // weights.numel())
    return torch.cat([walked(part, powers, degrees, plan.tolist()) for part in maps.split(together)])


def windowed(affinities: Float[Tensor, "s p q"], offsets: Sequence[tuple[int, int]]) -> Window:
    """Affinities of each cell to those around it, by the rows and columns of the way there; its own, 1, in the middle.

    Pairs that leave the grid, and those without a number, have 0. There is a plane for each direction of the smallest
    window that holds all offsets which fit the grid.

    >>> windowed(torch.tensor([[[0.5, 0.9]]]), [(0, 1)]).tolist()
    [[[[0.0, 0.5]], [[1.0, 1.0]], [[0.5, 0.0]]]]
    """
    height, width = affinities.shape[1:]
    fitting = [i for i, (dy, dx) in enumerate(offsets) if abs(dy) < height and abs(dx) < width]
    tall, wide = (max((abs(offsets[i][axis]) for i in fitting), default=0) for axis in (0, 1))
    window = affinities.new_zeros(2 * tall + 1, 2 * wide + 1, height, width)
    window[tall, wide] = 1
    for i in fitting:
        dy, dx = offsets[i]
        here = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
        there = slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx))
        inside = affinities[i][here]
        window[tall + dy, wide + dx][here] = torch.where(inside.isnan(), 0, inside)
        window[tall - dy, wide - dx][there] = window[tall + dy, wide + dx][here]
    return window


def _evenness(maps: Float[Tensor, "k p q"], weights: Window, degrees: Float[Tensor, "p q"]) -> float:
    """Sum of the degrees over the smallest; looks on the way whether all values are as they should be."""
    facts = (maps.isfinite().all(), (weights.isfinite() & (weights >= 0)).all(), degrees.sum() / degrees.min())
    finite, positive, evenness = torch.stack([fact.to(degrees.dtype) for fact in facts]).tolist()
    if not finite:
        raise ValueError("the maps to walk contain NaN or infinity; expected finite values: check what made them.")
    if not positive:
        raise ValueError("affinities must be finite and not negative, with NaN or 0 where there is no pair.")
    return evenness


def walked(
    maps: Float[Tensor, "k p q"], powers: Window, degrees: Float[Tensor, "p q"], plan: Sequence[Sequence[float]]
) -> Float[Tensor, "k p q"]:
    """Apply a plan's polynomial of D^-½ B D^-½ between the scalings by D^½ and D^-½; the device is not waited for.

    Args:
        maps: what walks.
        powers: affinities to their power.
        degrees: their sums.
        plan: see ``random_walk.chebyshev_plan``.
    """
    roots = degrees.sqrt().to(maps.dtype)
    margins = (powers.shape[1] // 2,) * 2 + (powers.shape[0] // 2,) * 2
    there = _views(F.pad(degrees[None], margins, value=1.0), degrees.shape)[0]
    planes = (powers / (degrees * there).sqrt()).to(maps.dtype)
    now, before = maps * roots, torch.zeros_like(maps)
    total = plan[0][2] * now
    for factor, past, share in plan[1:]:
        stepped = (planes * _views(F.pad(now, margins), roots.shape)).sum((1, 2))
        now, before = stepped.mul_(factor).sub_(before, alpha=past), now
        total.add_(now, alpha=share)
    return (total / roots).clamp(maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True))


def _views(padded: Float[Tensor, "k _ _"], size: Sequence[int]) -> Float[Tensor, "k y x p q"]:
    """A map with margins as each direction of a window sees it; no memory is taken."""
    return padded.unfold(1, size[0], 1).unfold(2, size[1], 1)
