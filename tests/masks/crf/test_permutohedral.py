import numpy as np
import pytest

from tagmask.masks.crf.permutohedral import Lattice, build_lattice


def features(num_features: int, num_points: int = 200, spread: float = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (num_points, num_features)).astype(np.float32)


@pytest.mark.parametrize("num_features", range(1, 7))
def test_weights_are_barycentric(num_features: int):
    lattice = build_lattice(features(num_features))
    assert lattice.weights.min() >= -1e-5
    np.testing.assert_allclose(lattice.weights.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("num_features", [2, 5])
def test_corners_of_a_simplex_differ_and_every_vertex_is_a_corner(num_features: int):
    lattice = build_lattice(features(num_features))
    assert all(len(set(corners)) == num_features + 1 for corners in lattice.vertices.tolist())
    assert np.array_equal(np.unique(lattice.vertices), np.arange(lattice.num_vertices))


def test_close_points_share_their_simplex_far_points_do_not():
    lattice = build_lattice(np.array([[0.3, 0.2], [0.3001, 0.2], [50, 50]], np.float32))
    assert set(lattice.vertices[0]) == set(lattice.vertices[1])
    assert not set(lattice.vertices[0]) & set(lattice.vertices[2])


def test_interpolation_is_continuous():
    # a vertex keeps its number wherever a path crosses its simplices, so that weights change little from step to step
    path = np.linspace(0, 3, 3001, dtype=np.float32)[:, None] * np.array([1.0, 0.7, -0.4], np.float32)
    lattice = build_lattice(path)
    dense = np.zeros((len(path), lattice.num_vertices), np.float32)
    np.put_along_axis(dense, lattice.vertices.astype(np.int64), lattice.weights, axis=1)
    assert np.abs(np.diff(dense, axis=0)).max() < 0.01


def neighbours_by_number(lattice: Lattice) -> np.ndarray:
    """For each axis and each vertex the numbers of the vertices before and after it."""
    numbers = np.append(lattice.rows[0], lattice.num_vertices)
    found = np.empty_like(lattice.neighbours)
    for axis, rows in enumerate(lattice.rows[:-1]):
        by_number = lattice.neighbours[axis] if axis == 0 else numbers[lattice.neighbours[axis]]
        assert np.array_equal(rows, lattice.rows[0] if axis == 0 else np.arange(lattice.num_vertices))
        found[axis][lattice.rows[0]] = by_number
    return found


@pytest.mark.parametrize("num_features", [1, 2, 5])
def test_the_corners_of_a_simplex_are_linked_along_every_axis(num_features: int):
    # one walks from corner to corner along each of the d + 1 axes once: each axis links one pair
    lattice = build_lattice(features(num_features, num_points=1))
    after = neighbours_by_number(lattice)[:, :, 1]
    steps = {(int(vertex), int(row[vertex])) for row in after for vertex in np.flatnonzero(row < num_features + 1)}
    assert steps == {(i, (i + 1) % (num_features + 1)) for i in range(num_features + 1)}


@pytest.mark.parametrize("num_features", [2, 5])
def test_who_comes_after_one_has_it_before(num_features: int):
    lattice = build_lattice(features(num_features, num_points=3000, spread=3))
    for before, after in neighbours_by_number(lattice).transpose(0, 2, 1):
        followed = np.flatnonzero(after < lattice.num_vertices)
        assert len(followed) > 100
        assert np.array_equal(before[after[followed]], followed)
        assert (before < lattice.num_vertices).sum() == len(followed)


def test_neighbours_are_one_step_away():
    # a walk along all axes in turn ends where it began; in two features there are three
    lattice = build_lattice(features(2, num_points=3000, spread=3))
    after = np.pad(neighbours_by_number(lattice)[:, :, 1], ((0, 0), (0, 1)), constant_values=lattice.num_vertices)
    ends = after[2][after[1][after[0]]]
    arrived = np.flatnonzero(ends < lattice.num_vertices)
    assert len(arrived) > 100
    assert np.array_equal(ends[arrived], arrived)


def test_neighbours_rise_from_place_to_place():
    lattice = build_lattice(features(5, num_points=3000, spread=3))
    for axis in range(1, 6):
        for side in lattice.neighbours[axis].T:
            assert (np.diff(side[side < lattice.num_vertices]) > 0).all()


def test_the_table_grows():
    lattice = build_lattice(features(5, num_points=4000, spread=300))
    assert lattice.num_vertices == 4000 * 6


@pytest.mark.parametrize("num_features", [2, 3, 5])
def test_nothing_but_vertices_moves_when_the_table_grows(num_features: int):
    # freed memory that the keys may be written to is full of zeros: the key of a vertex at the origin
    points = features(num_features, num_points=4000, spread=300)
    points[[0, -1]] = 0
    freed = [np.zeros(size, np.int64) for size in (1 << 11, 1 << 12, 1 << 13, 1 << 14) for _ in range(8)]
    del freed
    lattice = build_lattice(points)
    assert lattice.vertices[0].tolist() == lattice.vertices[-1].tolist() == [*range(num_features + 1)]
    assert np.array_equal(np.unique(lattice.vertices), np.arange(lattice.num_vertices))


def test_phantoms_create_vertices_but_no_rows():
    points = features(5, num_points=7) + 100
    plain, padded = build_lattice(points), build_lattice(points, phantoms=1)
    assert np.array_equal(plain.vertices, padded.vertices)
    assert padded.num_vertices == plain.num_vertices + 6


@pytest.mark.parametrize("position", [1e6, -1e6, np.inf, np.nan])
def test_positions_out_of_range_are_refused(position: float):
    with pytest.raises(ValueError, match="standard deviation is too small"):
        build_lattice(np.array([[0, position]], np.float32))
    with pytest.raises(ValueError, match="standard deviation is too small"):
        build_lattice(np.array([[position, 0, 1, 2, 3]], np.float32))


def test_a_far_corner_of_many_features_is_refused():
    # each coordinate would fit by itself, but not all of them in one key
    with pytest.raises(ValueError, match="positions up to 2e\\+04 standard deviations are too many"):
        build_lattice(np.full((1, 5), 2e4, np.float32))
