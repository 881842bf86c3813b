"""How right pseudo masks are, estimated from those that a person has accepted or corrected.

Which images were looked at decides what such a number means. Images taken in the order of least trust are the worst
ones, and a number from them is too low for the run. The first images of an order that was drawn by lot are a random
sample, whatever is known of them, and a number from them holds for the run.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE

Counts = Int64[np.ndarray, "3 k"]
"""Right, true and predicted pixels of each class of one image, background first."""

DRAWS = 2000
FEWEST = 5
"""Images without which nothing is estimated: the spread of fewer says nothing."""

STEP = 10
"""A random sample grows by so many images; see ``leading``."""


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1], and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """How right masks are.

    Attributes:
        images: from which it is estimated.
        pixel_accuracy: share of their pixels with a true label that are right.
        mean_iou: mean over the classes that occur.
    """

    images: int
    pixel_accuracy: Estimate
    mean_iou: Estimate


def count_agreement(true: MaskArray, predicted: MaskArray, num_classes: int) -> Counts:
    """Count right, true and predicted pixels of each class; pixels without true label are left out.

    A pixel that has a true label and no predicted one is a miss.

    Args:
        true: as a person left it.
        predicted: as it was made.
        num_classes: without background.

    Example:
        >>> count_agreement(np.array([[0, 1, 1, -1]], np.int32), np.array([[0, 1, -1, 1]], np.int32), 1).tolist()
        [[1, 1], [1, 2], [1, 1]]
    """
    labelled = true != IGNORE
    groups = true[labelled & (true == predicted)], true[labelled], predicted[labelled & (predicted != IGNORE)]
    return np.stack([np.bincount(group, minlength=num_classes + 1) for group in groups])


def estimate_accuracy(counts: Sequence[Counts], seed: int = 0) -> Accuracy | None:
    """Accuracy of the images that were counted, with percentile bootstrap intervals over images; None: too few.

    Args:
        counts: of each image, see ``count_agreement``.
        seed: of the draws.
    """
    if len(counts) < FEWEST or not any(each[1].any() for each in counts):
        return None
    stacked = np.stack(counts).astype(float)
    times = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS)
    drawn = np.tensordot(times.astype(float), stacked, 1)
    whole = stacked.sum(axis=0)[None]
    return Accuracy(len(counts), *(_estimate(measure, whole, drawn) for measure in (pixel_accuracy, mean_iou)))


_Measure = Callable[[Float64[np.ndarray, "n 3 k"]], Float64[np.ndarray, " n"]]


def _estimate(measure: _Measure, whole: Float64[np.ndarray, "1 3 k"], drawn: Float64[np.ndarray, "n 3 k"]) -> Estimate:
    low, high = np.percentile(measure(drawn), (2.5, 97.5))
    return Estimate(float(measure(whole)[0]), float(low), float(high))


def pixel_accuracy(counts: Float64[np.ndarray, "n 3 k"]) -> Float64[np.ndarray, " n"]:
    """Share of the pixels with a true label that are right; 0 if there is none.

    >>> pixel_accuracy(np.array([[[1.0, 1], [1, 3], [2, 2]]])).tolist()
    [0.5]
    """
    return counts[:, 0].sum(axis=1) / np.maximum(counts[:, 1].sum(axis=1), 1)


def mean_iou(counts: Float64[np.ndarray, "n 3 k"]) -> Float64[np.ndarray, " n"]:
    """Mean IoU over the classes that occur in truth or predictions; 0 if none does.

    >>> mean_iou(np.array([[[1.0, 1, 0], [1, 3, 0], [2, 2, 0]]])).round(3).tolist()
    [0.375]
    """
    hits, true, predicted = counts[:, 0], counts[:, 1], counts[:, 2]
    union = true + predicted - hits
    return (hits / np.maximum(union, 1)).sum(axis=1) / np.maximum((union > 0).sum(axis=1), 1)


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def random_order(image_ids: Sequence[str]) -> list[str]:
    """The images as drawn by lot: always the same for the same images, and unlike any order they came in."""
    return sorted(image_ids, key=lambda image_id: hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest())


def leading(in_random_order: Sequence[str], decided: set[str]) -> list[str]:
    """The first images of a random order, as far as all are decided, in whole steps of ``STEP``.

    Where it ends must not depend on what was decided otherwise: of images that were taken for another reason some lie
    next in the random order too, and counting them would favour their kind. Whole steps hardly ever fill up by chance.

    >>> leading("abcdefghijklmnop", set("abcdefghijklm")) == list("abcdefghij")
    True
    """
    undecided = (place for place, image_id in enumerate(in_random_order) if image_id not in decided)
    end = next(undecided, len(in_random_order))
    return list(in_random_order[: end if end == len(in_random_order) else end // STEP * STEP])
