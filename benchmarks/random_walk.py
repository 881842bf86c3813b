"""The random walk against squarings of the full matrix: ``python benchmarks/random_walk.py [--json FILE]``."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from measuring import Median, Row, in_new_process, peak_megabytes, print_figures, seconds

from tagmask.affinity.pairs import feature_affinities, pair_exists, pair_offsets
from tagmask.affinity.random_walk import random_walk

RADIUS, BETA, SQUARINGS, NUM_MAPS = 5, 8.0, 8, 3
STEPS = 2**SQUARINGS
OFFSETS = pair_offsets(RADIUS)
STRIDE_8, STRIDE_4 = (47, 63), (94, 125)  # grids of a 375 x 500 image


def run() -> Iterator[Row]:
    """All figures: seconds are medians, errors are against squarings in float64, memory is above the inputs."""
    maps, affinities = example(STRIDE_8)
    transition = dense_transition(affinities)
    flat = torch.from_numpy(maps).flatten(1)
    truth = dense_walk(flat.double(), transition.double()).numpy().reshape(maps.shape)
    dense_seconds, dense = timed(lambda: dense_walk(flat, transition), repeats=3)
    yield "grid", STRIDE_8
    yield "torch_threads", torch.get_num_threads()
    yield "dense_seconds", dense_seconds
    yield "dense_max_error", largest_difference(dense.numpy().reshape(maps.shape), truth)
    for form in ("exact", "chebyshev"):
        taken, walked = timed(lambda form=form: random_walk(maps, affinities, OFFSETS, BETA, STEPS, form), repeats=15)
        yield f"{form}_seconds", taken
        yield f"{form}_times_faster", dense_seconds / taken
        yield f"{form}_max_error", largest_difference(walked, truth)
    yield from stride_4().items()


def stride_4() -> dict[str, Any]:
    """Time, memory and error at stride 4, where the full matrix would take half a gigabyte."""
    maps, affinities = example(STRIDE_4)
    taken, walked = timed(lambda: random_walk(maps, affinities, OFFSETS, BETA, STEPS), repeats=9)
    truth = random_walk(maps, affinities, OFFSETS, BETA, STEPS, "exact", dtype=np.float64)
    return {
        "stride_4_grid": STRIDE_4,
        "stride_4_seconds": taken,
        "stride_4_max_error": largest_difference(walked, truth),
        "stride_4_peak_megabytes": in_new_process(stride_4_megabytes),
    }


def stride_4_megabytes() -> float | None:
    """Growth of resident memory during a walk; None where Linux does not tell."""
    maps, affinities = example(STRIDE_4)
    random_walk(maps[:, :8, :8], affinities[:, :8, :8], OFFSETS, BETA, STEPS)  # compiles
    return peak_megabytes(lambda: random_walk(maps, affinities, OFFSETS, BETA, STEPS))


def example(grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Maps in [0, 1] and affinities of smooth random features with edges between them."""
    torch.manual_seed(0)
    coarse = torch.nn.functional.interpolate(torch.randn(1, 16, 7, 9), grid, mode="bilinear")
    features = coarse.sign() * 0.2 + coarse * 0.2 + torch.randn(1, 16, *grid) * 0.05
    affinities = feature_affinities(features, OFFSETS)[0].numpy()
    maps = torch.nn.functional.interpolate(torch.rand(1, NUM_MAPS, 12, 16), grid, mode="bilinear")[0] ** 4
    return maps.numpy(), affinities


def dense_transition(affinities: np.ndarray) -> torch.Tensor:
    """Matrix whose columns sum to 1, as the published code builds it."""
    height, width = affinities.shape[1:]
    matrix = torch.eye(height * width)
    exists = pair_exists(height, width, OFFSETS, "full").flatten(1).numpy()
    for plane, present, (dy, dx) in zip(affinities.reshape(len(OFFSETS), -1), exists, OFFSETS, strict=True):
        source = np.flatnonzero(present)
        values = torch.from_numpy(plane[source])
        matrix[source, source + dy * width + dx] = matrix[source + dy * width + dx, source] = values
    powers = matrix**BETA
    return powers / powers.sum(0, keepdim=True)


def dense_walk(maps: torch.Tensor, transition: torch.Tensor) -> torch.Tensor:
    """The published way: square, square, ..., multiply."""
    for _ in range(SQUARINGS):
        transition = transition @ transition
    return maps @ transition


def timed(function: Callable[[], Any], repeats: int) -> tuple[Median, Any]:
    """Median seconds of a call after a first one, and its result."""
    result = function()
    return Median([seconds(function) for _ in range(repeats)]), result


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


if __name__ == "__main__":
    print_figures(run, __doc__)
