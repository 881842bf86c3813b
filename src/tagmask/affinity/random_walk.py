"""Random walk of maps along pixel affinities, without the matrix of all pixels against all pixels.

With B the affinities to the power beta (1 on the diagonal, 0 where there is no pair), D = diag(B 1) and T = B D⁻¹, the
walked maps are X Tᵗ: t weighted averages over the neighbours (Ahn & Kwak, CVPR 2018, section 3.3; Ahn, Cho & Kwak,
CVPR 2019, equation 12). The published code squares T log₂ t times, at N³ operations for N pixels. Here one step is a
stencil over the affinity planes, N operations for each plane, and t steps shrink to about √t by an expansion in
Chebyshev polynomials. Imports no torch, so that worker processes start quickly.
"""

import math
from collections.abc import Sequence
from typing import Literal, no_type_check

import numpy as np
from jaxtyping import Float, Int64

from tagmask.system.compiled import compiled

Form = Literal["exact", "chebyshev"]

STRIP = 256  # pixels updated together: long enough for vector instructions, short enough for the fastest cache


def random_walk(
    maps: Float[np.ndarray, "k p q"],
    affinities: Float[np.ndarray, "s p q"],
    offsets: Sequence[tuple[int, int]],
    beta: float,
    steps: int,
    form: Form = "chebyshev",
    tolerance: float = 1e-5,
    dtype: type[np.float32 | np.float64] = np.float32,
) -> Float[np.ndarray, "k p q"]:
    """Average every map over the neighbours ``steps`` times, weighted by the affinities.

    Every value that comes out is a weighted mean of the map's own values: constant maps and pixels without any pair
    stay as they are, and nothing leaves the range of the map.

    Args:
        maps: one map a class, finite, any unit.
        affinities: plane i holds the affinity, non-negative, of each pixel to its partner at ``offsets[i]``; NaN or 0
            where there is no pair. Pairs that leave the grid are never read.
        offsets: (rows, columns) to the partner, each unordered pair of directions once: see ``affinity.pair_offsets``.
        beta: power of the affinities, above 0.
        steps: length t of the walk; 0 returns the maps.
        form: ``exact`` makes t steps; ``chebyshev`` makes about √(2 t ln(1 / tolerance)) and is never longer.
        tolerance: bound on the error of the Chebyshev form, as a share of the largest magnitude of the map.
        dtype: precision of the computation and of the result; float32 rounding adds a few 1e-6.

    Returns:
        The walked maps.

    Raises:
        ValueError: if there are not as many offsets as planes, or values are not finite or affinities negative.

    Example:
        >>> maps, affinities = np.array([[[0.0, 1.0]]]), np.array([[[1.0, np.nan]]])
        >>> random_walk(maps, affinities, [(0, 1)], beta=8, steps=1)
        array([[[0.5, 0.5]]], dtype=float32)
    """
    weights, deltas = _pair_weights(affinities.astype(dtype), offsets, beta)
    if not np.isfinite(maps).all():
        raise ValueError("the maps to walk contain NaN or infinity; expected finite values: check what made them.")
    if maps.size == 0:
        return maps.astype(dtype)
    degrees = _degrees(weights, deltas)
    bound = tolerance / math.sqrt(degrees.sum() / degrees.min())
    plan = exact_plan(steps) if form == "exact" else chebyshev_plan(steps, bound)
    walked = _walk(maps.reshape(len(maps), -1), weights, deltas, degrees, plan.astype(dtype))
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return np.clip(walked.reshape(maps.shape), low, high, dtype=dtype, casting="same_kind")


# ── polynomials of the step ──────────────────────────────────────────────────────────────────────────────────────────


def exact_plan(steps: int) -> Float[np.ndarray, "n 3"]:
    """The plan that takes one step after the other: see ``chebyshev_plan`` for the columns.

    Example:
        >>> exact_plan(2)
        array([[1., 0., 0.],
               [1., 0., 0.],
               [1., 0., 1.]])
    """
    plan = np.tile([1.0, 0.0, 0.0], (steps + 1, 1))
    plan[steps, 2] = 1.0
    return plan


def chebyshev_plan(steps: int, bound: float) -> Float[np.ndarray, "n 3"]:
    """The shortest plan whose polynomial differs from xᵗ by at most ``bound`` anywhere on [-1, 1].

    On [-1, 1], xᵗ = Σ cⱼ Tⱼ(x) over the j ≤ t of the parity of t, with cⱼ = 2¹⁻ᵗ C(t, (t-j)/2), and half of that for
    j = 0 (Sachdeva & Vishnoi, Foundations and Trends in TCS 2014, theorem 3.2). As |Tⱼ| ≤ 1 there, leaving out all j
    above some degree costs at most the sum of their cⱼ. The cⱼ are the probabilities that t coin tosses, added as +1
    and -1, end at ±j, so that sum is below 2 exp(-j²/2t) and a degree of √(2 t ln(2 / bound)) is always enough. Follows
    from the ratio of neighbouring coefficients, which no t overflows, and from their sum, which is 1.

    For symmetric B the step T is similar to S = D^-½ B D^-½, whose eigenvalues lie in [-1, 1]; so the walk errs, in
    the norm weighted by the degrees, by at most ``bound`` times the norm of the map, whatever the affinities.

    Args:
        steps: t, from 0.
        bound: largest error, above 0.

    Returns:
        One row (a, b, c) for each degree j from 0: Tⱼ = a x Tⱼ₋₁ - b Tⱼ₋₂ is added c times. Row 0 has only its c.

    Example:
        >>> chebyshev_plan(2, 1e-9)  # x² = ½ T₀ + ½ T₂
        array([[1. , 0. , 0.5],
               [1. , 0. , 0. ],
               [2. , 1. , 0.5]])
    """
    reach = min(steps, 40 * math.isqrt(steps) + 40)  # beyond, coefficients are below exp(-800)
    degrees = np.arange(steps % 2, reach + 1, 2)
    ratios = (steps - degrees[:-1]) / (steps + degrees[:-1] + 2)
    coefficients = np.concatenate(([1.0], np.cumprod(ratios)))
    if steps % 2 == 0:
        coefficients[0] = 0.5
    coefficients /= coefficients.sum()
    from_here_on = np.cumsum(coefficients[::-1])[::-1]
    kept = max(1, int((from_here_on > bound).sum()))
    plan = np.tile([2.0, 1.0, 0.0], (degrees[kept - 1] + 1, 1))
    plan[:2, :2] = 1.0, 0.0
    plan[degrees[:kept], 2] = coefficients[:kept]
    return plan


