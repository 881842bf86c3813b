"""How strong a background should be, found without masks: where the outlines of masks lie on edges of the image.

Too weak a background leaves a rim of it around the object, too strong a one cuts into the object; both ways the outline
leaves the edge. So the steepness of the image along the outline, compared with that around it, is largest in between.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_gradient_magnitude

FACTORS = tuple((4 / 3) ** step for step in range(-8, 7))
"""Factors on the background's score that are tried: a tenth to five and a half, each a third more than the last."""

REACH = 4  # pixels around a mask that its outline is compared with
BLUR = 1.0  # deviation in pixels: without it the steepness is that of the noise


def steepness(image: Shaped[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Magnitude of the gradient of an image's brightness, a little blurred."""
    return gaussian_gradient_magnitude(image.mean(axis=2, dtype=np.float32), BLUR, mode="nearest")


def outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels of a mask that have one outside beside them; the border of the image is no outline."""
    return mask & ~np.asarray(binary_erosion(mask, border_value=1), bool)


def outline_contrast(steep: Float32[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """Mean steepness along a mask's outline, over that in the mask and ``REACH`` pixels around it.

    0 for a mask of nothing or of everything, which has no outline, and where the image is flat.

    >>> steep = np.zeros((9, 9), np.float32)
    >>> steep[3:6, 3:6] = 1
    >>> steep[4, 4] = 0
    >>> outline_contrast(steep, steep > 0) > outline_contrast(steep, np.pad(np.ones((7, 7), bool), 1))
    True
    """
    edge = outline(mask)
    around = float(steep[np.asarray(binary_dilation(mask, iterations=REACH), bool)].mean()) if mask.any() else 0.0
    return float(steep[edge].mean()) / around if edge.any() and around > 0 else 0.0


def best_factor(contrasts: Sequence[Sequence[float]]) -> float:
    """The smallest factor whose masks have the largest mean contrast, but for a standard error.

    The contrast is flat at its top, and what a network learns from masks that are too small it takes further: of
    factors that cannot be told apart the one with the widest masks is taken.

    Args:
        contrasts: of each image, with each of ``FACTORS``; where there is none at all the factor is 1.

    >>> clear, flat = [0.0] * 8 + [1, 3, 1, 0, 0, 0, 0], [0.0] * 8 + [2, 2, 1, 0, 0, 0, 0]
    >>> best_factor([clear] * 4) == 4 / 3, best_factor([flat] * 4)
    (True, 1.0)
    >>> best_factor([])
    1.0
    """
    if not np.any(contrasts):
        return 1.0
    values: Float[np.ndarray, "n f"] = np.asarray(contrasts, float)
    best = int(values.mean(axis=0).argmax())
    behind = values[:, [best]] - values
    is_as_good = behind.mean(axis=0) <= behind.std(axis=0) / np.sqrt(len(values))
    worse = np.flatnonzero(~is_as_good[:best])
    return FACTORS[int(worse[-1]) + 1 if len(worse) else 0]
