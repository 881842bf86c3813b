import numpy as np
import pytest

from tagmask.masks.agreement import count_agreement, mean_iou
from tagmask.masks.factor_on_masks import chosen_factor
from tagmask.masks.outlines import FACTORS

TRUTH = np.array([[0, 0, 1, 1]], np.int32)


def image(best: int) -> np.ndarray:
    """Counts of an image whose mask is right with one factor, and all background with the others."""
    masks = [TRUTH if place == best else np.zeros_like(TRUTH) for place in range(len(FACTORS))]
    return np.stack([count_agreement(TRUTH, mask, 1) for mask in masks])


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
