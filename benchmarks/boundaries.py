"""IRN's paths, pair labels and propagation: ``python benchmarks/boundaries.py [--json FILE]``.

The affinity of a pair of cells is 1 - the largest boundary on the path between them. It is compared, forward and
backward, with gathering: an int64 index for every cell of every path, taken from the flat grid, then a maximum. Labels
of pairs made where the network is, of one map of labels, are compared with three float32 arrays made in a loader.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from measuring import Median, Row, in_new_process, in_turn, peak_megabytes, print_figures, seconds
from torch import Tensor

from tagmask.affinity.boundaries import path, path_affinities
from tagmask.affinity.pairs import KINDS, pair_codes, pair_exists, pair_offsets
from tagmask.affinity.random_walk import random_walk
from tagmask.conventions import BACKGROUND, IGNORE

GRID, RADIUS = (128, 128), 10  # a crop of 512 pixels at stride 4
OFFSETS = pair_offsets(RADIUS)
BATCHES, LABELLED_BATCH = (1, 4), 16
REPEATS = 7

PHOTOGRAPH, WALK_RADIUS, BETA, STEPS = (120, 160), 5, 10.0, 256  # 480 x 640 pixels at stride 4
WALK_OFFSETS = pair_offsets(WALK_RADIUS)
NUM_MAPS = 21


def run() -> Iterator[Row]:
    """All figures: seconds are medians of both forms in turn, memory is the growth above the inputs."""
    yield "torch_threads", torch.get_num_threads()
    yield "path_affinities", {"grid": GRID, "radius": RADIUS, "index_megabytes": megabytes(path_indices(GRID))}
    for place, batch in enumerate(BATCHES):
        yield f"path_affinities.results.{place}", compare(batch)
    yield "pair_labels", {"grid": GRID, "radius": RADIUS} | pair_labels()
    yield "propagation", {"grid": PHOTOGRAPH, "radius": WALK_RADIUS, "steps": STEPS, "maps": NUM_MAPS} | propagation()


# ── affinities along paths ───────────────────────────────────────────────────────────────────────────────────────────


def compare(batch: int) -> dict[str, Any]:
    """Time, memory and agreement of one forward and backward pass."""
    boundary, indices = example(batch, GRID), path_indices(GRID)
    slopes, pair_slopes = gradients(batch, GRID)
    ours, gathering = in_turn(
        lambda: through_paths(boundary, slopes),
        lambda: through_indices(boundary, pair_slopes, indices),
        repeats=REPEATS,
    )
    peak, gathering_peak = in_new_process(paths_megabytes, batch), in_new_process(indices_megabytes, batch)
    return {
        "batch": batch,
        "seconds": ours,
        "gathering_seconds": gathering,
        "times_faster": gathering / ours,
        "peak_megabytes": peak,
        "gathering_peak_megabytes": gathering_peak,
        "times_less_memory": gathering_peak / peak if peak and gathering_peak else None,
    } | agreement(boundary, indices)


def agreement(boundary: Float[Tensor, "b p q"], indices: list[Int64[Tensor, "_ _"]]) -> dict[str, float]:
    """Largest differences of affinities and, for slopes of 1, of the gradients."""
    exists = pair_exists(*GRID, OFFSETS, "interior").float()
    affinities, gradient = through_paths(boundary, exists.expand(len(boundary), -1, -1, -1))
    gathered, other = through_indices(boundary, torch.ones_like(gradients(len(boundary), GRID)[1]), indices)
    pairs = torch.cat([affinities[:, same][:, exists[same] > 0] for same in by_path_length().values()], dim=1)
    return {
        "largest_difference": float((pairs - gathered).abs().max()),
        "largest_gradient_difference": float((gradient - other).abs().max()),
    }


def through_paths(
    boundary: Float[Tensor, "b p q"], slopes: Float[Tensor, "b s p q"]
) -> tuple[Float[Tensor, "b s p q"], Float[Tensor, "b p q"]]:
    """Affinities of all pairs and the gradient of the boundary, by the package."""
    boundary = boundary.detach().requires_grad_()
    affinities = path_affinities(boundary, OFFSETS)
    return affinities.detach(), torch.autograd.grad(affinities, boundary, slopes)[0]


def through_indices(
    boundary: Float[Tensor, "b p q"], slopes: Float[Tensor, "b n"], indices: list[Int64[Tensor, "_ _"]]
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b p q"]]:
    """The same of the pairs with interior sources, grouped by the length of their paths, by gathering."""
    boundary = boundary.detach().requires_grad_()
    flat = boundary.flatten(1)
    paths = (flat.index_select(1, index.flatten()).unflatten(1, index.shape) for index in indices)
    affinities = 1 - torch.cat([cells.max(dim=1).values for cells in paths], dim=1)
    return affinities.detach(), torch.autograd.grad(affinities, boundary, slopes)[0]


def path_indices(grid: tuple[int, int]) -> list[Int64[Tensor, "_ _"]]:
    """Flat index of every cell of every path, cells by pairs, one tensor for each length of paths."""
    sources = pair_exists(*grid, OFFSETS, "interior")[0].flatten().nonzero()[:, 0]
    steps = [[y * grid[1] + x for y, x in path(offset)] for offset in OFFSETS]
    return [
        torch.cat([sources + torch.tensor(steps[plane])[:, None] for plane in same], dim=1)
        for same in by_path_length().values()
    ]


def by_path_length() -> dict[int, list[int]]:
    """Planes by the number of cells on their paths."""
    groups = defaultdict(list)
    for plane, offset in enumerate(OFFSETS):
        groups[len(path(offset))].append(plane)
    return groups


def example(batch: int, grid: tuple[int, int]) -> Float[Tensor, "b p q"]:
    """Boundaries without equal values, so that the gradient is unique."""
    torch.manual_seed(0)
    cells = grid[0] * grid[1]
    return torch.stack([torch.randperm(cells) for _ in range(batch)]).view(batch, *grid) / cells


def gradients(batch: int, grid: tuple[int, int]) -> tuple[Float[Tensor, "b s p q"], Float[Tensor, "b n"]]:
    """Slopes of some loss at the affinities: of all planes, and of the pairs with interior sources."""
    pairs = int(pair_exists(*grid, OFFSETS, "interior").sum())
    return torch.randn(batch, len(OFFSETS), *grid), torch.randn(batch, pairs)


def paths_megabytes(batch: int) -> float | None:
    """Growth of resident memory in a forward and backward pass of the package."""
    through_paths(example(1, (20, 20)), gradients(1, (20, 20))[0])  # loads the libraries' code
    boundary, (slopes, _) = example(batch, GRID), gradients(batch, GRID)
    return peak_megabytes(lambda: through_paths(boundary, slopes))


def indices_megabytes(batch: int) -> float | None:
    """The same by gathering, above the indices themselves."""
    through_indices(example(1, (20, 20)), gradients(1, (20, 20))[1], path_indices((20, 20)))
    boundary, (_, slopes), indices = example(batch, GRID), gradients(batch, GRID), path_indices(GRID)
    return peak_megabytes(lambda: through_indices(boundary, slopes, indices))


def megabytes(tensors: list[Int64[Tensor, "_ _"]]) -> float:
    return sum(tensor.nbytes for tensor in tensors) / 2**20


# ── labels of pairs ──────────────────────────────────────────────────────────────────────────────────────────────────


def pair_labels() -> dict[str, float]:
    """What must travel from a loader to the network for one image of a batch, and the time to label its pairs."""
    labels = np.random.default_rng(0).integers(IGNORE, 4, (16, 16)).repeat(8, axis=0).repeat(8, axis=1)
    exists = pair_exists(*GRID, OFFSETS, "interior").numpy()
    arrays = label_arrays(labels, exists)
    batch = torch.from_numpy(labels).repeat(LABELLED_BATCH, 1, 1)
    codes = pair_codes(batch[:1], OFFSETS, "interior").numpy()
    assert all((codes == kind).sum() == array.sum() for kind, array in zip(KINDS, arrays, strict=True))
    ours, in_loader = in_turn(
        lambda: pair_codes(batch, OFFSETS, "interior"), lambda: label_arrays(labels, exists), repeats=REPEATS
    )
    array_bytes = sum(array.nbytes for array in arrays)
    return {
        "map_bytes": batch[0].nbytes,
        "array_bytes": array_bytes,
        "times_less_traffic": array_bytes / batch[0].nbytes,
        "seconds": ours / LABELLED_BATCH,
        "array_seconds": in_loader,
        "times_faster": in_loader * LABELLED_BATCH / ours,
    }


def label_arrays(
    labels: Int64[np.ndarray, "p q"], exists: Bool[np.ndarray, "s p q"]
) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """For every pair 1 where both are background, of one class, of different classes; else 0."""
    rows, columns = exists[0].nonzero()
    source = labels[rows, columns][None]
    partner = np.stack([labels[rows + dy, columns + dx] for dy, dx in OFFSETS])
    known = (source != IGNORE) & (partner != IGNORE)
    equal = known & (source == partner)
    background = equal & (source == BACKGROUND)
    kinds = (background, equal & ~background, known & ~equal)
    first, second, third = (kind.astype(np.float32).ravel() for kind in kinds)
    return first, second, third


# ── propagation ──────────────────────────────────────────────────────────────────────────────────────────────────────


def propagation() -> dict[str, Any]:
    """Time and memory from boundaries to walked maps of a photograph."""
    boundary, maps = photograph(PHOTOGRAPH)
    propagate(boundary, maps)  # compiles
    return {
        "seconds": Median([seconds(lambda: propagate(boundary, maps)) for _ in range(REPEATS)]),
        "peak_megabytes": in_new_process(propagation_megabytes),
    }


def propagate(boundary: Float[Tensor, "1 p q"], maps: Float32[np.ndarray, "k p q"]) -> Float32[np.ndarray, "k p q"]:
    affinities = path_affinities(boundary, WALK_OFFSETS)[0].numpy()
    return random_walk(maps, affinities, WALK_OFFSETS, BETA, STEPS)


def propagation_megabytes() -> float | None:
    propagate(*photograph((12, 12)))  # compiles
    boundary, maps = photograph(PHOTOGRAPH)
    return peak_megabytes(lambda: propagate(boundary, maps))


def photograph(grid: tuple[int, int]) -> tuple[Float[Tensor, "1 p q"], Float32[np.ndarray, "k p q"]]:
    """Boundaries of rectangles with noise between them, and smooth maps."""
    torch.manual_seed(0)
    boundary = 0.2 * torch.rand(1, *grid)
    for row, column in itertools.product(range(10, grid[0], 30), range(10, grid[1], 40)):
        boundary[:, row, column : column + 25] = boundary[:, row : row + 20, column] = 0.9
    maps = torch.nn.functional.interpolate(torch.rand(1, NUM_MAPS, 12, 16), grid, mode="bilinear")[0] ** 4
    return boundary, maps.numpy()


if __name__ == "__main__":
    print_figures(run, __doc__)
