"""The walk against powers of the full matrix, and its bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from tagmask.affinity.random_walk import chebyshev_plan, exact_plan, random_walk
from walk_inputs import half_disc, random_planes


def dense_walk(maps: np.ndarray, planes: np.ndarray, radius: int, beta: float, steps: int) -> np.ndarray:
    height, width = planes.shape[1:]
    matrix = np.eye(height * width)
    for plane, (dy, dx) in zip(planes, half_disc(radius), strict=True):
        for y, x in zip(*np.nonzero(np.nan_to_num(plane)), strict=True):
            i, j = y * width + x, (y + dy) * width + x + dx
            matrix[i, j] = matrix[j, i] = plane[y, x]
    powers = matrix**beta
    transition = np.linalg.matrix_power(powers / powers.sum(0), steps)
    return (maps.reshape(len(maps), -1) @ transition).reshape(maps.shape)


def test_two_pixels_by_hand():
    # B = [[1, .25], [.25, 1]]: each step keeps 4/5 and takes 1/5
    maps, planes = np.array([[[1.0, 0.0]]]), np.array([[[0.5, np.nan]]])
    walked = random_walk(maps, planes, [(0, 1)], beta=2, steps=1, dtype=np.float64)
    assert walked == pytest.approx(np.array([[[0.8, 0.2]]]), abs=1e-12)
    walked = random_walk(maps, planes, [(0, 1)], beta=2, steps=2, dtype=np.float64)
    assert walked == pytest.approx(np.array([[[0.68, 0.32]]]), abs=1e-12)


@pytest.mark.parametrize("form", ["exact", "chebyshev"])
@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-4), (np.float64, 1e-6)])
def test_equals_the_power_of_the_full_matrix(form, dtype, error):
    planes = random_planes(20, 26, radius=5)
    maps = np.random.default_rng(1).random((3, 20, 26)).astype(np.float32)
    walked = random_walk(maps, planes, half_disc(5), 10, 256, form, tolerance=1e-7, dtype=dtype)
    assert walked.dtype == dtype
    assert np.abs(walked - dense_walk(maps, planes, 5, 10, 256)).max() < error


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    radius=st.integers(1, 6),
    steps=st.sampled_from([0, 1, 2, 3, 7, 64, 101, 1000]),
    beta=st.sampled_from([0.5, 1, 8]),
    tolerance=st.sampled_from([1e-1, 1e-3, 1e-6]),
    seed=st.integers(0, 99),
)
def test_the_chebyshev_form_keeps_its_tolerance(size, radius, steps, beta, tolerance, seed):
    planes = random_planes(*size, radius, seed) ** 3
    maps = np.random.default_rng(seed).normal(size=(2, *size)) * 7
    walked = random_walk(maps, planes, half_disc(radius), beta, steps, "chebyshev", tolerance, np.float64)
    error = np.abs(walked - dense_walk(maps, planes, radius, beta, steps)).max((1, 2))
    assert (error <= tolerance * np.abs(maps).max((1, 2)) + 1e-9).all()


@pytest.mark.parametrize("form", ["exact", "chebyshev"])
def test_an_alternating_spectrum_is_followed(form):
    # affinities far above 1 push the diagonal's share to nearly 0: the smallest eigenvalue is close to -1
    maps, planes = np.array([[[1.0, 0.0]]]), np.array([[[1e4, np.nan]]])
    for steps, expected in ((7, [0.0, 1.0]), (8, [1.0, 0.0])):
        walked = random_walk(maps, planes, [(0, 1)], 1, steps, form, dtype=np.float64)
        assert walked[0, 0] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("form", ["exact", "chebyshev"])
def test_constants_stay_and_nothing_leaves_the_range_of_its_map(form):
    planes = random_planes(11, 13, radius=4)
    maps = np.stack([np.full((11, 13), 0.3), np.zeros((11, 13)), np.eye(11, 13)]).astype(np.float32)
    walked = random_walk(maps, planes, half_disc(4), 1, 500, form, tolerance=1e-2)
    assert (walked[:2] == maps[:2]).all()
    assert walked[2].min() >= 0
    assert walked[2].max() < 0.5


def test_a_long_walk_reaches_the_mean_weighted_by_the_degrees():
    planes, offsets = np.ones((2, 5, 6)), [(0, 1), (1, 0)]
    maps = np.random.default_rng(0).random((1, 5, 6))
    degrees = np.full((5, 6), 5.0)
    degrees[[0, -1]] -= 1
    degrees[:, [0, -1]] -= 1
    walked = random_walk(maps, planes, offsets, 1, 100_000, tolerance=1e-6, dtype=np.float64)
    assert walked == pytest.approx(np.full_like(maps, (maps[0] * degrees).sum() / degrees.sum()), abs=1e-6)


def test_pixels_without_a_pair_stay():
    planes = random_planes(6, 7, radius=3)
    planes[:, 2, 3] = np.nan
    for plane, (dy, dx) in zip(planes, half_disc(3), strict=True):
        if dy <= 2 and 0 <= 3 - dx < 7:
            plane[2 - dy, 3 - dx] = 0
    maps = np.random.default_rng(2).random((2, 6, 7)).astype(np.float32)
    walked = random_walk(maps, planes, half_disc(3), 8, 256)
    assert walked[:, 2, 3] == pytest.approx(maps[:, 2, 3], abs=1e-5)
    assert np.abs(walked - maps).max() > 0.1


@pytest.mark.parametrize("direction", [(1, 1), (1, -1)])
def test_each_plane_serves_both_directions(direction):
    planes = np.where(np.arange(12).reshape(1, 3, 4) == 5, 1.0, 0.0)
    maps = np.arange(12.0).reshape(1, 3, 4)
    walked = random_walk(maps, planes, [direction], 1, 1, "exact", dtype=np.float64)
    partner = 5 + direction[0] * 4 + direction[1]
    expected = maps.copy().ravel()
    expected[[5, partner]] = (5 + partner) / 2
    assert walked.ravel() == pytest.approx(expected)


def test_pairs_that_leave_the_grid_are_not_read():
    planes = random_planes(4, 5, radius=3)
    filled = np.where(np.isnan(planes), 0.9, planes)
    maps = np.random.default_rng(3).random((1, 4, 5)).astype(np.float32)
    walked = [random_walk(maps, p, half_disc(3), 2, 9) for p in (planes, filled)]
    assert (walked[0] == walked[1]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_offsets_may_reach_beyond_the_grid(size):
    planes = np.ones((34, *size))
    maps = np.random.default_rng(4).random((2, *size)).astype(np.float32)
    walked = random_walk(maps, planes, half_disc(5), 8, 4096)
    assert np.isfinite(walked).all()
    if size == (1, 1):
        assert walked == pytest.approx(maps, abs=1e-5)


def test_no_offsets_and_no_maps():
    maps = np.random.default_rng(5).random((2, 3, 4)).astype(np.float32)
    assert random_walk(maps, np.ones((0, 3, 4)), [], 8, 256) == pytest.approx(maps, abs=1e-5)
    assert random_walk(maps[:0], np.ones((1, 3, 4)), [(0, 1)], 8, 256).shape == (0, 3, 4)


def test_arguments_are_left_alone():
    planes, maps = random_planes(5, 6, radius=3), np.ones((1, 5, 6))
    before = planes.copy()
    random_walk(maps, planes, half_disc(3), 8, 16, dtype=np.float64)
    assert np.array_equal(planes, before, equal_nan=True)
    assert (maps == 1).all()


def test_bad_values_are_refused():
    maps, planes = np.ones((1, 2, 3)), np.ones((1, 2, 3))
    with pytest.raises(ValueError, match="2 offsets for 1"):
        random_walk(maps, planes, [(0, 1), (1, 0)], 8, 4)
    with pytest.raises(ValueError, match="not negative"):
        random_walk(maps, -planes, [(0, 1)], 8, 4)
    with pytest.raises(ValueError, match="NaN or infinity"):
        random_walk(maps * np.nan, planes, [(0, 1)], 8, 4)


# ── plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(steps=st.integers(0, 3000), bound=st.floats(1e-12, 0.5))
def test_a_plan_keeps_its_bound_on_the_interval(steps, bound):
    plan = chebyshev_plan(steps, bound)
    x = np.concatenate([np.linspace(-1, 1, 101), np.cos(np.linspace(0, 0.2, 101))])
    assert np.abs(chebyshev.chebval(x, plan[:, 2]) - x**steps).max() <= bound + 1e-13
    assert len(plan) - 1 <= min(steps, np.sqrt(2 * steps * np.log(2 / bound)) + 2)


@pytest.mark.parametrize("steps", [99_999, 100_000])
def test_plans_of_very_long_walks_do_not_overflow(steps):
    plan = chebyshev_plan(steps, 1e-9)
    assert len(plan) < 2100
    assert plan[:, 2].sum() == pytest.approx(1, abs=2e-9)
    x = np.array([0.99999, -0.99999, 0.5])
    assert chebyshev.chebval(x, plan[:, 2]) == pytest.approx(x**steps, abs=2e-9)


def test_plans_of_a_few_steps_are_exact():
    for steps in range(6):
        plan = chebyshev_plan(steps, 1e-15)
        assert chebyshev.cheb2poly(plan[:, 2]) == pytest.approx(np.eye(steps + 1)[steps], abs=1e-12)
        assert exact_plan(steps)[:, 2].tolist() == np.eye(steps + 1)[steps].tolist()
