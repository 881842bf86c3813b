"""Saliency without labels: how long a walk between look-alike places takes until it leaves over the image's border.

The image is a chain of states, one per cell of a grid; a walk moves to a cell in proportion to how alike the two are,
and from the cells of the border it may leave (Jiang et al., Saliency Detection via Absorbing Markov Chain, ICCV 2013).
Background looks like something at the border and is left soon; an object holds a walk for long. Cells are compared by
features of an ImageNet backbone, or by colour where there is none. The time is split in two by Otsu's threshold and
sharpened by the dense CRF. Imports no torch: worker processes use it.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from tagmask.config import CrfConfig
from tagmask.masks import crf
from tagmask.masks.grids import from_grid
from tagmask.masks.scores import block_mean

LIKENESS_POWER = 3
COLOUR_DEVIATION = 5.0
CELLS_OF_LONG_SIDE = 24
STEEPNESS = 3.0
SUREST = 0.98
SHARPENING = CrfConfig(bilateral_weight=4)


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
    return _sharpened(image, likeness_of_features(features), (features.shape[1], features.shape[2]), cell)


def saliency_of_colours(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Object-ness of every pixel from the colours of square cells alone, where there are no features.

    Returns:
        Values in [0, 1]; above 0.5 where an object is.
    """
    cell = -(-max(image.shape[:2]) // CELLS_OF_LONG_SIDE)
    padding = [(0, -image.shape[0] % cell), (0, -image.shape[1] % cell), (0, 0)]
    colours = block_mean(cielab(np.pad(image, padding, mode="edge")), cell)
    return _sharpened(image, likeness_of_colours(colours), (colours.shape[1], colours.shape[2]), cell)


def _sharpened(
    image: UInt8[np.ndarray, "h w 3"], likeness: Float[np.ndarray, "n n"], grid: tuple[int, int], cell: float
) -> Float32[np.ndarray, "h w"]:
    """From likeness of cells to a map of the image's size whose edges are those of the image."""
    times = absorption_times(likeness, border(*grid)).reshape(1, *grid)
    enlarged = from_grid(split_in_two(times), cell, (image.shape[0], image.shape[1]))[0]
    inside = np.clip(enlarged, 1 - SUREST, SUREST)
    return crf.refine(image, np.stack([1 - inside, inside]), SHARPENING)[1]


# ── likeness ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def likeness_of_features(features: Float32[np.ndarray, "d p q"]) -> Float[np.ndarray, "n n"]:
    """How alike any two cells are, in [0, 1], cell by cell along the rows of the grid.

    The cosine of their features, 0 up to one standard deviation above its mean over all pairs of the image, 1 where it
    is 1, and to the third power between: backbones differ in how alike they find everything.
    """
    flat = features.reshape(len(features), -1).astype(np.float64)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=0), 1e-12)
    cosine = np.clip(unit.T @ unit, -1, 1)
    pairs = cosine[~np.eye(len(cosine), dtype=bool)]
    floor = min(pairs.mean() + pairs.std(), 0.99) if len(pairs) else 0.0
    return np.clip((cosine - floor) / (1 - floor), 0, 1) ** LIKENESS_POWER


def likeness_of_colours(colours: Float[np.ndarray, "3 p q"]) -> Float[np.ndarray, "n n"]:
    """How alike any two cells are, in (0, 1]: a Gaussian of the distance of their CIELAB colours."""
    flat = colours.reshape(3, -1)
    squares = ((flat[:, :, None] - flat[:, None]) ** 2).sum(axis=0)
    return np.exp(-squares / (2 * COLOUR_DEVIATION**2)) + 1e-4


def cielab(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 h w"]:
    """Lightness 0 .. 100, green to red, blue to yellow (CIE 1976, white point D65) of sRGB pixels.

    >>> cielab(np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)).round().astype(int)[:, 0].T.tolist()
    [[0, 0, 0], [100, 0, 0], [53, 80, 67]]
    """
    srgb = image / 255.0
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# ── walk ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


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


def absorption_times(
    likeness: Float[np.ndarray, "n n"], leaves: Bool[np.ndarray, " n"], leak: float = 1.0, loss: float = 1e-4
) -> Float[np.ndarray, " n"]:
    """Expected time until a walk that starts in a cell is absorbed.

    A walk moves at the rate of the likeness W, in units of the mean degree. It is absorbed at the rate ``leak`` in the
    cells that leave, and at the rate ``loss`` everywhere, so that every time is finite. With D the degrees, the times
    solve ``(D - W + leak * diag(leaves) + loss) t = 1``: the expected time of the paper, for a chain in continuous
    time.
    """
    rates = likeness / max(likeness.sum(axis=1).mean(), 1e-12)
    return np.linalg.solve(np.diag(rates.sum(axis=1) + leak * leaves + loss) - rates, np.ones(len(rates)))


# ── splitting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def split_in_two(values: Float[np.ndarray, "1 p q"]) -> Float32[np.ndarray, "1 p q"]:
    """Values to (0, 1) by a sigmoid whose middle is Otsu's threshold; 0.5 where all are alike."""
    spread = values.std()
    if spread <= 1e-6 * np.abs(values).max():
        return np.full(values.shape, 0.5, np.float32)
    return (1 / (1 + np.exp(-STEEPNESS * (values - otsu_threshold(values.ravel())) / spread))).astype(np.float32)


def otsu_threshold(values: Float[np.ndarray, " n"]) -> float:
    """The middle of the gap that parts values into the two groups that lie furthest apart (Otsu, 1979).

    >>> otsu_threshold(np.array([0.0, 1.0, 8.0, 9.0]))
    4.5
    """
    if len(values) < 2:
        return float(values.sum())
    ordered = np.sort(values)
    below = np.arange(1, len(ordered))
    sums = ordered.cumsum()
    gaps = sums[:-1] / below - (sums[-1] - sums[:-1]) / (len(ordered) - below)
    best = int((below * (len(ordered) - below) * gaps**2).argmax())
    return float((ordered[best] + ordered[best + 1]) / 2)
