import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.masks.saliency import (
    absorption_times,
    border,
    cielab,
    likeness_of_colours,
    likeness_of_features,
    otsu_threshold,
    saliency_of_colours,
    saliency_of_features,
    split_in_two,
)

RANDOM = np.random.default_rng(0)


def scene(size=96, inside=(220, 40, 40), outside=(40, 120, 60)):
    """A coloured square in the middle of a plain ground."""
    image = np.empty((size, size, 3), np.uint8)
    image[:] = outside
    third = size // 3
    image[third : 2 * third, third : 2 * third] = inside
    return image


def features_of(rows, columns, objects):
    """Two orthogonal features: one of the ground, one of the cells in ``objects``."""
    features = np.zeros((2, rows, columns), np.float32)
    features[0] = 1
    for row, column in objects:
        features[:, row, column] = (0, 1)
    return features


def test_cells_are_alike_by_their_angle_alone():
    features = np.array([[[1, 3, 0, -2]], [[0, 0, 2, 0]]], np.float32)
    found = likeness_of_features(features)
    np.testing.assert_allclose(found, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-12)


def test_likeness_by_hand():
    # Cosines of the pairs: 0.8, 0 and 0.6; their mean is 0.466667 and their standard deviation 0.339935.
    found = likeness_of_features(np.array([[[1, 0.8, 0]], [[0, 0.6, 1]]], np.float32))
    np.testing.assert_allclose(found[0, 1], 0, atol=1e-6)  # 0.8 is below their sum
    wide = likeness_of_features(np.array([[[1, 0.96, 0, 0]], [[0, 0.28, 1, 1]]], np.float32))
    # 0.96, 0, 0, 0.28, 0.28 and 1: their mean is 0.42 and their standard deviation the root of 1.02 / 6, 0.412311.
    np.testing.assert_allclose(wide[0, 1], ((0.96 - 0.832311) / 0.167689) ** 3, rtol=1e-4)
    np.testing.assert_allclose(wide, wide.T)


def test_what_all_cells_share_does_not_make_them_alike():
    # Backbones with a rectifier at the end find all cells alike; the ones that stand out must still stand out.
    inside = [(row, column) for row in (2, 3) for column in (2, 3)]
    features = np.concatenate([features_of(6, 6, inside), np.full((1, 6, 6), 3, np.float32)])
    found = likeness_of_features(features)
    assert found[0, 14] < 0.2 * found[0, 1]


def test_a_cell_without_features_is_like_no_other():
    found = likeness_of_features(np.array([[[0, 1, 2, 1]]], np.float32))
    assert found[0].tolist() == [0, 0, 0, 0]
    assert np.isfinite(found).all()


def test_colours_are_alike_by_their_distance():
    found = likeness_of_colours(np.array([[[50.0, 50.0, 50.0]], [[0.0, 5.0, 90.0]], [[0.0, 0.0, 0.0]]]))
    np.testing.assert_allclose(found, [[1, np.exp(-0.5), 0], [np.exp(-0.5), 1, 0], [0, 0, 1]], atol=2e-4)
    assert found.min() > 0


def test_grey_has_no_colour():
    grey = cielab(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2))
    assert np.abs(grey[1:]).max() < 1e-9
    assert (np.diff(grey[0, :, 0]) > 0).all()


def test_times_of_two_cells_by_hand():
    # Degrees 1, mean 1. From cell 0 the walk leaves at rate l: t0 (1 + l) = 1 + t1, and t1 = 1 + t0.
    times = absorption_times(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([True, False]), leak=0.5, loss=0)
    np.testing.assert_allclose(times, [4, 5])


def test_a_walk_that_cannot_leave_takes_long_but_not_for_ever():
    times = absorption_times(np.eye(3), np.array([True, True, False]))
    assert np.isfinite(times).all()
    assert times[2] > 10 * times[0]


