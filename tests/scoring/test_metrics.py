import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tagmask.scoring.metrics import (
    IGNORE,
    Protocol,
    average_precision,
    best_threshold,
    confusion_matrix,
    describe,
    mean_average_precision,
    score,
    sweep_thresholds,
    threshold_sweep,
)

PROTOCOL = Protocol("seed", "toy", "train", num_masks=2)
ZERO = Protocol("seed", "toy", "train", num_masks=2, absent="zero")


# ── confusion matrix and scores ──────────────────────────────────────────────────────────────────────────────────────


def test_confusion_counts_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, 2, IGNORE]])
    prediction = np.array([[0, 1, 1], [IGNORE, 0, 2]])
    assert confusion_matrix(truth, prediction, 3).tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]


def test_scores_by_hand() -> None:
    # Class 0: 1 hit, union 3. Class 1: 1 hit, union 3 (one miss without an answer). Class 2: missed. Class 3: absent.
    confusion = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    scores = score(confusion, PROTOCOL)
    assert scores.iou == (pytest.approx(1 / 3), pytest.approx(1 / 3), 0.0, None)
    assert scores.mean_iou == pytest.approx(2 / 9)
    assert scores.pixel_accuracy == pytest.approx(2 / 5)
    assert scores.frequency_weighted_iou == pytest.approx((2 / 3 + 2 / 3) / 5)
    assert score(confusion, ZERO).mean_iou == pytest.approx(2 / 12)
    assert score(confusion, ZERO).iou[3] == 0.0


def test_predicted_ignore_is_a_miss_and_no_false_alarm() -> None:
    truth = np.array([[1, 1, 0, 0]])
    half = score(confusion_matrix(truth, np.array([[1, IGNORE, 0, 0]]), 2), PROTOCOL)
    assert half.iou == (1.0, 0.5)
    assert half.pixel_accuracy == 0.75


def test_perfect_prediction_scores_one() -> None:
    truth = np.array([[0, 1], [2, IGNORE]])
    scores = score(confusion_matrix(truth, np.maximum(truth, 0), 3), PROTOCOL)
    assert (scores.mean_iou, scores.pixel_accuracy, scores.frequency_weighted_iou) == (1.0, 1.0, 1.0)


def test_nothing_to_score_gives_zeros_not_nan() -> None:
    confusion = confusion_matrix(np.full((2, 2), IGNORE), np.zeros((2, 2), int), 2)
    for protocol in (PROTOCOL, ZERO):
        scores = score(confusion, protocol)
        assert (scores.mean_iou, scores.pixel_accuracy, scores.frequency_weighted_iou) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("truth", "prediction"), [(3, 0), (-2, 0), (0, 3), (0, 255)])
def test_classes_out_of_range_are_refused(truth: int, prediction: int) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.\.2"):
        confusion_matrix(np.full((2, 2), truth), np.full((2, 2), prediction), 3)


@given(hnp.arrays(np.int32, (2, 5, 7), elements=st.integers(-1, 3)))
def test_scores_equal_counting_with_sets(masks: np.ndarray) -> None:
    truth, prediction = masks
    scores = score(confusion_matrix(truth, prediction, 4), PROTOCOL)
    known = truth != IGNORE
    for c in range(4):
        is_true, is_predicted = (truth == c) & known, (prediction == c) & known
        union = (is_true | is_predicted).sum()
        assert scores.iou[c] == (pytest.approx((is_true & is_predicted).sum() / union) if union else None)


def test_small_types_do_not_overflow() -> None:
    truth = np.full((40, 40), 20, np.int16)
    assert confusion_matrix(truth, np.full((40, 40), 20, np.int8), 200)[20, 20] == 1600


# ── thresholds ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sweep_thresholds_are_the_nearest_float32() -> None:
    assert np.array_equal(sweep_thresholds((0.0, 0.6, 0.01)), np.array([i / 100 for i in range(60)], np.float32))
    assert sweep_thresholds((0.1, 0.35, 0.1)).tolist() == np.array([0.1, 0.2, 0.3], np.float32).tolist()


