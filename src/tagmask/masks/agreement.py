"""How far masks agree with the truth, where no protocol is needed: counts, mean IoU, and how much of it is chance."""

import numpy as np
from jaxtyping import Float64, Int64, Num, Shaped

from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE

DRAWS = 2000
CERTAINTY = 0.95


def count_agreement(true: MaskArray, predicted: MaskArray, num_classes: int) -> Int64[np.ndarray, "3 _"]:
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


def mean_iou(counts: Num[np.ndarray, "*b 3 k"]) -> Float64[np.ndarray, "*b"]:
    """Mean of hits / (true + predicted - hits) over the classes that occur in truth or predictions; 0 if none does.

    >>> float(mean_iou(np.array([[1.0, 1, 0], [1, 3, 0], [2, 2, 0]])))
    0.375
    """
    hits, true, predicted = np.moveaxis(counts.astype(float), -2, 0)
    union = true + predicted - hits
    return np.asarray((hits / np.maximum(union, 1)).sum(axis=-1) / np.maximum((union > 0).sum(axis=-1), 1))


def resampled(counts: Shaped[np.ndarray, "n *rest 3 k"], seed: int = 0) -> Float64[np.ndarray, "_ *rest 3 k"]:
    """Sums over images that are drawn anew with replacement, ``DRAWS`` times.

    Args:
        counts: of each image.
        seed: of the draws.
    """
    number = len(counts)
    times = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), DRAWS)
    return np.tensordot(times.astype(float), counts.astype(float), 1)


def interval(values: Float64[np.ndarray, " d"]) -> tuple[float, float]:
    """Between what ``CERTAINTY`` of the values of all draws lie.

    >>> [round(end, 6) for end in interval(np.linspace(0, 1, 201))]
    [0.025, 0.975]
    """
    low, high = np.quantile(values, [(1 - CERTAINTY) / 2, (1 + CERTAINTY) / 2])
    return float(low), float(high)
