"""How strong a background should be where a few images have masks: chosen on some of them, judged on the others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from tagmask.masks.agreement import interval, mean_iou, resampled
from tagmask.masks.outlines import FACTORS

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


def chosen_factor(choosing: FactorCounts, judging: FactorCounts) -> ChosenFactor:
    """The factor with the largest mean IoU on some images, judged on others.

    Args:
        choosing: counts of the images that choose, with each of ``FACTORS``.
        judging: of the others.
    """
    best = int(np.argmax(mean_iou(choosing.sum(axis=0))))
    between = interval(mean_iou(resampled(judging[:, best])))
    worth = mean_iou(judging.sum(axis=0))
    return ChosenFactor(FACTORS[best], float(worth[best]), between, float(worth[FACTORS.index(1.0)]))