THRESHOLDS = sweep_thresholds((0.0, 0.6, 0.1))


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = draw(st.integers(0, 3))
    # Values on the thresholds themselves, ties between maps and negative values are the interesting ones.
    values = st.sampled_from([*THRESHOLDS.tolist(), -0.5, 0.05, 0.35, 0.7, 1.0])
    maps = draw(hnp.arrays(np.float32, (n, 3, 4), elements=values))
    truth = draw(hnp.arrays(np.int32, (3, 4), elements=st.integers(-1, 4)))
    tags = draw(st.permutations([0, 1, 2, 3]))[:n]
    return truth, maps, np.array(tags, np.int64)


@given(images())
def test_sweep_equals_one_argmax_per_threshold(image: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, maps, tags = image
    swept = threshold_sweep(truth, maps, tags, THRESHOLDS, 5)
    order = np.argsort(tags)
    for confusion, threshold in zip(swept, THRESHOLDS, strict=True):
        stacked = np.concatenate([np.full((1, 3, 4), threshold, np.float32), maps[order]])
        prediction = np.concatenate([[0], tags[order] + 1])[stacked.argmax(axis=0)]
        assert np.array_equal(confusion, confusion_matrix(truth, prediction, 5))


def test_best_threshold_is_the_first_of_the_best() -> None:
    truth = np.array([[0, 0, 1, 1]], np.int32)
    maps = np.array([[[0.0, 0.15, 0.5, 0.9]]], np.float32)
    swept = threshold_sweep(truth, maps, np.array([0]), THRESHOLDS, 2)
    best = best_threshold(swept, PROTOCOL)
    assert best == 2
    assert score(swept[best], PROTOCOL).mean_iou == 1.0


def test_sweep_refuses_unsorted_thresholds_and_wrong_tags() -> None:
    truth, maps = np.zeros((1, 1), np.int32), np.zeros((1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="must ascend"):
        threshold_sweep(truth, maps, np.array([0]), np.array([0.2, 0.1], np.float32), 3)
    with pytest.raises(ValueError, match=r"distinct values in 0\.\.1"):
        threshold_sweep(truth, maps, np.array([2]), THRESHOLDS, 3)


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_average_precision_by_hand() -> None:
    truth = np.array([False, True, True, False, True])
    # Precisions at the positives are 1/2, 2/3, 3/5; made monotone 2/3, 2/3, 3/5.
    assert average_precision(np.array([5.0, 4, 3, 2, 1]), truth) == pytest.approx((2 / 3 + 2 / 3 + 3 / 5) / 3)


def test_equal_scores_do_not_depend_on_the_order_of_images() -> None:
    truth = np.array([True, False, False, False])
    assert average_precision(np.ones(4), truth) == average_precision(np.ones(4), truth[::-1]) == 0.25


def test_mean_average_precision_leaves_out_classes_without_positives() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert mean_average_precision(scores, np.array([[True, False], [False, False]])) == 1.0
    assert mean_average_precision(scores, np.zeros((2, 2), bool)) is None


# ── sentences ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sentence_tells_what_the_masks_were_used_for() -> None:
    best = Protocol("seed", "voc", "train", 437, 10582, threshold=0.31, threshold_choice="best", absent="zero")
    assert describe(best) == (
        "seed on voc train, the 437 of 10582 images with masks; background threshold 0.31, chosen on these very masks; "
        "tags given; classes that never occur count as 0."
    )
    plain = Protocol("prediction", "voc", "val", num_masks=1449, tags_given=False)
    assert describe(plain) == "prediction on voc val, all 1449 images; tags not given."


def test_scores_become_plain_json() -> None:
    scores = score(np.array([[3, 0, 0], [0, 0, 0]]), PROTOCOL)
    stored = json.loads(json.dumps(scores.as_dict(("cat",)), allow_nan=False))
    assert stored["iou"] == {"background": 1.0, "cat": None}
    assert stored["protocol"] == describe(PROTOCOL)
