import numpy as np
import pytest

from tagmask.masks.factor_on_masks import chosen_factor, class_counts, mean_iou
from tagmask.masks.outlines import FACTORS

TRUTH = np.array([[0, 0, 1, 1]], np.int32)


def image(best: int) -> np.ndarray:
    """Counts of an image whose mask is right with one factor, and all background with the others."""
    masks = [TRUTH if place == best else np.zeros_like(TRUTH) for place in range(len(FACTORS))]
    return np.stack([class_counts(TRUTH, mask, 1) for mask in masks])


def test_mean_iou_is_that_of_hand():
    counts = class_counts(TRUTH, np.array([[0, 1, 1, 1]], np.int32), 2)
    assert counts.tolist() == [[1, 2, 0], [2, 2, 0], [1, 3, 0]]
    assert mean_iou(counts) == pytest.approx((1 / 2 + 2 / 3) / 2)  # the third class occurs nowhere
    assert mean_iou(np.zeros((3, 2), int)) == 0


def test_the_choice_is_judged_on_images_that_did_not_choose():
    one = FACTORS.index(1.0)
    choosing = np.stack([image(2), image(2), image(one)])
    judging = np.stack([image(2), image(one)])
    found = chosen_factor(choosing, judging)
    assert found.factor == FACTORS[2]
    half = mean_iou(judging[:, 2].sum(axis=0))
    assert found.mean_iou == pytest.approx(half)
    assert found.mean_iou_of_one == pytest.approx(half)
    assert found.between == pytest.approx((0.25, 1.0))  # both draws of one image occur
