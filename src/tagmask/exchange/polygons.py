"""Regions as polygons and back, without losing a pixel.

A polygon follows the sides of pixels. Formats that hold polygons alone know no holes, so each hole is joined to the
outline by a cut: a line that is walked to the hole and back again, along a row of pixels of the region. What is drawn
from such a polygon by the even-odd rule is the region with its holes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tagmask.system.rle import polygon_pixels

Polygon = Float[np.ndarray, "_ 2"]

INSET = 0.1
"""How far polygons that are written stay inside of the sides of pixels; all programs then draw the same pixels."""

# Directions in which the side of a pixel is walked, with the pixel at the right hand: along its top to the right, down
# its right side, along its bottom to the left, up its left side. As (x, y), y downwards.
_AHEAD = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
_INWARD = np.roll(_AHEAD, -1, axis=0)
_BEGINS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
_DOWN, _UP = 1, 3


def outlines(region: Bool[np.ndarray, "h w"], inset: float = 0.0) -> list[Polygon]:
    """One polygon for each part of a region that hangs together by the sides of its pixels.

    Args:
        region: the pixels.
        inset: how far, in pixels, each polygon stays inside of the sides of pixels; below 0.5. Programs that cut
            coordinates off to whole pixels then draw the same pixels as those that look at the centres of pixels.

    Returns:
        (x, y) of the corners in pixels; (0, 0) is the outer corner of the first pixel.

    >>> [polygon.tolist() for polygon in outlines(np.array([[False, True], [False, True]]))]
    [[[1.0, 0.0], [2.0, 0.0], [2.0, 2.0], [1.0, 2.0]]]
    """
    if not region.any():
        return []
    sides = _sides(region)
    points, kept, following = _with_cuts(sides, inset)
    return [points[walk[kept[walk]]] for walk in _walks(following, len(sides.direction))]


def filled(polygons: Iterable[Polygon], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels whose centre lies inside of any polygon, each by the even-odd rule; what lies outside is cut off.

    >>> filled([np.array([[1.0, -3.0], [9.0, -3.0], [9.0, 1.0], [1.0, 1.0]])], 2, 3).astype(int).tolist()
    [[0, 1, 1], [0, 0, 0]]
    """
    region = np.zeros((height, width), bool)
    for corners in polygons:
        left, top = np.floor(corners.min(axis=0)).clip(0, (width, height)).astype(int)
        right, bottom = np.ceil(corners.max(axis=0)).clip(0, (width, height)).astype(int)
        if left < right and top < bottom:
            inside = polygon_pixels(corners - (left, top), int(bottom - top), int(right - left))
            region[top:bottom, left:right] |= inside
    return region


def polygon_area(corners: Polygon) -> float:
    """Area in square pixels; a hole that a cut joins counts as outside.

    >>> polygon_area(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]))
    3.0
    """
    x, y = corners.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@dataclass(frozen=True)
class _Sides:
    """The sides of pixels that separate a region from the rest, each walked with the region at the right hand.

    Attributes:
        pixel: (x, y) of the pixel that each belongs to.
        direction: into which it is walked.
        following: which side comes next.
        holes: pairs of a side upwards and one downwards that look at each other along a row of the region; the second
            is the first of a hole's leftmost sides.
    """

    pixel: Int64[np.ndarray, "n 2"]
    direction: Int64[np.ndarray, " n"]
    following: Int64[np.ndarray, " n"]
    holes: Int64[np.ndarray, "m 2"]


def _sides(region: Bool[np.ndarray, "h w"]) -> _Sides:
    padded = np.pad(region, 1)
    width = padded.shape[1]
    inside, step = padded.ravel(), np.array([1, width, -1, -width])
    found = [np.flatnonzero(inside & ~np.roll(inside, -step[side - 1])) for side in range(4)]
    pixel, direction = np.concatenate(found), np.repeat(np.arange(4), [len(each) for each in found])
    number = np.full((4, inside.size), -1)
    number[direction, pixel] = np.arange(len(pixel))
    ahead = pixel + step[direction]
    beside = ahead + step[direction - 1]
    turns = np.where(~inside[ahead], 1, np.where(inside[beside], -1, 0))
    onto = np.where(turns == 1, pixel, np.where(turns == 0, ahead, beside))
    following = number[(direction + turns) % 4, onto]
    downs = _leftmost_of_holes(following, turns, direction, pixel % width, pixel // width)
    row_begins = np.where(inside & ~np.roll(inside, 1), np.arange(inside.size), 0)
    ups = number[_UP, np.maximum.accumulate(row_begins)[pixel[downs]]]
    places = np.stack([pixel % width, pixel // width], axis=1) - 1
    return _Sides(places, direction, following, np.stack([ups, downs], axis=1))


def _leftmost_of_holes(
    following: Int64[np.ndarray, " n"],
    turns: Int64[np.ndarray, " n"],
    direction: Int64[np.ndarray, " n"],
    column: Int64[np.ndarray, " n"],
    row: Int64[np.ndarray, " n"],
) -> Int64[np.ndarray, " m"]:
    """Of each ring around a hole, which turns left four times more than right, its first leftmost side downwards."""
    count = len(following)
    graph = coo_array((np.ones(count, bool), (np.arange(count), following)), shape=(count, count))
    ring = connected_components(graph, directed=False)[1]
    is_hole = np.bincount(ring, turns) < 0
    downs = np.flatnonzero((direction == _DOWN) & is_hole[ring])
    ordered = downs[np.lexsort((row[downs], column[downs], ring[downs]))]
    return ordered[np.unique(ring[ordered], return_index=True)[1]]


def _with_cuts(
    sides: _Sides, inset: float
) -> tuple[Float[np.ndarray, "p 2"], Bool[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Points, which of them are corners, and which comes next: where each side begins, then four for each cut."""
    count, (ups, downs) = len(sides.direction), sides.holes.T
    before = np.empty(count, np.int64)
    before[sides.following] = sides.direction
    begins = sides.pixel + _BEGINS[sides.direction]
    corners = begins + inset * (_INWARD[sides.direction] + _INWARD[before])
    middles = begins + 0.5 * _AHEAD[sides.direction] + inset * _INWARD[sides.direction]
    to_hole, at_hole, from_hole, back = count + np.arange(4 * len(ups)).reshape(4, -1)
    following = np.concatenate([sides.following, at_hole, sides.following[downs], back, sides.following[ups]])
    following[ups], following[downs] = to_hole, from_hole
    points = np.concatenate([corners, middles[ups], middles[downs], middles[downs], middles[ups]])
    kept = np.concatenate([before != sides.direction, np.ones(4 * len(ups), bool)])
    return points, kept, following


def _walks(following: Int64[np.ndarray, " p"], count: int) -> list[Int64[np.ndarray, " _"]]:
    """The points of each polygon in order, from the first of the ``count`` sides that is on it."""
    after, seen = following.tolist(), bytearray(len(following))
    found = []
    for first in range(count):
        walk, at = [], first
        while not seen[at]:
            seen[at] = 1
            walk.append(at)
            at = after[at]
        if walk:
            found.append(np.array(walk))
    return found
