"""Which way up a photograph is stored, for those whose masks were drawn on the photograph as stored."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tagmask.data.images import read_image
from tagmask.data.stretch import DEFAULT, Stretch

_ORIENTATION_TAG = 0x0112
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Size of a photograph as its file stores it, and how it is to be turned.

    Attributes:
        stored: rows and columns in the file.
        orientation: EXIF's number, 1 where nothing is to be turned.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Rows and columns once it is turned."""
        rows, columns = self.stored
        return (columns, rows) if self.orientation >= 5 else (rows, columns)


def shape_of(path: Path) -> Shape | None:
    """Size and orientation of an image file, without decoding its pixels; None if it is no readable image."""
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(_ORIENTATION_TAG)
            size = image.height, image.width
            is_upright = image.format == "TIFF"  # as Pillow shows it
    except _UNREADABLE:
        return None
    turn = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    return Shape((size[1], size[0]) if is_upright and turn >= 5 else size, turn)


def as_stored(pixels: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Turn an upright photograph back to how its file stores it.

    >>> upright = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    >>> as_stored(upright, 6)[..., 0].tolist()
    [[2, 5], [1, 4], [0, 3]]
    """
    across = pixels.swapaxes(0, 1)
    turned = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: across,
        6: across[::-1],
        7: across[::-1, ::-1],
        8: across[:, ::-1],
    }
    return np.ascontiguousarray(turned.get(orientation, pixels))


def read_photograph(
    path: Path, bands: tuple[int, int, int] | None, stored: bool, stretch: Stretch = DEFAULT
) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an image file, upright, or as the file stores them.

    Raises:
        TagmaskError: it is no readable image.
    """
    pixels = read_image(path, bands, stretch)
    shape = shape_of(path) if stored else None
    return as_stored(pixels, shape.orientation) if shape else pixels
