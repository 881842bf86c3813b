"""The permutohedral lattice around scattered points (Adams, Baek & Davis, Eurographics 2010).

The lattice tiles the d-dimensional hyperplane of d + 1 coordinates that sum to zero into simplices. ``build_lattice``
projects points onto it, finds the simplex around each of them, numbers the vertices and links those that are neighbours
along one of the d + 1 lattice axes. There may be more vertices than points: up to n * (d + 1).

Dimension letters: n points, d features, s = d + 1 corners of a simplex or axes of the lattice.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32, Int64

from tagmask.system.compiled import compiled

Features = Float32[np.ndarray, "n d"]
Scale = Float32[np.ndarray, " d"]
Offset = Float32[np.ndarray, " s"]
Coordinates = Int64[np.ndarray, " s"]
Corners = Int32[np.ndarray, "n s"]
Weights = Float32[np.ndarray, "n s"]
Keys = Int64[np.ndarray, "_ 2"]
Table = Int32[np.ndarray, " _"]
Chains = Int32[np.ndarray, " _"]

_KEY_BITS = 21  # three lattice coordinates in each of the two words of a vertex key
_KEY_BIAS = 1 << (_KEY_BITS - 1)
_SMALLEST_TABLE = 1 << 12

# Compiled code must not mix float32 with Python's floats: it would compute, and round, in double precision.


@compiled
@no_type_check
def _hash(low: int, high: int) -> int:
    """Mix the two words of a key; the low bits are the best mixed."""
    mixed = low * 0x2545F4914F6CDD1D + high * 0x1B873593CC9E2D51
    return mixed ^ (mixed >> 29)


@compiled
@no_type_check
def _find(low: int, high: int, table: Table, keys: Keys) -> int:
    """The slot of the open-addressing ``table`` that holds the vertex with this key, or the free slot for it."""
    last = len(table) - 1
    slot = _hash(low, high) & last
    vertex = table[slot]
    while vertex >= 0 and (keys[vertex, 0] != low or keys[vertex, 1] != high):
        slot = (slot + 1) & last
        vertex = table[slot]
    return slot


@compiled
@no_type_check
def _grown(table: Table, keys: Keys) -> tuple[Table, Keys]:
    """The same vertices in a table of twice the size, at most half full."""
    larger = np.full(2 * len(table), -1, np.int32)
    room = np.empty((len(table), 2), np.int64)
    room[: len(keys)] = keys
    for vertex in table[table >= 0]:
        larger[_find(room[vertex, 0], room[vertex, 1], larger, room)] = vertex
    return larger, room


@compiled
@no_type_check
def _axis_steps(num_features: int) -> Keys:
    """What one step along each lattice axis adds to a key: -d to the axis' own coordinate, +1 to all the others."""
    steps = np.zeros((num_features + 1, 2), np.int64)
    for axis in range(num_features + 1):
        for i in range(num_features):
            step = -num_features if i == axis else 1
            steps[axis, i // 3] += step * (1 << (_KEY_BITS * (i % 3)))
    return steps


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

    Every coordinate is rounded to the nearest multiple of d + 1, which goes to ``origin``; what is left goes to
    ``offset``. Returns the sum of ``origin`` over d + 1: how far rounding has left the hyperplane.
    """
    corners = len(offset)
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
        origin[i] = np.int64(nearest) * corners
        excess += np.int64(nearest)
    return excess


@compiled
@no_type_check
def _enclose(excess: int, offset: Offset, origin: Coordinates, ranks: Coordinates, axes: Coordinates) -> None:
    """Find the simplex around the projected point by ranking its offsets (section 3.1 of the paper).

    Moves ``origin`` back onto the hyperplane, and writes to ``axes`` the lattice axes in the order of falling rank:
    starting at position ``excess``, one walks along them from the origin through all the corners and back.
    """
    corners = len(offset)
    ranks[:] = 0
    for i in range(corners):
        for j in range(i + 1, corners):
            smaller = offset[i] < offset[j]  # of equal offsets the first ranks first: ties decide which vertices exist
            ranks[i] += smaller
            ranks[j] += not smaller
    for i in range(corners):
        axes[corners - 1 - ranks[i]] = i
    for position in range(excess):  # too high: lower the smallest offsets
        origin[axes[position]] -= corners
        offset[axes[position]] += np.float32(corners)
    for position in range(corners + excess, corners):  # too low: raise the largest offsets
        origin[axes[position]] += corners
        offset[axes[position]] -= np.float32(corners)


@compiled
@no_type_check
def _key(origin: Coordinates) -> tuple[int, int]:
    """Pack all coordinates but the last, which follows from them, into two words."""
    low, high = 0, 0
    for i in range(len(origin) - 1):
        shifted = (origin[i] + _KEY_BIAS) << (_KEY_BITS * (i % 3))
        if i < 3:
            low += shifted
        else:
            high += shifted
    return low, high


@compiled
@no_type_check
def _embed(features: Features, scale: Scale) -> tuple[Corners, Weights, Keys, Table]:
    """Corners and barycentric weights of every point, and the keys and the hash table of all vertices.

    Vertices are numbered in the order in which the points meet them: neighbouring pixels share memory.
    """
    num_points, corners = len(features), len(scale) + 1
    vertices = np.empty((num_points, corners), np.int32)
    weights = np.empty((num_points, corners), np.float32)
    table = np.full(_SMALLEST_TABLE, -1, np.int32)
    keys = np.empty((_SMALLEST_TABLE // 2, 2), np.int64)
    steps = _axis_steps(corners - 1)
    offset = np.empty(corners, np.float32)
    origin, ranks, axes = np.empty((3, corners), np.int64)
    unit = np.float32(1) / np.float32(corners)
    num_vertices = 0
    for point in range(num_points):
        if num_vertices + corners > len(keys):
            table, keys = _grown(table, keys)
        excess = _project(point, features, scale, offset, origin)
        _enclose(excess, offset, origin, ranks, axes)
        low, high = _key(origin)
        before = offset[axes[excess - 1]] - np.float32(corners)
        for corner in range(corners):
            position = corner + excess
            axis = axes[position - corners if position >= corners else position]
            weights[point, corner] = (offset[axis] - before) * unit
            before = offset[axis]
            slot = _find(low, high, table, keys)
            if table[slot] < 0:
                table[slot] = num_vertices
                keys[num_vertices, 0], keys[num_vertices, 1] = low, high
                num_vertices += 1
            vertices[point, corner] = table[slot]
            low, high = low + steps[axis, 0], high + steps[axis, 1]
    return vertices, weights, keys[:num_vertices], table


@compiled
@no_type_check
def _chains(keys: Keys, table: Table, corners: int) -> Chains:
    """Link neighbouring vertices along each lattice axis, see ``Lattice.chains``."""
    num_vertices = len(keys)
    steps = _axis_steps(corners - 1)
    after = np.empty(num_vertices, np.int32)
    leads = np.empty(num_vertices, np.bool_)
    chains = np.empty(corners * (num_vertices + num_vertices // 2), np.int32)
    end = 0
    for axis in range(corners):
        leads[:] = True
        for vertex in range(num_vertices):
            low, high = keys[vertex, 0] + steps[axis, 0], keys[vertex, 1] + steps[axis, 1]
            after[vertex] = table[_find(low, high, table, keys)]
            if after[vertex] >= 0:
                leads[after[vertex]] = False
        for lead in range(num_vertices):
            if not leads[lead] or after[lead] < 0:
                continue
            vertex = lead
            while vertex >= 0:
                chains[end] = vertex
                vertex = after[vertex]
                end += 1
            chains[end] = num_vertices
            end += 1
    return chains[:end].copy()


@dataclass(frozen=True)
class Lattice:
    """The vertices of the lattice around n points.

    Attributes:
        vertices: the corners of the simplex around each point, in [0, num_vertices).
        weights: the barycentric coordinates of each point in its simplex; they sum to one over the corners.
        chains: runs of two and more neighbouring vertices, axis after axis; ``num_vertices`` stands after each run.
            Vertices without a neighbour along an axis do not appear.
        num_vertices: how many vertices there are.
    """

    vertices: Corners
    weights: Weights
    chains: Chains
    num_vertices: int


def build_lattice(features: Features, phantoms: int = 0) -> Lattice:
    """Enclose every point in a simplex.

    Args:
        features: positions in units of the filter's standard deviation; one to six features.
        phantoms: points at the origin of the feature space that create vertices, but are not returned.

    Raises:
        ValueError: positions too large for a vertex key (more than some ten thousand standard deviations).

    >>> lattice = build_lattice(np.array([[0.0], [0.1]], np.float32))
    >>> lattice.vertices.tolist(), lattice.num_vertices
    ([[0, 1], [0, 1]], 2)
    >>> lattice.weights.round(2)
    array([[1.  , 0.  ],
           [0.88, 0.12]], dtype=float32)
    """
    num_points, num_features = features.shape
    scale = _axis_scale(num_features)
    _check_range(features, scale)
    padding = np.zeros((phantoms, num_features), np.float32)
    vertices, weights, keys, table = _embed(np.concatenate([features, padding]), scale)
    chains = _chains(keys, table, num_features + 1)
    return Lattice(vertices[:num_points], weights[:num_points], chains, len(keys))


def _axis_scale(num_features: int) -> Scale:
    """Scale of each feature at which the whole filter has unit variance (section 3.1 of the paper)."""
    unit = math.sqrt(2 / 3) * (num_features + 1)
    return np.array([unit / math.sqrt((i + 1) * (i + 2)) for i in range(num_features)], np.float32)


def _check_range(features: Features, scale: Scale) -> None:
    """Raise ValueError unless every lattice coordinate of every point and its neighbours fits a key."""
    largest = 2 * float(np.abs(features).max(initial=0)) * float(scale.sum()) + 4 * len(scale)
    if not largest < _KEY_BIAS:
        raise ValueError(
            f"lattice coordinates up to {largest:.3g}, at most {_KEY_BIAS} fit: "
            "a standard deviation is too small for this image; use a larger one."
        )
