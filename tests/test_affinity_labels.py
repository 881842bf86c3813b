"""Labels two backgrounds agree on."""

import numpy as np
import pytest

from tagmask.affinity_labels import confident_labels
from tagmask.conventions import IGNORE


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
