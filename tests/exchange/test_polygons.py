"""Polygons with holes: worked out by hand on small regions, and exact on any region."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from tagmask.exchange.polygons import filled, outlines, polygon_area

regions = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: arrays(bool, size))
RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def test_one_pixel_is_a_square():
    [square] = outlines(np.ones((1, 1), bool))
    assert square.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_an_inset_square_is_smaller_on_every_side():
    [square] = outlines(np.ones((1, 2), bool), 0.25)
    assert square.tolist() == [[0.25, 0.25], [1.75, 0.25], [1.75, 0.75], [0.25, 0.75]]


def test_a_hole_is_joined_by_a_cut_along_its_first_row():
    [ring] = outlines(RING)
    # around the outside up to the cut, to the hole, around it against the sun, and back
    assert ring.tolist() == [
        *([0, 0], [3, 0], [3, 3], [0, 3], [0, 1.5], [1, 1.5]),
        *([1, 2], [2, 2], [2, 1], [1, 1], [1, 1.5], [0, 1.5]),
    ]
    assert polygon_area(ring) == 8


def test_pixels_that_touch_at_a_corner_are_two_polygons():
    assert len(outlines(np.eye(2, dtype=bool))) == 2


def test_a_hole_in_a_hole_and_an_island_in_it():
    region = np.zeros((9, 9), bool)
    region[1:8, 1:8] = True
    region[2:7, 2:7] = False
    region[3:6, 3:6] = True
    region[4, 4] = False
    assert [polygon_area(polygon) for polygon in outlines(region)] == [24, 8]
    assert np.array_equal(filled(outlines(region), 9, 9), region)


def test_very_many_holes_in_a_row_are_one_polygon():
    region = np.ones((3, 4001), bool)
    region[1, 1::2] = False
    [polygon] = outlines(region, 0.1)
    assert np.array_equal(filled([polygon], 3, 4001), region)


def test_nothing_has_no_outline_and_covers_nothing():
    assert outlines(np.zeros((2, 3), bool)) == []
    assert not filled([], 2, 3).any()
    assert not filled([np.array([[7.0, 7.0], [9.0, 7.0], [9.0, 9.0]])], 2, 3).any()


@pytest.mark.parametrize("inset", [0.0, 0.1, 0.4])
@given(region=regions)
def test_what_is_drawn_is_the_region(inset, region):
    found = outlines(region, inset)
    assert np.array_equal(filled(found, *region.shape), region)
    assert len(found) == label(region)[1]
    if inset == 0:
        assert sum(map(polygon_area, found)) == region.sum()


@given(regions)
def test_programs_that_cut_coordinates_off_draw_the_region_too(region):
    """As OpenCV fills: corners cut off to whole pixels, which the lines between them belong to."""
    drawn = np.zeros_like(region)
    for polygon in outlines(region, 0.1):
        whole = polygon.astype(int)
        drawn |= filled([whole + 0.5], *region.shape)
        for (x0, y0), (x1, y1) in zip(whole, np.roll(whole, -1, axis=0), strict=True):
            drawn[min(y0, y1) : max(y0, y1) + 1, min(x0, x1) : max(x0, x1) + 1] = True
    assert np.array_equal(drawn, region)
