"""How photographs were read in a training, so that new ones are read alike."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tagmask.config import AnyData, FolderData
from tagmask.contracts import ImageArray
from tagmask.data.orientation import read_photograph
from tagmask.data.rasters import open_windows
from tagmask.data.stretch import DEFAULT, Stretch, stretch_of
from tagmask.data.windows import Source

Bands = tuple[int, int, int]


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
