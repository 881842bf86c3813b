"""Saliency without labels: how long a walk between look-alike places takes until it leaves over the image's border.

The image is a chain of states, one per cell of a grid; a walk moves to a cell in proportion to how alike the two are,
and from the cells of the border it may leave (Jiang et al., Saliency Detection via Absorbing Markov Chain, ICCV 2013).
Background looks like something at the border and is left soon; an object holds a walk for long. Cells are compared by
features of an ImageNet backbone, or by colour where there is none. The time is split in two by Otsu's threshold and
sharpened by the dense CRF. Imports no torch: worker processes use it.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from tagmask import crf
from tagmask.config import CRF_PRESETS
from tagmask.grids import from_grid
from tagmask.pseudo_masks import block_mean

SMALLEST_LIKENESS = 0.2
LIKENESS_POWER = 2.0
LEAK = 0.1
STEEPNESS = 3.0
SUREST = 0.98
COLOUR_CELL = 16


def saliency_of_features(
    image: UInt8[np.ndarray, "h w 3"], features: Float32[np.ndarray, "d p q"], cell: float
) -> Float32[np.ndarray, "h w"]:
    """Object-ness of every pixel from features of a grid.

    Args:
        image: RGB.
        features: one feature per cell; the grid covers the image padded at the right and the bottom to whole cells.
        cell: side of a cell in pixels of the image.

    Returns:
        Values in [0, 1]; above 0.5 where an object is.
    """
    times = absorption_times(likeness(features), border(features.shape[1], features.shape[2]))
    coarse = split_in_two(times.reshape(features.shape[1:]))
    smooth = np.clip(from_grid(coarse[None], cell, (image.shape[0], image.shape[1]))[0], 1 - SUREST, SUREST)
    return crf.refine(image, np.stack([1 - smooth, smooth]), CRF_PRESETS["psa"])[1]


def saliency_of_colours(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Object-ness of every pixel from the mean colours of square cells, where there are no features.

    Returns:
        Values in [0, 1]; above 0.5 where an object is.
    """
    planes = image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    centred = planes - planes.mean(axis=(1, 2), keepdims=True)
    return saliency_of_features(image, block_mean(centred, COLOUR_CELL), COLOUR_CELL)


def likeness(features: Float32[np.ndarray, "d p q"]) -> Float[np.ndarray, "n n"]:
    """How alike any two cells are, in [0, 1]: a power of their cosine, 0 below a floor."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=0), 1e-12)
    return np.clip((unit.T @ unit - SMALLEST_LIKENESS) / (1 - SMALLEST_LIKENESS), 0, 1) ** LIKENESS_POWER


def border(rows: int, columns: int) -> Bool[np.ndarray, " n"]:
    """The cells at the border of a grid, row by row.

    >>> border(3, 4).astype(int).reshape(3, 4)
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 1]])
    """
    inside = np.zeros((rows, columns), bool)
    inside[1:-1, 1:-1] = True
    return ~inside.ravel()


def absorption_times(likeness: Float[np.ndarray, "n n"], leaves: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Expected time until a walk that starts in a cell is absorbed.

    A walk moves at the rate of the likeness, in units of the mean degree, and is absorbed at the rate ``LEAK`` in the
    cells that leave: the times solve ``(D - W + LEAK * diag(leaves)) t = 1``, eq. 4 of the paper in continuous time.
    """
    weights = likeness / max(likeness.sum(axis=1).mean(), 1e-12)
    rates = np.diag(weights.sum(axis=1) + LEAK * leaves + 1e-6) - weights
    return np.linalg.solve(rates, np.ones(len(rates)))


def split_in_two(values: Float[np.ndarray, "p q"]) -> Float32[np.ndarray, "p q"]:
    """Values to (0, 1) by a sigmoid whose middle is Otsu's threshold; 0.5 where all are alike."""
    spread = values.std()
    scaled = (values - otsu_threshold(values.ravel())) / max(spread, 1e-12) if spread > 1e-9 else np.zeros_like(values)
    return (1 / (1 + np.exp(-STEEPNESS * scaled))).astype(np.float32)


def otsu_threshold(values: Float[np.ndarray, " n"]) -> float:
    """The middle of the gap that parts values into the two groups that lie furthest apart (Otsu, 1979).

    >>> otsu_threshold(np.array([0.0, 1.0, 8.0, 9.0]))
    4.5
    """
    ordered = np.sort(values)
    if len(ordered) < 2:
        return float(ordered.sum())
    below = np.arange(1, len(ordered))
    sums = ordered.cumsum()
    gaps = sums[:-1] / below - (sums[-1] - sums[:-1]) / (len(ordered) - below)
    best = int((below * (len(ordered) - below) * gaps**2).argmax())
    return float((ordered[best] + ordered[best + 1]) / 2)