# ── the stencil ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _pair_weights(
    affinities: Float[np.ndarray, "s p q"], offsets: Sequence[tuple[int, int]], beta: float
) -> tuple[Float[np.ndarray, "n m"], Int64[np.ndarray, " n"]]:
    """Affinities to the power beta, one row of pixels for each offset that fits the grid, and its step in that row."""
    num_planes, height, width = affinities.shape
    if len(offsets) != num_planes:
        raise ValueError(f"got {len(offsets)} offsets for {num_planes} affinity planes; expected one for each plane.")
    fitting = [i for i, (dy, dx) in enumerate(offsets) if abs(dy) < height and abs(dx) < width]
    weights = np.zeros((len(fitting), height, width), affinities.dtype)
    for row, i in zip(weights, fitting, strict=True):
        dy, dx = offsets[i]
        inside = np.s_[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
        row[inside] = np.nan_to_num(affinities[i][inside], nan=0.0, posinf=np.inf)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("affinities must be finite and not negative, with NaN or 0 where there is no pair.")
    deltas = np.array([offsets[i][0] * width + offsets[i][1] for i in fitting], dtype=np.int64)
    return (weights**beta).reshape(len(fitting), height * width), deltas


def _degrees(weights: Float[np.ndarray, "n m"], deltas: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Sum of the weights of each pixel's pairs, plus 1 for the pixel itself."""
    degrees = 1.0 + weights.sum(0, dtype=np.float64)
    for row, delta in zip(weights, deltas, strict=True):
        degrees += np.roll(row, delta)  # rows are 0 where the roll would wrap
    return degrees


def _walk(
    maps: Float[np.ndarray, "k m"],
    weights: Float[np.ndarray, "n m"],
    deltas: Int64[np.ndarray, " n"],
    degrees: Float[np.ndarray, " m"],
    plan: Float[np.ndarray, "_ 3"],
) -> Float[np.ndarray, "k m"]:
    """Apply the plan's polynomial of D^-½ B D^-½ between the scalings by D^½ and D^-½.

    All rows get a margin of zeros as wide as the longest reach of an offset, and the pixels are rounded up to whole
    strips, so that the stencil needs no test for borders.
    """
    num_pixels = maps.shape[1]
    margin = int(abs(deltas).max(initial=0))
    strips = -(-num_pixels // STRIP)
    padding = ((0, 0), (margin, margin + strips * STRIP - num_pixels))
    roots = np.sqrt(degrees).astype(plan.dtype)
    planes = weights / roots
    for plane, delta in enumerate(deltas):
        planes[plane] /= np.roll(roots, -delta)
    diagonal = np.pad((1 / degrees[None]).astype(plan.dtype), padding)[0]
    now = np.pad((maps * roots).astype(plan.dtype), padding)
    walked = _follow(plan, np.pad(planes, padding), diagonal, deltas, now, margin, strips)
    return walked[:, margin : margin + num_pixels] / roots


@compiled
@no_type_check
def _follow(plan, planes, diagonal, deltas, now, margin, strips):
    before, strip = np.zeros_like(now), np.empty(STRIP, now.dtype)
    total = plan[0, 2] * now
    for factor, past, coefficient in plan[1:]:
        for start in range(margin, margin + strips * STRIP, STRIP):
            stop = start + STRIP
            for k in range(len(now)):
                _gather(strip, planes, diagonal, deltas, now[k], start)
                _combine(strip, before[k, start:stop], total[k, start:stop], factor, past, coefficient)
        now, before = before, now
    return total


@compiled
@no_type_check
def _gather(strip, planes, diagonal, deltas, values, start):
    stop = start + STRIP
    own, here = diagonal[start:stop], values[start:stop]
    for i in range(STRIP):
        strip[i] = own[i] * here[i]
    for n in range(len(deltas)):
        delta = deltas[n]
        forward, ahead = planes[n, start:stop], values[start + delta : stop + delta]
        backward, behind = planes[n, start - delta : stop - delta], values[start - delta : stop - delta]
        for i in range(STRIP):
            strip[i] += forward[i] * ahead[i] + backward[i] * behind[i]


@compiled
@no_type_check
def _combine(strip, before, total, factor, past, coefficient):
    for i in range(STRIP):
        before[i] = factor * strip[i] - past * before[i]
        total[i] += coefficient * before[i]
