"""Which pixels are sure to be object or background: the labels AffinityNet learns pairs from."""

import numpy as np
from jaxtyping import Float, Int32

from tagmask.pseudo_masks import BACKGROUND, IGNORE, block_mean

EMPTY = 1e-5  # scores below this, all of them, mark a block outside the image


def confident_labels(
    low: Float[np.ndarray, "k h w"], high: Float[np.ndarray, "k h w"], pool: int = 8
) -> Int32[np.ndarray, "p q"]:
    """Labels where scores of a strong and of a weak background agree (Ahn & Kwak, CVPR 2018, section 3.2.1).

    A low power makes the background strong, so a foreground class that wins against it is trusted; a high power makes
    it weak, so a background that still wins is trusted. If both are, the background is kept.

    Args:
        low: scores with the low power, background first, then the classes of the image; 0 outside the image.
        high: scores with the high power, alike.
        pool: side in pixels of the blocks the scores are averaged over; zeros complete the last ones.

    Returns:
        For each block 0 for background, i for the i-th class of the image, or ``IGNORE``.

    Example:
        >>> low = np.array([[[0.8, 0.8, 0.1, 0.0]], [[0.2, 0.2, 0.9, 0.0]]])
        >>> high = np.array([[[0.6, 0.4, 0.1, 0.0]], [[0.4, 0.6, 0.9, 0.0]]])
        >>> confident_labels(low, high, pool=1)
        array([[ 0, -1,  1, -1]], dtype=int32)
    """
    low, high = block_mean(low, pool), block_mean(high, pool)
    label = low.argmax(0).astype(np.int32)
    label[label == BACKGROUND] = IGNORE
    label[high.argmax(0) == BACKGROUND] = BACKGROUND
    label[(low < EMPTY).all(0) & (high < EMPTY).all(0)] = IGNORE
    return label
