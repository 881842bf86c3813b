"""Numbers of more than eight bits as eight: which of them become black and which become white.

Needed are two limits for each band. They are found on strips of an image, so that an image that is read whole and one
that is read in tiles get the same ones.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num, UInt8

from tagmask.config.data import DataConfig, value_pairs

SAMPLED = 1_000_000  # pixels that percentiles are taken of
_WIDEST = 65535


@dataclass(frozen=True)
class Stretch:
    """What becomes black and white of integers above 8 bits and of floats; 8-bit numbers are left as they are.

    Attributes:
        percentiles: of each band of each image; None: not by percentiles.
        values: fixed limits of all bands, or of red, green and blue; None: not fixed. Without both, integers are taken
            as 0..65535, floats as 0..1 if none is larger and else as 0..255.
    """

    percentiles: tuple[float, float] | None = None
    values: tuple[tuple[float, float], ...] | None = None

    def limits(
        self, strips: Iterable[Num[np.ndarray, "_ w n"]], size: tuple[int, int], bands: int, dtype: np.dtype
    ) -> Float[np.ndarray, "n 2"]:
        """The numbers that become 0 and 255 in each band.

        Args:
            strips: the whole image from above, in strips of any height; read only if they are needed.
            size: rows and columns of the image.
            bands: how many there are.
            dtype: of the numbers.
        """
        if self.values is not None:
            pairs = self.values if len(self.values) == bands else self.values[:1]
        elif self.percentiles is not None:
            return percentiles_of(strips, size, self.percentiles)
        elif np.issubdtype(dtype, np.integer):
            pairs = ((0.0, _WIDEST),)
        else:
            pairs = ((0.0, 1.0 if max(map(_largest, strips), default=0.0) <= 1 else 255.0),)
        return np.array(pairs, np.float64).repeat(bands // len(pairs), axis=0)


DEFAULT = Stretch()


def stretch_of(config: DataConfig) -> Stretch:
    """How a data set's numbers become 8 bits."""
    return Stretch(config.stretch, value_pairs(config.stretch_values) or None)


def _largest(numbers: Num[np.ndarray, "*s"]) -> float:
    return float(np.nan_to_num(numbers, nan=0.0, posinf=255.0, neginf=0.0).max(initial=0.0))


def percentiles_of(
    strips: Iterable[Num[np.ndarray, "_ w n"]], size: tuple[int, int], percentiles: tuple[float, float]
) -> Float[np.ndarray, "n 2"]:
    """Percentiles of each band over a regular grid of about ``SAMPLED`` pixels or fewer; finite numbers only.

    >>> percentiles_of([np.arange(101.0).reshape(1, 101, 1)], (1, 101), (2, 98))
    array([[ 2., 98.]])
    """
    step = max(1, math.ceil(math.sqrt(size[0] * size[1] / SAMPLED)))
    top, sampled = 0, []
    for strip in strips:
        sampled.append(strip[-top % step :: step, ::step].astype(np.float64))
        top += len(strip)
    numbers = np.concatenate(sampled).reshape(-1, sampled[0].shape[2])
    known = [band[np.isfinite(band)] for band in numbers.T]
    return np.array([np.percentile(band, percentiles) if len(band) else (0.0, 1.0) for band in known])


def eight_bits(numbers: Num[np.ndarray, "h w n"], stretch: Stretch = DEFAULT) -> UInt8[np.ndarray, "h w n"]:
    """A whole image's numbers as 0..255; those of 8 bits are left as they are."""
    if numbers.dtype == np.uint8:
        return numbers
    size = (numbers.shape[0], numbers.shape[1])
    return between(numbers, stretch.limits([numbers], size, numbers.shape[2], numbers.dtype))


def between(numbers: Num[np.ndarray, "h w n"], limits: Float[np.ndarray, "n 2"]) -> UInt8[np.ndarray, "h w n"]:
    """Each band scaled so that its limits become 0 and 255; what lies beyond becomes 0 or 255, and NaN 0.

    >>> between(np.array([[[90], [100], [120], [999]]]), np.array([[100.0, 200.0]])).ravel().tolist()
    [0, 0, 51, 255]
    """
    kind = numbers.dtype if np.issubdtype(numbers.dtype, np.floating) else np.float64
    low, width = limits[:, 0], limits[:, 1] - limits[:, 0]
    factor = 255 / np.where(width > 0, width, 1)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that stand for "no data" may be as large as can be
        scaled = (numbers - low.astype(kind)) * factor.astype(kind)
    return np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255).round().astype(np.uint8)
