"""Labels two backgrounds agree on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.config import AnyLabels, LearntLabels, PowerLabels, ThresholdLabels
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.masks.confident_labels import agreed_labels, confident_labels, grid_labels, label_scores


def scores(*pixels: list[float]) -> np.ndarray:
    return np.array(pixels, dtype=np.float32).T[:, None]


def test_each_case_by_hand():
    low = scores([0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.8, 0.2, 0], [0.3, 0, 0.7], [0, 0, 0])
    high = scores([0.1, 0.8, 0.1], [0.9, 0.1, 0.0], [0.2, 0.8, 0], [0.6, 0, 0.4], [0, 0, 0])
    # trusted object, trusted background, undecided, both (background is kept), outside the image
    assert confident_labels(low, high, pool=1).tolist() == [[1, 0, IGNORE, 0, IGNORE]]


def test_blocks_are_averaged_before_the_best_class_is_taken():
    low = np.zeros((2, 4, 4), dtype=np.float32)
    low[0], low[1, 0, 0] = 0.4, 7.0  # one pixel outweighs its block
    label = confident_labels(low, low[::-1].copy() * 0 + [[[0.1]], [[0.9]]], pool=4)
    assert label.tolist() == [[1]]
    assert label.dtype == np.int32


def test_incomplete_blocks_are_completed_with_zeros():
    low = np.zeros((2, 9, 17))
    low[1] = 1.0
    assert confident_labels(low, low, pool=8).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_blocks_outside_the_image_are_ignored_even_where_the_first_score_leads():
    low = np.full((3, 8, 16), 1e-7)
    low[1, :, 8:] = 1.0
    assert confident_labels(low, low, pool=8).tolist() == [[IGNORE, 1]]


@pytest.mark.parametrize("size", [(1, 1), (8, 3)])
def test_an_image_without_objects_is_background(size):
    low = np.ones((1, *size))
    assert (confident_labels(low, low) == 0).all()


# ── scores against a strong and a weak background ────────────────────────────────────────────────────────────────────

MAPS = scores([0.6, 0.9, 0.2], [0.1, 0.05, 0.4])  # the first might be a learnt background


def test_thresholds_are_constant_backgrounds():
    strong, weak = label_scores(MAPS, False, ThresholdLabels(foreground=0.3, background=0.05))
    np.testing.assert_array_equal(strong[1:], MAPS)
    np.testing.assert_array_equal(weak[1:], MAPS)
    assert (strong[0] == np.float32(0.3)).all()
    assert (weak[0] == np.float32(0.05)).all()


def test_powers_are_backgrounds_of_the_maps():
    strong, weak = label_scores(MAPS, False, PowerLabels(low=2, high=8))
    # the best maps are 0.9 and 0.4
    np.testing.assert_allclose(strong[0], [[0.1**2, 0.6**2]], rtol=1e-5)
    np.testing.assert_allclose(weak[0], [[0.1**8, 0.6**8]], rtol=1e-5)
    np.testing.assert_array_equal(strong[1:], MAPS)
    np.testing.assert_array_equal(weak[1:], MAPS)


def test_a_learnt_background_is_scaled_and_nothing_else():
    before = MAPS.copy()
    strong, weak = label_scores(MAPS, True, LearntLabels(strong=2.0, weak=0.5))
    np.testing.assert_allclose([strong[0], weak[0]], [2 * MAPS[0], MAPS[0] / 2])
    np.testing.assert_array_equal(strong[1:], MAPS[1:])
    np.testing.assert_array_equal(weak[1:], MAPS[1:])
    np.testing.assert_array_equal(MAPS, before)
    assert strong.dtype == weak.dtype == np.float32


@pytest.mark.parametrize("config", [PowerLabels(), ThresholdLabels()])
def test_other_backgrounds_replace_a_learnt_one(config: AnyLabels):
    with_learnt, without = label_scores(MAPS, True, config), label_scores(MAPS[1:], False, config)
    np.testing.assert_array_equal(with_learnt, without)


def test_a_learnt_background_that_is_not_there_is_refused():
    with pytest.raises(TagmaskError, match="take `powers` or `thresholds`"):
        label_scores(MAPS, False, LearntLabels())


@pytest.mark.parametrize("config", [PowerLabels(), ThresholdLabels(), LearntLabels()])
def test_without_tags_only_the_background_is_scored(config: AnyLabels):
    learnt = isinstance(config, LearntLabels)
    nothing = np.full((int(learnt), 2, 3), 0.5, np.float32)
    assert [part.shape for part in label_scores(nothing, learnt, config)] == [(1, 2, 3), (1, 2, 3)]


# ── labels per pixel ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_masks_agree_or_are_undecided():
    strong = np.array([[0, 0, 3, 3, 5]], np.int32)
    weak = np.array([[0, 3, 3, 5, 0]], np.int32)
    # background in both, foreground only against the weak one, and three times the foreground of the strong one
    assert agreed_labels(strong, weak).tolist() == [[0, IGNORE, 3, 3, 5]]


def test_labels_without_any_channel_stay_unknown():
    nothing = np.full((2, 2), IGNORE, np.int32)
    assert (agreed_labels(nothing, nothing) == IGNORE).all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 6))
def test_cells_have_the_label_of_their_centre(rows, columns, stride):
    mask = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    labels = grid_labels(mask, stride)
    assert labels.shape == (-(-rows // stride), -(-columns // stride))
    assert labels.dtype == np.int32
    for (row, column), label in np.ndenumerate(labels):
        y, x = row * stride + stride // 2, column * stride + stride // 2
        assert label == (mask[y, x] if y < rows and x < columns else IGNORE)
