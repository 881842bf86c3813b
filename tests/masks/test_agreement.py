import numpy as np
import pytest

from tagmask.masks.agreement import count_agreement, interval, mean_iou, resampled

TRUTH = np.array([[0, 0, 1, 1]], np.int32)
HALF = count_agreement(TRUTH, np.array([[0, 1, 1, 0]], np.int32), 1)
RIGHT = count_agreement(TRUTH, TRUTH, 1)


def test_right_true_and_predicted_pixels_are_counted():
    assert HALF.tolist() == [[1, 1], [2, 2], [2, 2]]
    assert RIGHT.tolist() == [[2, 2], [2, 2], [2, 2]]


def test_pixels_that_a_person_left_unlabelled_do_not_count():
    true, made = np.full((2, 2), -1, np.int32), np.zeros((2, 2), np.int32)
    assert count_agreement(true, made, 1).sum() == 0


def test_mean_iou_is_that_of_hand():
    counts = count_agreement(TRUTH, np.array([[0, 1, 1, 1]], np.int32), 2)
    assert counts.tolist() == [[1, 2, 0], [2, 2, 0], [1, 3, 0]]
    assert mean_iou(counts) == pytest.approx((1 / 2 + 2 / 3) / 2)  # the third class occurs nowhere
    assert mean_iou(np.zeros((3, 2), int)) == 0


def test_images_are_drawn_anew_as_often_as_there_are():
    drawn = resampled(np.stack([HALF, RIGHT, RIGHT]))
    assert (drawn[:, 1].sum(axis=1) == 12).all()  # three images of four true pixels each
    assert len(np.unique(drawn, axis=0)) == 4  # none, one, two or three of them are the first
    assert interval(mean_iou(resampled(np.stack([HALF] * 5)))) == pytest.approx((1 / 3, 1 / 3))
