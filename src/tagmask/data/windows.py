"""Images that are read in parts, wherever they lie."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

Pixels = UInt8[np.ndarray, "_ _ 3"]


class Source(ABC):
    """An image of which parts are read.

    Attributes:
        size: rows and columns.
    """

    size: tuple[int, int]

    @abstractmethod
    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """RGB pixels from the first row and column of a part to before the last ones.

        Raises:
            TagmaskError: the file is damaged there.
        """

    @abstractmethod
    def known(self, rows: tuple[int, int], columns: tuple[int, int]) -> Bool[np.ndarray, "_ _"] | None:
        """Where a part has data; None: everywhere."""

    @abstractmethod
    def overview(self, size: tuple[int, int]) -> Pixels:
        """The whole image at a smaller size."""


class InMemory(Source):
    """An image whose pixels are there already.

    Args:
        pixels: ``uint8 h w 3``.
    """

    def __init__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        self._pixels = pixels
        self.size = (pixels.shape[0], pixels.shape[1])

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """The part."""
        return self._pixels[slice(*rows), slice(*columns)]

    def known(self, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """Everywhere."""

    def overview(self, size: tuple[int, int]) -> Pixels:
        """The whole image at a smaller size, antialiased."""
        return np.asarray(Image.fromarray(self._pixels).resize((size[1], size[0]), Image.Resampling.LANCZOS))
