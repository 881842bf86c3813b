"""Gaussian filtering of values at scattered points (Adams, Baek & Davis, Eurographics 2010).

A filter pass takes three steps: every point adds its values to the corners of its lattice simplex (splat), the vertices
are blurred along one lattice axis after another, and every point reads its corners back (slice). Classes are innermost
in memory and in loops. Nothing holds state: threads may filter different images, or the same one, at the same time.

Dimension letters: n points, d features, s = d + 1 corners of a simplex, k classes.
"""

from dataclasses import dataclass, replace
from typing import final, no_type_check

import numpy as np
from jaxtyping import Float32

from tagmask.masks.permutohedral import Chains, Corners, Features, Weights, build_lattice
from tagmask.system.compiled import compiled

Values = Float32[np.ndarray, "n k"]
Sums = Float32[np.ndarray, "_ k"]


@compiled
@no_type_check
def _splat(
    vertices: Corners,
    weights: Weights,
    values: Values,
    sums: Sums,
) -> None:
    """Add the values of every point to its corners."""
    for point in range(len(values)):
        source = values[point]
        for corner in range(vertices.shape[1]):
            target = sums[np.uint32(vertices[point, corner])]
            weight = weights[point, corner]
            for k in range(len(source)):
                target[k] += weight * source[k]


@compiled
@no_type_check
def _blur(chains: Chains, sums: Sums) -> None:
    """Replace each vertex by itself plus half of its two neighbours along an axis, axis after axis, in place.

    Two rows stand behind the vertices: one of zeros, which ends each chain, and one that takes what is written in the
    gap between two chains. So no step depends on where chains end, and the processor can look far ahead.
    """
    zeros = np.uint32(len(sums) - 2)
    half = np.float32(0.5)
    before = np.zeros(sums.shape[1], np.float32)
    here = np.zeros(sums.shape[1], np.float32)
    vertex = np.uint32(zeros + 1)
    for link in chains:
        following = np.uint32(link)
        target, source = sums[vertex], sums[following]
        for k in range(len(before)):
            after = source[k]
            target[k] = here[k] + half * (before[k] + after)
            before[k] = here[k]
            here[k] = after
        vertex = np.uint32(following + (following == zeros))


@compiled
@no_type_check
def _slice_add(
    vertices: Corners,
    weights: Weights,
    sums: Sums,
    factor: float,
    out: Values,
) -> None:
    """Add ``factor`` times what each point reads from its corners to ``out``."""
    for point in range(len(out)):
        target = out[point]
        for corner in range(vertices.shape[1]):
            source = sums[np.uint32(vertices[point, corner])]
            weight = factor * weights[point, corner]
            for k in range(len(target)):
                target[k] += weight * source[k]


@final
@dataclass(frozen=True)
class GaussianFilter:
    """Filter by a Gaussian kernel over n points, symmetrically normalised: ``D^-1/2 K D^-1/2``, ``D = diag(K 1)``.

    The self term of every point is part of K. Immutable: any number of threads may use one filter.

    Attributes:
        vertices: the corners of the lattice simplex around each point, ``n s``.
        weights: the barycentric weight of each corner times the point's element of ``D^-1/2``.
        chains: which vertices are neighbours, see ``permutohedral.Lattice``.
        num_vertices: vertices of the lattice.
    """

    vertices: Corners
    weights: Weights
    chains: Chains
    num_vertices: int

    def new_sums(self, num_classes: int) -> Sums:
        """Working memory for ``add_filtered``."""
        return np.empty((self.num_vertices + 2, num_classes), np.float32)

    def add_filtered(self, values: Values, factor: float, sums: Sums, out: Values) -> None:
        """Add ``factor`` times the filtered ``values`` to ``out``.

        Args:
            values: one row per point.
            factor: weight of the kernel.
            sums: working memory from ``new_sums``; overwritten.
            out: changed in place; not ``values``.
        """
        sums.fill(0)
        _splat(self.vertices, self.weights, values, sums)
        _blur(self.chains, sums)
        _slice_add(self.vertices, self.weights, sums, np.float32(factor), out)


def gaussian_filter(features: Features, phantoms: int = 0) -> GaussianFilter:
    """Build the filter of a set of points.

    Args:
        features: positions in units of the standard deviation; one to six features.
        phantoms: see ``permutohedral.build_lattice``.

    Raises:
        ValueError: see ``permutohedral.build_lattice``.

    Two points far apart do not mix, two points in one place share what they have:

    >>> points = gaussian_filter(np.array([[0, 0], [99, 0], [99, 0]], np.float32))
    >>> filtered = np.zeros((3, 1), np.float32)
    >>> points.add_filtered(np.array([[1], [1], [3]], np.float32), 1, points.new_sums(1), filtered)
    >>> filtered.round(3).ravel()
    array([1., 2., 2.], dtype=float32)
    """
    lattice = build_lattice(features, phantoms)
    plain = GaussianFilter(lattice.vertices, lattice.weights, lattice.chains, lattice.num_vertices)
    mass = np.zeros((len(features), 1), np.float32)
    plain.add_filtered(np.ones_like(mass), 1, plain.new_sums(1), mass)
    # The constant 1 / (1 + 2^-d) of the unnormalised filter cancels in the normalised one: it is left out of both.
    return replace(plain, weights=plain.weights / np.sqrt(mass + np.float32(1e-20)))
