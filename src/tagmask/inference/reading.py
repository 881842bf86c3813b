"""How photographs were read in a training, so that new ones are read alike."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tagmask.config import AnyData, FolderData
from tagmask.contracts import ImageArray
from tagmask.data.images import rgb
from tagmask.data.orientation import read_photograph
from tagmask.data.rasters import open_windows
from tagmask.data.stretch import DEFAULT, Stretch, stretch_of
from tagmask.data.windows import Source
from tagmask.errors import TagmaskError

Bands = tuple[int, int, int]

AnyImage = np.ndarray | Image.Image | str | Path
"""Pixels, a Pillow image, or where one lies."""


@dataclass(frozen=True)
class Reading:
    """What is done to image files before anything else.

    Attributes:
        bands: which of a file's are red, green and blue; None: as the file says.
        largest_side: long side that larger photographs are scaled down to; None: they are not.
        as_stored: whether photographs that EXIF turns are taken as they are stored.
        stretch: how numbers of more than 8 bits become 8 bits.
    """

    bands: Bands | None = None
    largest_side: int | None = None
    as_stored: bool = False
    stretch: Stretch = DEFAULT

    def photograph(self, path: Path) -> ImageArray:
        """A photograph at its own size.

        Raises:
            TagmaskError: it is no readable image.
        """
        return read_photograph(path, self.bands, self.as_stored, self.stretch)

    def windows(self, path: Path) -> AbstractContextManager[Source]:
        """The same, to be read in parts.

        Raises:
            TagmaskError: it is no readable image.
        """
        return open_windows(path, self.bands, self.as_stored, self.stretch)


AS_THE_FILE_SAYS = Reading()


def reading_of(data: AnyData) -> Reading:
    """How the photographs of a data set are read."""
    as_stored = isinstance(data, FolderData) and data.exif == "as_stored"
    return Reading(data.bands, data.largest_side, as_stored, stretch_of(data))


def pixels_of(image: AnyImage, reading: Reading = AS_THE_FILE_SAYS) -> ImageArray:
    """The RGB pixels of an image; of files, and of numbers of more than 8 bits, as ``reading`` says.

    Raises:
        TagmaskError: the file is no readable image, or the array is not RGB ``uint8 h w 3``.
    """
    if isinstance(image, str | Path):
        return reading.photograph(Path(image))
    pixels = np.asarray(rgb(image, reading.stretch)) if isinstance(image, Image.Image) else image
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise TagmaskError(
            f"an image array must be RGB, uint8, rows x columns x 3; got {pixels.dtype} of shape {pixels.shape}."
        )
    return pixels
