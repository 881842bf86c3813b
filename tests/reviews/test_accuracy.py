import numpy as np
import pytest

from tagmask.masks.agreement import count_agreement, mean_iou
from tagmask.reviews.accuracy import (
    FEWEST,
    STEP,
    estimate_accuracy,
    leading,
    pixel_accuracy,
    random_order,
)

HALF = count_agreement(np.array([[0, 0, 1, 1]], np.int32), np.array([[0, 1, 1, 0]], np.int32), 1)
RIGHT = count_agreement(np.array([[0, 0, 1, 1]], np.int32), np.array([[0, 0, 1, 1]], np.int32), 1)


def test_measures_are_those_worked_out_by_hand():
    both = np.stack([HALF, RIGHT]).astype(float)
    assert pixel_accuracy(both).tolist() == [0.5, 1]
    assert mean_iou(both) == pytest.approx([1 / 3, 1])


def test_an_estimate_is_that_of_all_pixels_with_an_interval_around_it():
    found = estimate_accuracy([HALF] * 10 + [RIGHT] * 10)
    assert found.images == 20
    assert found.pixel_accuracy.value == pytest.approx(0.75)
    assert found.mean_iou.value == pytest.approx(30 / 50)
    # Half a sample of 20 that is right or half right: a standard deviation of 0.25 / sqrt(20) = 0.056.
    assert found.pixel_accuracy.low == pytest.approx(0.75 - 1.96 * 0.056, abs=0.02)
    assert found.pixel_accuracy.high == pytest.approx(0.75 + 1.96 * 0.056, abs=0.02)
    assert estimate_accuracy([HALF] * 10 + [RIGHT] * 10) == found


def test_equal_images_leave_no_doubt():
    found = estimate_accuracy([HALF] * FEWEST)
    assert (found.mean_iou.low, found.mean_iou.high) == (found.mean_iou.value, found.mean_iou.value)


def test_of_too_few_images_or_none_with_a_label_nothing_is_said():
    assert estimate_accuracy([HALF] * (FEWEST - 1)) is None
    assert estimate_accuracy([np.zeros((3, 2), int)] * 9) is None


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    within = 0
    for _ in range(100):
        drawn = [RIGHT if right else HALF for right in random.random(30) < 0.4]
        found = estimate_accuracy(drawn).pixel_accuracy
        within += found.low <= 0.7 <= found.high
    assert 85 <= within <= 100


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_random_order_depends_on_the_images_alone():
    ids = [f"{number:03}" for number in range(100)]
    order = random_order(ids)
    assert sorted(order) == ids
    assert order != ids
    assert random_order(ids[::-1]) == order
    assert abs(np.corrcoef([int(each) for each in order], range(100))[0, 1]) < 0.25
    assert len(random_order(["a\udcff"])) == 1


def test_a_sample_grows_by_whole_steps_and_ends_at_the_first_gap():
    ids = [str(number) for number in range(3 * STEP)]
    assert leading(ids, set(ids[: STEP - 1])) == []
    assert leading(ids, set(ids[:STEP])) == ids[:STEP]
    assert leading(ids, set(ids) - {ids[2 * STEP + 1]}) == ids[: 2 * STEP]
    assert leading(ids, set(ids)) == ids
    assert leading(ids[:3], set(ids)) == ids[:3]