def test_times_are_those_of_walks():
    weights = np.array([[0.0, 1.0, 0.2], [1.0, 0.0, 0.5], [0.2, 0.5, 0.0]])
    leaves = np.array([True, False, False])
    unit = weights.sum(axis=1).mean()
    rates = weights / unit
    leaving = rates.sum(axis=1) + 0.5 * leaves
    # Sojourn times of a chain in continuous time, summed over all its steps.
    jump, stay = rates / leaving[:, None], 1 / leaving
    expected, reach = np.zeros(3), np.eye(3)
    for _ in range(500):
        expected += reach @ stay
        reach = reach @ jump
    np.testing.assert_allclose(absorption_times(weights, leaves, leak=0.5, loss=0), expected, rtol=1e-6)


def test_thin_grids_are_all_border():
    assert border(1, 5).all()
    assert border(2, 2).all()
    assert border(3, 3).sum() == 8


def test_otsu_parts_the_groups():
    values = np.concatenate([RANDOM.normal(0, 1, 300), RANDOM.normal(10, 1, 100)])
    assert 3 < otsu_threshold(values) < 7
    assert otsu_threshold(np.array([2.0])) == 2
    assert otsu_threshold(np.zeros(0)) == 0


@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_the_split_does_not_depend_on_unit_and_zero(factor, shift):
    values = np.array([[[0.0, 1.0, 2.0], [7.0, 8.0, 9.0]]])
    np.testing.assert_allclose(split_in_two(values * factor + shift), split_in_two(values), atol=1e-4)


def test_values_all_alike_are_undecided():
    assert (split_in_two(np.full((1, 2, 3), 7.0)) == 0.5).all()


def test_an_object_of_other_features_is_found():
    image = scene(96)
    inside = [(row, column) for row in (2, 3) for column in (2, 3)]
    saliency = saliency_of_features(image, features_of(6, 6, inside), cell=16)
    assert saliency.dtype == np.float32
    assert saliency.shape == image.shape[:2]
    wanted = np.zeros((96, 96), bool)
    wanted[32:64, 32:64] = True
    assert ((saliency > 0.5) == wanted).mean() > 0.98


def test_what_touches_the_border_only_a_little_is_still_found():
    inside = [(5, 2), *((row, column) for row in (2, 3, 4) for column in (1, 2, 3))]
    features = features_of(6, 6, inside)
    wanted = np.kron(features[1], np.ones((16, 16))) > 0
    image = np.where(wanted[..., None], 200, 60).repeat(3, axis=2).astype(np.uint8)
    assert ((saliency_of_features(image, features, cell=16) > 0.5) == wanted).mean() > 0.98


@pytest.mark.parametrize(("low", "high"), [(28, 68), (36, 60)])
def test_edges_are_those_of_the_image(low, high):
    image = np.full((96, 96, 3), 60, np.uint8)
    image[low:high, low:high] = 200
    inside = [(row, column) for row in (2, 3) for column in (2, 3)]  # from 32 to 64
    saliency = saliency_of_features(image, features_of(6, 6, inside), cell=16)
    assert ((saliency > 0.5) == (image[..., 0] == 200)).mean() > 0.99


def test_colours_alone_find_a_coloured_square():
    image = scene(96)
    saliency = saliency_of_colours(image)
    truth = (image == (220, 40, 40)).all(axis=2)
    both = (saliency > 0.5) & truth
    assert both.sum() / ((saliency > 0.5) | truth).sum() > 0.9


def test_colours_follow_the_mirrored_image():
    image = RANDOM.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    image[20:60, 20:60] //= 4
    mirrored = saliency_of_colours(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
    assert ((mirrored > 0.5) == (saliency_of_colours(image) > 0.5)).mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (33, 17), (300, 8)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_images_with_nothing_in_them(size, value):
    saliency = saliency_of_colours(np.full((*size, 3), value, np.uint8))
    assert saliency.shape == size
    assert np.isfinite(saliency).all()
    assert saliency.min() >= 0
    assert saliency.max() <= 1


def test_noise_stays_in_range():
    saliency = saliency_of_colours(RANDOM.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    assert np.isfinite(saliency).all()
    assert saliency.min() >= 0
    assert saliency.max() <= 1
