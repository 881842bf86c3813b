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

from tagmask.masks.agreement import interval, mean_iou, resampled

Counts = Int64[np.ndarray, "3 k"]
"""Right, true and predicted pixels of each class of one image, background first."""

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


def estimate_accuracy(counts: Sequence[Counts], seed: int = 0) -> Accuracy | None:
    """Accuracy of the images that were counted, with percentile bootstrap intervals over images; None: too few.

    Args:
        counts: of each image, see ``masks.agreement.count_agreement``.
        seed: of the draws.
    """
    if len(counts) < FEWEST or not any(each[1].any() for each in counts):
        return None
    stacked = np.stack(counts)
    drawn, whole = resampled(stacked, seed), stacked.sum(axis=0)[None].astype(float)
    return Accuracy(len(counts), *(_estimate(measure, whole, drawn) for measure in (pixel_accuracy, mean_iou)))


_Measure = Callable[[Float64[np.ndarray, "n 3 k"]], Float64[np.ndarray, " n"]]


def _estimate(measure: _Measure, whole: Float64[np.ndarray, "1 3 k"], drawn: Float64[np.ndarray, "n 3 k"]) -> Estimate:
    return Estimate(float(measure(whole)[0]), *interval(measure(drawn)))


def pixel_accuracy(counts: Float64[np.ndarray, "n 3 k"]) -> Float64[np.ndarray, " n"]:
    """Share of the pixels with a true label that are right; 0 if there is none.

    >>> pixel_accuracy(np.array([[[1.0, 1], [1, 3], [2, 2]]])).tolist()
    [0.5]
    """
    return counts[:, 0].sum(axis=1) / np.maximum(counts[:, 1].sum(axis=1), 1)


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
