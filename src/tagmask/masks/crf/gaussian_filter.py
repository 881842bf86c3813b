"""Gaussian filtering of values at scattered points (Adams, Baek & Davis, Eurographics 2010).

A filter pass takes three steps: every point adds its values to the corners of its lattice simplex (splat), the vertices
are blurred along one lattice axis after another, and every point reads its corners back (slice). Points find their
corners by number; between the first and the last axis vertices lie in the order of their places. Classes are innermost
in memory and in loops. Nothing holds state: threads may filter different images, or the same one, at the same time.

Dimension letters: n points, d features, s = d + 1 corners of a simplex, k classes.
"""

from dataclasses import dataclass, replace
from typing import final, no_type_check

import numpy as np
from jaxtyping import Float32

from tagmask.masks.crf.permutohedral import Corners, Features, Lattice, Neighbours, Rows, Weights, build_lattice
from tagmask.system.compiled import compiled

Values = Float32[np.ndarray, "n k"]
Sums = Float32[np.ndarray, "_ k"]
Memory = Float32[np.ndarray, "2 _ k"]
Term = tuple[Corners, Weights, Sums, np.float32]


@compiled
@no_type_check
def _splat(vertices: Corners, weights: Weights, values: Values, sums: Sums) -> None:
    """Add the values of every point to its corners, three at a time."""
    for point in range(len(values)):
        source, v, w = values[point], vertices[point], weights[point]
        for i in range(0, len(v), 3):
            a, b, c = sums[np.uint32(v[i])], sums[np.uint32(v[i + 1])], sums[np.uint32(v[i + 2])]
            x, y, z = w[i], w[i + 1], w[i + 2]
            for k in range(len(source)):
                value = source[k]
                a[k] += x * value
                b[k] += y * value
                c[k] += z * value


@compiled
@no_type_check
def _blur(neighbours: Neighbours, sources: Rows, targets: Rows, sums: Sums, out: Sums) -> None:
    """Each vertex plus half of its two neighbours along one axis; the last row, zero, stands for those that are absent.

    Neighbours rise with the vertices: memory is read as three streams.

    Args:
        neighbours: the rows of ``sums`` that hold the two neighbours of each vertex.
        sources: the row of ``sums`` that holds the vertex itself.
        targets: the row of ``out`` for it.
        sums: values of the vertices.
        out: the blurred values.
    """
    half = np.float32(0.5)
    for i in range(len(neighbours)):
        before, after = sums[np.uint32(neighbours[i, 0])], sums[np.uint32(neighbours[i, 1])]
        here, target = sums[np.uint32(sources[i])], out[np.uint32(targets[i])]
        for k in range(len(target)):
            target[k] = here[k] + half * (before[k] + after[k])


@compiled
@no_type_check
def _slice(vertices: Corners, weights: Weights, sums: Sums, factor: float, out: Values) -> None:
    """Add ``factor`` times what each point reads from its corners, three at a time, to ``out``."""
    for point in range(len(out)):
        target, v, w = out[point], vertices[point], weights[point]
        for i in range(0, len(v), 3):
            a, b, c = sums[np.uint32(v[i])], sums[np.uint32(v[i + 1])], sums[np.uint32(v[i + 2])]
            x, y, z = factor * w[i], factor * w[i + 1], factor * w[i + 2]
            for k in range(len(target)):
                target[k] += x * a[k] + y * b[k] + z * c[k]


