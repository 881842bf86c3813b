"""Which pixels are sure to be object or background: the labels affinity networks learn pairs from.

Scores are made twice from the same maps, against a strong and against a weak background. What is foreground against the
strong one is trusted, and so is what is background even against the weak one.
"""

import numpy as np
from jaxtyping import Float, Int32

from tagmask.config import AnyLabels, LearntLabels, PowerLabels
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.errors import TagmaskError
from tagmask.masks.scores import Maps, Mask, add_background, add_threshold, block_mean

EMPTY = 1e-5  # scores below this, all of them, mark a block outside the image


def label_scores(
    maps: Float[np.ndarray, "_ h w"], has_background: bool, config: AnyLabels
) -> tuple[Float[np.ndarray, "k h w"], Float[np.ndarray, "k h w"]]:
    """Scores of the same maps against the strong and against the weak background, background first.

    Args:
        maps: normalised maps, the learnt background first if there is one; other backgrounds replace it.
        has_background: whether there is one.
        config: which background.

    Raises:
        TagmaskError: a learnt background is asked for and there is none.
    """
    if isinstance(config, LearntLabels):
        if not has_background:
            raise TagmaskError(
                "affinity labels of kind `learnt` need maps with a background of their own; "
                "take `powers` or `thresholds` for this method."
            )
        return _scaled_background(maps, config.strong), _scaled_background(maps, config.weak)
    foreground = maps[1:] if has_background else maps
    if isinstance(config, PowerLabels):
        return add_background(foreground, config.low), add_background(foreground, config.high)
    return add_threshold(foreground, config.foreground), add_threshold(foreground, config.background)


def _scaled_background(maps: Maps, factor: float) -> Maps:
    return np.concatenate([maps[:1] * maps.dtype.type(factor), maps[1:]])


def agreed_labels(strong: Mask, weak: Mask) -> Mask:
    """Foreground of the mask made against the strong background, background of the weak one, else ``IGNORE``.

    IRN (Ahn, Cho & Kwak, CVPR 2019, section 4.1) with two constants; SIPE with its learnt background and half of it.

    Example:
        >>> agreed_labels(np.array([[0, 0, 2]], np.int32), np.array([[0, 2, 2]], np.int32))
        array([[ 0, -1,  2]], dtype=int32)
    """
    undecided = np.where(weak == BACKGROUND, np.int32(BACKGROUND), np.int32(IGNORE))
    return np.where(strong != BACKGROUND, strong, undecided)


def grid_labels(mask: Mask, stride: int) -> Int32[np.ndarray, "p q"]:
    """The label at the centre of each cell of ``stride`` pixels; ``IGNORE`` where that lies outside.

    Example:
        >>> grid_labels(np.array([[0, 1, 2, 3, 4]] * 2, np.int32), 2)
        array([[ 1,  3, -1]], dtype=int32)
    """
    below, beside = (-side % stride for side in mask.shape)
    return np.pad(mask, ((0, below), (0, beside)), constant_values=IGNORE)[stride // 2 :: stride, stride // 2 :: stride]


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
