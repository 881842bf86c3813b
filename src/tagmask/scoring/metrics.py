"""How well masks and tags agree with the truth, and the sentence that says what such a number means.

Confusion matrices are ``k k+1``: rows are the true classes (background first), columns the predicted ones, and the last
column counts labelled pixels for which no class was predicted (``IGNORE``). Those are misses of the true class and
false alarms of none. Pixels without truth are left out. Matrices of several images simply add up.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from tagmask.conventions import BACKGROUND, IGNORE

UNION_FLOOR = 1e-10

Confusion = Int64[np.ndarray, "k k+1"]
Counts = Int64[np.ndarray, "3 k"]


# ── what a number means ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Protocol:
    """How a score came about. A score without it cannot be compared with another.

    Attributes:
        subject: what was scored: ``seed``, ``walk``, ``pseudo mask`` or ``prediction``.
        data: name of the data set.
        split: the split the images belong to.
        num_masks: images with ground truth that were scored.
        num_images: images of the split; None if all have ground truth.
        threshold: background constant of a seed; None where none is used.
        threshold_choice: set beforehand, or the best one on the very masks it is scored on.
        own_background: whether the background of a seed is the one that the method has learnt.
        tags_given: whether the true tags of the scored images were used.
        choice: why others of the split that have ground truth too are left aside; empty: none is.
        masks_learned: drawn masks that the network has learned from; 0 where it has learned from tags alone.
        absent: what a class that is neither in truth nor in predictions counts: 0, or left out of the mean.
    """

    subject: str
    data: str
    split: str
    num_masks: int
    num_images: int | None = None
    threshold: float | None = None
    threshold_choice: Literal["fixed", "best"] = "fixed"
    own_background: bool = False
    tags_given: bool = True
    choice: str = ""
    masks_learned: int = 0
    absent: Literal["zero", "left out"] = "left out"


def describe(protocol: Protocol) -> str:
    """One sentence that says what was scored, on which masks, with which knowledge.

    Example:
        >>> describe(Protocol("seed", "voc", "train", num_masks=437, num_images=10582, threshold=0.2))
        'seed on voc train, the 437 of 10582 images with masks; background threshold 0.2, fixed beforehand; tags given.'
    """
    parts = [f"{protocol.subject} on {protocol.data} {protocol.split}, {_images(protocol)}"]
    if protocol.threshold is not None:
        choice = "fixed beforehand" if protocol.threshold_choice == "fixed" else "chosen on these very masks"
        parts.append(f"background threshold {protocol.threshold:g}, {choice}")
    if protocol.own_background:
        parts.append("background learnt by the method")
    parts.append("tags given" if protocol.tags_given else "tags not given")
    if protocol.masks_learned:
        parts.append(f"the network has learned from {protocol.masks_learned} drawn masks")
    if protocol.absent == "zero":
        parts.append("classes that never occur count as 0")
    return "; ".join(parts) + "."


def _images(protocol: Protocol) -> str:
    if protocol.num_images is None or protocol.num_images == protocol.num_masks:
        return f"all {protocol.num_masks} images"
    if protocol.choice:
        return f"{protocol.num_masks} of {protocol.num_images} images, {protocol.choice}"
    return f"the {protocol.num_masks} of {protocol.num_images} images with masks"


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Scores:
    """Agreement of predicted masks with the truth; every share is in [0, 1].

    Attributes:
        iou: intersection over union of each class, background first; None where a class is left out (absent).
        mean_iou: their plain mean; 0 if nothing was scored.
        pixel_accuracy: share of the labelled pixels that are right.
        frequency_weighted_iou: mean IoU weighted by the classes' true pixels.
        protocol: what was scored and how.
    """

    iou: tuple[float | None, ...]
    mean_iou: float
    pixel_accuracy: float
    frequency_weighted_iou: float
    protocol: Protocol

    def as_dict(self, classes: tuple[str, ...]) -> dict[str, object]:
        """Plain data for ``scores.json``; ``classes`` are the names without background."""
        threshold = self.protocol.threshold
        return {
            "protocol": describe(self.protocol),
            **({} if threshold is None else {"threshold": threshold}),
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "iou": dict(zip(("background", *classes), self.iou, strict=True)),
        }


def confusion_matrix(
    truth: Int[np.ndarray, "h w"], prediction: Int[np.ndarray, "h w"], num_classes_with_background: int
) -> Confusion:
    """Count the pixels of each (true class, predicted class); see the head of this module for the last column.

    Raises:
        ValueError: a class that is neither ``IGNORE`` nor below ``num_classes_with_background``.

    Example:
        >>> confusion_matrix(np.array([[0, 1, 1, -1]]), np.array([[0, 0, -1, 1]]), 2)
        array([[1, 0, 0],
               [1, 0, 1]])
    """
    k = num_classes_with_background
    _require_classes("truth", truth, k)
    _require_classes("prediction", prediction, k)
    labelled = truth != IGNORE
    true, answer = truth[labelled].astype(np.int64), prediction[labelled].astype(np.int64)
    answer[answer == IGNORE] = k
    return np.bincount(true * (k + 1) + answer, minlength=k * (k + 1)).reshape(k, k + 1)


def _require_classes(name: str, mask: Int[np.ndarray, "h w"], k: int) -> None:
    low, high = int(mask.min(initial=0)), int(mask.max(initial=0))
    if low < IGNORE or high >= k:
        raise ValueError(
            f"{name} holds values from {low} to {high}; expected 0..{k - 1} and {IGNORE} for unlabelled pixels: "
            "check the number of classes and the data set's ignore value."
        )


def counts_of(confusion: Confusion) -> Counts:
    """Right, true and predicted pixels of each class.

    Example:
        >>> counts_of(np.array([[1, 0, 0], [1, 0, 1]]))
        array([[1, 0],
               [1, 2],
               [2, 0]])
    """
    return np.stack([np.diagonal(confusion), confusion.sum(axis=1), confusion[:, : len(confusion)].sum(axis=0)])


def score(confusion: Confusion, protocol: Protocol) -> Scores:
    """Scores of a summed confusion matrix, see ``score_counts``."""
    return score_counts(counts_of(confusion), protocol)


def score_counts(counts: Counts, protocol: Protocol) -> Scores:
    """Scores of summed counts: IoU = hits / (true + predicted - hits), mean as ``protocol.absent`` says.

    ``zero`` divides by the union plus 1e-10, as SEAM's evaluation does, and counts absent classes as 0; ``left out``
    is the mean over classes that occur in truth or predictions.
    """
    hits, true, predicted = counts.astype(float)
    union = true + predicted - hits
    iou = hits / (union + UNION_FLOOR) if protocol.absent == "zero" else hits / np.maximum(union, 1)
    counted = (union > 0) | (protocol.absent == "zero")
    total = max(int(true.sum()), 1)
    return Scores(
        iou=tuple(float(value) if shown else None for value, shown in zip(iou, counted, strict=True)),
        mean_iou=float(iou[counted].mean()) if counted.any() else 0.0,
        pixel_accuracy=float(hits.sum() / total),
        frequency_weighted_iou=float((true * iou).sum() / total),
        protocol=protocol,
    )


# ── thresholds ───────────────────────────────────────────────────────────────────────────────────────────────────────


def sweep_thresholds(sweep: tuple[float, float, float]) -> Float[np.ndarray, " t"]:
    """The thresholds of (from, to excluded, step), as float32: the nearest to each decimal number.

    Example:
        >>> sweep_thresholds((0.0, 0.03, 0.01))
        array([0.  , 0.01, 0.02], dtype=float32)
    """
    start, stop, step = sweep
    count = int(np.ceil(round((stop - start) / step, 6)))
    return np.round(start + step * np.arange(count), 10).astype(np.float32)


def threshold_sweep(
    truth: Int[np.ndarray, "h w"],
    maps: Float[np.ndarray, "n h w"],
    tags: Int[np.ndarray, " n"],
    thresholds: Float[np.ndarray, " t"],
    num_classes_with_background: int,
) -> Int64[np.ndarray, "t 3 k"]:
    """Counts of one image's maps for every background constant (see ``counts_of``), in a single pass over the pixels.

    A pixel is background where no map exceeds the constant, else the class of the largest map, the lowest class among
    equals. As the constant never changes which map is largest, one histogram over (true class, best map, number of
    constants it exceeds) holds all answers.

    Args:
        truth: true class per pixel, ``IGNORE`` unlabelled.
        maps: one map per tag, at the size of the truth.
        tags: class of each map, from 0 and without background.
        thresholds: ascending constants; compared in float32.
        num_classes_with_background: k.

    Raises:
        ValueError: thresholds that do not ascend, or classes or tags out of range.
    """
    k = num_classes_with_background
    _require_classes("truth", truth, k)
    _require_sweep(tags, thresholds, k)
    order = np.argsort(tags)
    labelled = truth != IGNORE
    counts = _exceedances(truth[labelled], maps[order][:, labelled], thresholds, k)
    found = np.zeros((len(thresholds), 3, k), np.int64)
    true, classes = np.bincount(truth[labelled], minlength=k), tags[order] + 1
    found[:, 1] = true
    found[:, 0, classes] = counts[classes, np.arange(len(classes))].T
    found[:, 2, classes] = counts.sum(axis=0).T
    found[:, 0, BACKGROUND] = true[BACKGROUND] - counts[BACKGROUND].sum(axis=0)
    found[:, 2, BACKGROUND] = true.sum() - counts.sum(axis=(0, 1))
    return found


def _require_sweep(tags: Int[np.ndarray, " n"], thresholds: Float[np.ndarray, " t"], k: int) -> None:
    if (np.diff(thresholds) <= 0).any():
        raise ValueError(f"thresholds must ascend, got {thresholds.tolist()}: sort them and drop repetitions.")
    if len(set(tags.tolist()) & set(range(k - 1))) < len(tags):
        raise ValueError(f"tags of the maps must be distinct values in 0..{k - 2}, got {tags.tolist()}.")


def _exceedances(
    true: Int[np.ndarray, " m"], maps: Float[np.ndarray, "n m"], thresholds: Float[np.ndarray, " t"], k: int
) -> Int64[np.ndarray, "k n t"]:
    """Pixels of each true class whose largest map is the n-th and exceeds the t-th threshold."""
    n, t = len(maps), len(thresholds)
    if not n:
        return np.zeros((k, 0, t), np.int64)
    best = maps.argmax(axis=0)
    peak = np.take_along_axis(maps, best[None], axis=0)[0].astype(np.float32)
    exceeded = np.searchsorted(thresholds.astype(np.float32), peak, side="left")
    cells = (true.astype(np.int64) * n + best) * (t + 1) + exceeded
    histogram = np.bincount(cells, minlength=k * n * (t + 1)).reshape(k, n, t + 1)
    return histogram[:, :, :0:-1].cumsum(axis=2)[:, :, ::-1]


def best_threshold(counts: Int64[np.ndarray, "t 3 k"], protocol: Protocol) -> int:
    """Position of the threshold with the highest mean IoU, the first among equals."""
    return int(np.argmax([score_counts(each, protocol).mean_iou for each in counts]))


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def average_precision(scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float | None:
    """Area under the precision-recall curve at all points, precision made monotone (PASCAL VOC 2010 and later).

    Equal scores are accepted or refused together, so the order of the images does not matter. None without a positive.

    Example:
        >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
        0.8333333333333333
    """
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits = truth[order].cumsum()[last_of_equals]
    precision = hits / (np.flatnonzero(last_of_equals) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(hits, prepend=0) * envelope).sum() / truth.sum())


def mean_average_precision(scores: Float[np.ndarray, "n c"], truth: Bool[np.ndarray, "n c"]) -> float | None:
    """Mean of `average_precision` over the classes that have a positive; None if none has."""
    values = [average_precision(scores[:, c], truth[:, c]) for c in range(scores.shape[1])]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