@compiled
@no_type_check
def _slice_both(two: Term, five: Term, base: Values, out: Values) -> None:
    """Write ``base`` plus what ``_slice`` adds for two and for five features, all nine corners in one loop."""
    vertices, weights, sums, factor = two
    vertices_5, weights_5, sums_5, factor_5 = five
    for point in range(len(out)):
        start, target = base[point], out[point]
        v, w = vertices[point], weights[point]
        a, b, c = sums[np.uint32(v[0])], sums[np.uint32(v[1])], sums[np.uint32(v[2])]
        p, q, r = factor * w[0], factor * w[1], factor * w[2]
        v, w = vertices_5[point], weights_5[point]
        d, e, f = sums_5[np.uint32(v[0])], sums_5[np.uint32(v[1])], sums_5[np.uint32(v[2])]
        g, h, i = sums_5[np.uint32(v[3])], sums_5[np.uint32(v[4])], sums_5[np.uint32(v[5])]
        s, t, u = factor_5 * w[0], factor_5 * w[1], factor_5 * w[2]
        x, y, z = factor_5 * w[3], factor_5 * w[4], factor_5 * w[5]
        for k in range(len(target)):
            near = p * a[k] + q * b[k] + r * c[k]
            far = s * d[k] + t * e[k] + u * f[k] + x * g[k] + y * h[k] + z * i[k]
            target[k] = start[k] + near + far


@final
@dataclass(frozen=True)
class GaussianFilter:
    """Filter by a Gaussian kernel over n points, symmetrically normalised: ``D^-1/2 K D^-1/2``, ``D = diag(K 1)``.

    The self term of every point is part of K. Immutable: any number of threads may use one filter.

    Attributes:
        lattice: the lattice around the points, where every weight is multiplied by its point's element of ``D^-1/2``.
    """

    lattice: Lattice

    def new_sums(self, num_classes: int) -> Memory:
        """Working memory for ``spread``."""
        return np.zeros((2, self.lattice.num_vertices + 1, num_classes), np.float32)

    def spread(self, values: Values, memory: Memory) -> Sums:
        """Splat values and blur them.

        Args:
            values: one row per point.
            memory: from ``new_sums``; overwritten, but for the last rows, which are zero.

        Returns:
            What ``add_filtered`` reads; a part of ``memory``.
        """
        lattice, (sums, other) = self.lattice, memory
        sums.fill(0)
        _splat(lattice.vertices, lattice.weights, values, sums)
        for axis, neighbours in enumerate(lattice.neighbours):
            _blur(neighbours, lattice.rows[axis], lattice.rows[axis + 1], sums, other)
            sums, other = other, sums
        return sums


def add_filtered(base: Values, filtered: list[tuple[float, GaussianFilter, Sums]], points: slice, out: Values) -> None:
    """Write a base plus filtered values for some of the points.

    Args:
        base: one row per point.
        filtered: a factor, a filter and what it has spread, for each term of the sum.
        points: the rows to write.
        out: one row per point; may be ``base``.
    """
    terms = [
        (kernel.lattice.vertices[points], kernel.lattice.weights[points], sums, np.float32(factor))
        for factor, kernel, sums in filtered
    ]
    if [weights.shape[1] for _, weights, _, _ in terms] == [3, 6]:
        _slice_both(terms[0], terms[1], base[points], out[points])
        return
    np.copyto(out[points], base[points])
    for term in terms:
        _slice(*term, out[points])


def gaussian_filter(features: Features, phantoms: int = 0) -> GaussianFilter:
    """Build the filter of a set of points.

    Args:
        features: positions in units of the standard deviation; two or five features.
        phantoms: see ``permutohedral.build_lattice``.

    Raises:
        ValueError: see ``permutohedral.build_lattice``.

    Two points far apart do not mix, two points in one place share what they have:

    >>> points = gaussian_filter(np.array([[0, 0], [99, 0], [99, 0]], np.float32))
    >>> values = np.array([[1], [1], [3]], np.float32)
    >>> filtered = np.zeros_like(values)
    >>> add_filtered(filtered, [(1, points, points.spread(values, points.new_sums(1)))], slice(None), filtered)
    >>> filtered.round(3).ravel()
    array([1., 2., 2.], dtype=float32)
    """
    lattice = build_lattice(features, phantoms)
    plain = GaussianFilter(lattice)
    mass = np.zeros((len(features), 1), np.float32)
    add_filtered(mass, [(1, plain, plain.spread(np.ones_like(mass), plain.new_sums(1)))], slice(None), mass)
    # The constant 1 / (1 + 2^-d) of the unnormalised filter cancels in the normalised one: it is left out of both.
    return GaussianFilter(replace(lattice, weights=lattice.weights / np.sqrt(mass + np.float32(1e-20))))
