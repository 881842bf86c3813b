"""How strong a background should be where a few images have masks: chosen on some of them, judged on the others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE
from tagmask.masks.outlines import FACTORS

DRAWS = 1000
CERTAINTY = 0.95

FactorCounts = Int[np.ndarray, "_ f 3 k"]
"""Right, true and predicted pixels of each class, by image and factor."""


@dataclass(frozen=True)
class ChosenFactor:
    """A factor on the background's score, and what it is worth on images that did not choose it.

    Attributes:
        factor: one of ``FACTORS``.
        mean_iou: of the masks made with it, in [0, 1], on the images that judge.
        between: 95 % of the mean IoU over these images drawn anew with replacement.
        mean_iou_of_one: of the masks made with a factor of 1, on the same images.
    """

    factor: float
    mean_iou: float
    between: tuple[float, float]
    mean_iou_of_one: float


def class_counts(truth: MaskArray, mask: MaskArray, num_classes: int) -> Int[np.ndarray, "3 _"]:
    """Right, true and predicted pixels of background and classes, where the truth has a label.

    >>> class_counts(np.array([[0, 1, -1]], np.int32), np.array([[1, 1, 1]], np.int32), 1).tolist()
    [[0, 1], [1, 1], [0, 2]]
    """
    labelled = truth != IGNORE
    true, made = truth[labelled], mask[labelled]
    kinds = (true[true == made], true, made[made != IGNORE])
    return np.stack([np.bincount(each, minlength=num_classes + 1) for each in kinds])


def mean_iou(counts: Int[np.ndarray, "*b 3 k"]) -> Float[np.ndarray, "*b"]:
    """Mean over the classes that occur in truth or masks of hits / (true + predicted - hits); 0 without any."""
    hits, true, made = np.moveaxis(counts.astype(float), -2, 0)
    union = true + made - hits
    occurs = union > 0
    return np.asarray((hits / np.maximum(union, 1)).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))


def chosen_factor(choosing: FactorCounts, judging: FactorCounts) -> ChosenFactor:
    """The factor with the largest mean IoU on some images, judged on others.

    Args:
        choosing: counts of the images that choose, with each of ``FACTORS``.
        judging: of the others.
    """
    best = int(np.argmax(mean_iou(choosing.sum(axis=0))))
    random = np.random.default_rng(0)
    draws = (random.integers(0, len(judging), len(judging)) for _ in range(DRAWS))
    drawn = [float(mean_iou(judging[draw, best].sum(axis=0))) for draw in draws]
    low, high = np.quantile(drawn, [(1 - CERTAINTY) / 2, (1 + CERTAINTY) / 2])
    worth = mean_iou(judging.sum(axis=0))
    return ChosenFactor(FACTORS[best], float(worth[best]), (float(low), float(high)), float(worth[FACTORS.index(1.0)]))
