import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.masks.grids import feature_grid, from_grid, long_side_factor, resized, scaled_size, to_grid

sides = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sides, st.integers(1, 80))
def test_a_long_side_is_reached_exactly(size, long_side):
    assert max(scaled_size(size, long_side_factor(size, long_side))) == long_side


@given(sides)
def test_no_long_side_leaves_the_size(size):
    assert scaled_size(size, long_side_factor(size, None)) == size


@given(sides, st.floats(1e-3, 3))
def test_no_side_vanishes(size, factor):
    assert min(scaled_size(size, factor)) >= 1


@given(sides, st.integers(1, 16))
def test_the_grid_covers_the_image_and_no_cell_is_outside(size, stride):
    for cells, pixels in zip(feature_grid(size, stride), size, strict=True):
        assert (cells - 1) * stride < pixels <= cells * stride


def test_to_grid_averages_blocks_and_counts_what_is_beyond_the_border_as_zero():
    maps = np.array([[[1.0, 3.0, 8.0], [5.0, 7.0, 8.0], [2.0, 2.0, 4.0]]])
    np.testing.assert_array_equal(to_grid(maps, (3, 3), 2), [[[4.0, 4.0], [1.0, 1.0]]])


@given(sides, st.integers(1, 16))
def test_to_grid_has_the_feature_grid_of_the_size_asked_for(size, stride):
    assert to_grid(np.ones((2, 5, 7)), size, stride).shape == (2, *feature_grid(size, stride))


def test_from_grid_puts_cells_where_they_were():
    grid = np.array([[[0.0, 1.0]]])
    # Two cells of 4 pixels; pixel centres at .125, .375 ... of a cell; the image ends after 7 pixels.
    expected = [0, 0, 0.125, 0.375, 0.625, 0.875, 1]
    np.testing.assert_allclose(from_grid(grid, 4, (1, 7))[0], [expected])


@given(sides, st.integers(1, 8), st.sampled_from([0.5, 1.0, 1.7]))
def test_from_grid_has_the_size_of_the_image_and_keeps_constants(size, stride, factor):
    grid = np.full((1, *feature_grid(scaled_size(size, factor), stride)), 0.25)
    np.testing.assert_allclose(from_grid(grid, stride / factor, size), np.full((1, *size), 0.25))


def test_a_step_edge_survives_the_way_to_the_grid_and_back():
    maps = np.zeros((1, 24, 24))
    maps[:, :, 8:] = 1
    back = from_grid(to_grid(maps, (24, 24), 4), 4, (24, 24))
    assert (back[0, :, :6] == 0).all()
    assert (back[0, :, 10:] == 1).all()
    assert ((back > 0.5) == (maps > 0.5)).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda maps: from_grid(maps, 8, (5, 5)),
        lambda maps: to_grid(maps, (5, 5), 2),
        lambda maps: resized(maps, (6, 5)),
    ],
)
def test_no_maps_stay_no_maps(function):
    assert function(np.zeros((0, 3, 3))).shape[0] == 0


def test_only_what_has_another_size_is_resized():
    maps = np.arange(6.0).reshape(1, 2, 3)
    assert resized(maps, (2, 3)) is maps


def test_pixels_between_two_cells_are_weighted_by_distance_and_borders_repeat():
    columns = resized(np.array([[[0.0, 4.0]]], np.float32), (1, 8))[0, 0]
    assert columns.tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]  # centres at -0.375, -0.125, 0.125, ...
    rows = resized(np.array([[[0.0], [4.0]]], np.float32), (8, 1))[0, :, 0]
    assert rows.tolist() == columns.tolist()


def test_resizing_leaves_its_argument_alone():
    maps = np.random.default_rng(0).random((2, 3, 4), np.float32)
    before = maps.copy()
    resized(maps, (6, 5))
    assert np.array_equal(maps, before)
