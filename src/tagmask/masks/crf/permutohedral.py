"""The permutohedral lattice around scattered points (Adams, Baek & Davis, Eurographics 2010).

The lattice tiles the d-dimensional hyperplane of d + 1 coordinates that sum to zero into simplices. ``build_lattice``
projects points onto it, finds the simplex around each of them, and the neighbours of every vertex along each of the
d + 1 lattice axes. There may be more vertices than points: up to n * (d + 1).

The key of a vertex holds the steps along the first d axes that lead to it from the origin, as digits of one number. A
step along an axis adds the same to every key: who walks along sorted keys meets their neighbours in rising order, too.

Dimension letters: n points, d features, s = d + 1 corners of a simplex or axes of the lattice.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32, Int64

from tagmask.system.compiled import compiled

Features = Float32[np.ndarray, "n d"]
Scale = tuple[np.float32, ...]  # compiled code knows the length of a tuple, and unrolls its loops
Offset = Float32[np.ndarray, " s"]
Coordinates = Int64[np.ndarray, " s"]
Steps = Int64[np.ndarray, " s"]
Corners = Int32[np.ndarray, "n s"]
Weights = Float32[np.ndarray, "n s"]
Keys = Int64[np.ndarray, " v"]
Table = Int32[np.ndarray, " _"]
Rows = Int32[np.ndarray, " v"]
Neighbours = Int32[np.ndarray, "v 2"]
AllNeighbours = Int32[np.ndarray, "s v 2"]

_KEY_BITS = 63
_LARGEST_COORDINATE = 1 << 20  # float32 still tells where in its simplex a point lies
_SMALLEST_TABLE = 1 << 12

# Compiled code must not mix float32 with Python's floats: it would compute, and round, in double precision.


@compiled
@no_type_check
def _find(key: int, table: Table, keys: Keys) -> int:
    """The slot of the open-addressing ``table`` that holds the vertex with this key, or the free slot for it."""
    last = len(table) - 1
    mixed = key * 0x2545F4914F6CDD1D
    slot = (mixed ^ (mixed >> 32)) & last
    vertex = table[slot]
    while vertex >= 0 and keys[vertex] != key:
        slot = (slot + 1) & last
        vertex = table[slot]
    return slot


@compiled
@no_type_check
def _grown(table: Table, keys: Keys) -> tuple[Table, Keys]:
    """The same vertices in a table of twice the size, at most half full."""
    larger = np.full(2 * len(table), -1, np.int32)
    room = np.empty(len(table), np.int64)
    room[: len(keys)] = keys
    for vertex in range(len(keys)):
        larger[_find(room[vertex], larger, room)] = vertex
    return larger, room


@compiled
@no_type_check
def _project(
    point: int,
    features: Features,
    scale: Scale,
    offset: Offset,
    origin: Coordinates,
) -> int:
    """Project one point onto the hyperplane of coordinates that sum to zero, and round it (section 3.1 of the paper).

    Every coordinate is rounded to the nearest multiple of d + 1: the factor goes to ``origin``, what is left to
    ``offset``. Returns the sum of ``origin``: how far rounding has left the hyperplane.
    """
    corners = len(scale) + 1
    total = np.float32(0)
    for j in range(corners - 1, 0, -1):
        scaled = features[point, j - 1] * scale[j - 1]
        offset[j] = total - np.float32(j) * scaled
        total += scaled
    offset[0] = total
    excess = 0
    for i in range(corners):
        nearest = np.rint(offset[i] * (np.float32(1) / np.float32(corners)))
        offset[i] -= nearest * np.float32(corners)
        origin[i] = np.int64(nearest)
        excess += np.int64(nearest)
    return excess


@compiled
@no_type_check
def _enclose(
    excess: int, scale: Scale, offset: Offset, origin: Coordinates, ranks: Coordinates, axes: Coordinates
) -> None:
    """Find the simplex around the projected point by ranking its offsets (section 3.1 of the paper).

    Moves ``origin`` back onto the hyperplane, and writes to ``axes`` the lattice axes in the order of falling rank:
    starting at position ``excess``, one walks along them from the origin through all the corners and back.
    """
    corners = len(scale) + 1
    ranks[:] = 0
    for i in range(corners):
        for j in range(i + 1, corners):
            smaller = offset[i] < offset[j]  # of equal offsets the first ranks first: ties decide which vertices exist
            ranks[i] += smaller
            ranks[j] += not smaller
    for i in range(corners):
        axes[corners - 1 - ranks[i]] = i
    for position in range(excess):  # too high: lower the smallest offsets
        origin[axes[position]] -= 1
        offset[axes[position]] += np.float32(corners)
    for position in range(corners + excess, corners):  # too low: raise the largest offsets
        origin[axes[position]] += 1
        offset[axes[position]] -= np.float32(corners)


@compiled
@no_type_check
def _embed(features: Features, scale: Scale, steps: Steps) -> tuple[Corners, Weights, Keys]:
    """Corners and barycentric weights of every point, and the keys of all vertices.

    Vertices are numbered in the order in which the points meet them: neighbouring pixels share memory.
    """
    num_points, corners = len(features), len(scale) + 1
    vertices = np.empty((num_points, corners), np.int32)
    weights = np.empty((num_points, corners), np.float32)
    table = np.full(_SMALLEST_TABLE, -1, np.int32)
    keys = np.empty(_SMALLEST_TABLE // 2, np.int64)
    offset = np.empty(corners, np.float32)
    origin, ranks, axes = np.empty((3, corners), np.int64)
    unit = np.float32(1) / np.float32(corners)
    num_vertices = 0
    for point in range(num_points):
        if num_vertices + corners > len(keys):
            table, keys = _grown(table, keys[:num_vertices])  # what lies behind them is whatever memory held
        excess = _project(point, features, scale, offset, origin)
        _enclose(excess, scale, offset, origin, ranks, axes)
        key = 0
        for i in range(corners):
            key -= steps[i] * origin[i]
        before = offset[axes[excess - 1]] - np.float32(corners)
        for corner in range(corners):
            position = corner + excess
            axis = axes[position - corners if position >= corners else position]
            weights[point, corner] = (offset[axis] - before) * unit
            before = offset[axis]
            slot = _find(key, table, keys)
            if table[slot] < 0:
                table[slot] = num_vertices
                keys[num_vertices] = key
                num_vertices += 1
            vertices[point, corner] = table[slot]
            key += steps[axis]
    return vertices, weights, keys[:num_vertices].copy()


@compiled
@no_type_check
def _neighbours(keys: Keys, steps: Steps) -> AllNeighbours:
    """The places before and after each of the sorted keys; one walk for each axis finds them all."""
    num_vertices = len(keys)
    neighbours = np.full((len(steps), num_vertices, 2), num_vertices, np.int32)
    for axis in range(len(steps)):
        step = abs(steps[axis])
        first, second = (0, 1) if steps[axis] > 0 else (1, 0)
        further = 0
        for vertex in range(num_vertices):
            wanted = keys[vertex] + step
            while further < num_vertices and keys[further] < wanted:
                further += 1
            if further < num_vertices and keys[further] == wanted:
                neighbours[axis, vertex, second] = further
                neighbours[axis, further, first] = vertex
    return neighbours


@dataclass(frozen=True)
class Lattice:
    """The vertices of the lattice around n points.

    They have numbers, in the order in which the points meet them, and places, in the order of their keys. By number,
    points that follow each other share memory; by place, the neighbours of vertices that follow each other do.

    Attributes:
        vertices: the numbers of the corners of the simplex around each point.
        weights: the barycentric coordinates of each point in its simplex; they sum to one over the corners.
        neighbours: for each axis and each place the rows of the vertices one step before and after, if values are in
            the rows that ``rows`` tells for this axis; ``num_vertices`` where there is none.
        rows: for each axis, and for the end, the row of the vertex in each place: numbers in the first and the last,
            places between them.
    """

    vertices: Corners
    weights: Weights
    neighbours: AllNeighbours
    rows: list[Rows]

    @property
    def num_vertices(self) -> int:
        """How many vertices there are."""
        return self.neighbours.shape[1]


def build_lattice(features: Features, phantoms: int = 0) -> Lattice:
    """Enclose every point in a simplex.

    Args:
        features: positions in units of the filter's standard deviation; one to six features.
        phantoms: points at the origin of the feature space that create vertices, but are not returned.

    Raises:
        ValueError: positions too large for float32 or for a vertex key: in five features together more than some
            thousand standard deviations, in one more than some ten thousand.

    >>> lattice = build_lattice(np.array([[0.0], [0.1]], np.float32))
    >>> lattice.vertices.tolist(), lattice.num_vertices
    ([[0, 1], [0, 1]], 2)
    >>> lattice.weights.round(2)
    array([[1.  , 0.  ],
           [0.88, 0.12]], dtype=float32)
    """
    num_points, num_features = features.shape
    scale = axis_scale(num_features)
    steps = axis_steps(features, scale)
    padding = np.zeros((phantoms, num_features), np.float32)
    vertices, weights, keys = _embed(np.concatenate([features, padding]), scale, steps)
    numbers = np.argsort(keys)
    neighbours = _neighbours(keys[numbers], steps)
    numbers = np.append(numbers, len(keys)).astype(np.int32)  # none stays none
    neighbours[0] = numbers[neighbours[0]]
    rows = [numbers[:-1], *[np.arange(len(keys), dtype=np.int32)] * num_features, numbers[:-1]]
    return Lattice(vertices[:num_points], weights[:num_points], neighbours, rows)


def axis_scale(num_features: int) -> Scale:
    """Scale of each feature at which the whole filter has unit variance (section 3.1 of the paper)."""
    unit = math.sqrt(2 / 3) * (num_features + 1)
    return tuple(np.float32(unit / math.sqrt((i + 1) * (i + 2))) for i in range(num_features))


def axis_steps(features: Features, scale: Scale) -> Steps:
    """What one step along each lattice axis adds to a key; all together lead back to where they began.

    Raises ValueError unless every coordinate of every point and its neighbours fits.
    """
    d = len(scale)
    low = scale * np.array([column.min(initial=0) for column in features.T], np.float64)
    high = scale * np.array([column.max(initial=0) for column in features.T], np.float64)
    projection = np.triu(np.ones((d + 1, d))) - np.eye(d + 1, d, -1) * np.arange(1, d + 1)
    digits = (projection[d] - projection[:d]) / (d + 1)
    with np.errstate(invalid="ignore"):  # what is infinite is refused
        widths = np.abs(digits) @ (high - low)
    largest = 2 * np.maximum(-low, high).sum() + 4 * d
    if not (largest < _LARGEST_COORDINATE and np.log2(widths + 8).sum() < _KEY_BITS):
        raise ValueError(
            f"positions up to {np.abs(features).max():.3g} standard deviations are too many for the lattice: "
            "a standard deviation is too small for this image; use a larger one."
        )
    places = np.cumprod([1, *(widths + 7).astype(np.int64)])
    return np.append(places[:-1], -places[:-1].sum())
