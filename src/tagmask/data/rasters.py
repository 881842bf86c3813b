"""TIFF files of which parts are read, and where on a map they lie; with rasterio, which is not everybody's."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Num
from PIL import Image

from tagmask.data.bands import band_layout
from tagmask.data.images import rgb
from tagmask.data.orientation import read_photograph
from tagmask.data.stretch import DEFAULT, Stretch, between
from tagmask.data.windows import InMemory, Pixels, Source
from tagmask.errors import TagmaskError

LARGEST_IN_PARTS = 10_000_000_000  # pixels of a file that is read in parts
STRIP = 256  # rows that are looked at together
_CACHE = 256 * 2**20  # bytes of decoded blocks that GDAL keeps
_KINDS = ("uint8", "uint16", "int16", "float32")
_MISSING = "rasterio is not installed: pip install 'tagmask[geo]'"

Bands = tuple[int, int, int]


class DamagedPartError(TagmaskError):
    """A part of an image cannot be read."""


@dataclass(frozen=True)
class Placement:
    """Where on a map the pixels of an image lie.

    Attributes:
        crs: the coordinate reference system, rasterio's; None: the file names none.
        transform: from columns and rows to coordinates, an affine one.
    """

    crs: Any
    transform: Any


def has_rasterio() -> bool:
    """Whether the extra ``geo`` is installed."""
    return find_spec("rasterio") is not None


def is_placed(path: Path) -> bool:
    """Whether a file is a TIFF that says where on a map it lies; without rasterio, BigTIFF files are not known."""
    layout = band_layout(path)
    return (layout is not None and layout.is_placed) or placement(path) is not None


def placement(path: Path) -> Placement | None:
    """Where on a map an image lies; None: nowhere, or it is stored turned, or rasterio is not installed."""
    with _opened(path) as file:
        if file is None or (file.crs is None and file.transform.is_identity):
            return None
        return Placement(file.crs, file.transform)


def raster_size(path: Path) -> tuple[int, int] | None:
    """Rows and columns of a TIFF file of any size; None: it is none, or rasterio is not installed."""
    with _opened(path) as file:
        return None if file is None else (file.height, file.width)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A TIFF file that is stored upright, opened by rasterio; None: it is none, or rasterio is not installed."""
    layout = band_layout(path)
    if not has_rasterio() or (layout is None and not _is_big_tiff(path)) or (layout is not None and layout.is_turned):
        yield None
        return
    import rasterio  # noqa: PLC0415 — of an extra
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError  # noqa: PLC0415

    if not any(known[2] is NotGeoreferencedWarning for known in warnings.filters):
        warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    with rasterio.Env(GDAL_CACHEMAX=_CACHE):
        try:
            file = rasterio.open(path.resolve(), driver="GTiff")
        except RasterioIOError:
            yield None
            return
        with file:
            yield file


def _is_big_tiff(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"II+\0", b"MM\0+")
    except OSError:
        return False


@contextmanager
def open_windows(
    path: Path, bands: Bands | None = None, stored: bool = False, stretch: Stretch = DEFAULT
) -> Iterator[Source]:
    """An image file of which parts are read, with the numbers that ``read_photograph`` gives.

    TIFF files are read in parts where rasterio is installed and gives the same numbers: upright ones of up to
    ``LARGEST_IN_PARTS`` pixels, of 8 or 16 bits or floats, grey, in colours, or with the bands chosen. Others are
    decoded as a whole, within the limits of ``read_image``.

    Args:
        path: the file.
        bands: which bands are red, green and blue; None: as the file says.
        stored: whether pixels are taken as they are stored, not upright.
        stretch: how numbers of more than 8 bits become 8 bits.

    Raises:
        TagmaskError: it is no readable image, or is too large.
    """
    with _opened(path) as file:
        chosen = None if file is None else _chosen(file, bands)
        if chosen is not None:
            yield Raster(path, file, chosen, stretch)
            return
    if _is_big_tiff(path) and not has_rasterio():
        raise TagmaskError(f"cannot read the image {path}: it is a BigTIFF, and {_MISSING}")
    yield InMemory(read_photograph(path, bands, stored, stretch))


def _chosen(file: Any, bands: Bands | None) -> tuple[int, ...] | None:
    """The bands to read, counted from 1; None: rasterio would not give what ``read_image`` does."""
    kinds, colours = set(file.dtypes), [colour.name for colour in file.colorinterp]
    structure = file.tags(1, ns="IMAGE_STRUCTURE") | file.tags(ns="IMAGE_STRUCTURE")
    inverted = structure.get("MINISWHITE") == "YES" or structure.get("SOURCE_COLOR_SPACE") == "CMYK"
    if "palette" in colours or "NBITS" in structure or inverted or len(kinds) > 1 or kinds.isdisjoint(_KINDS):
        return None
    if bands is not None:
        return tuple(band + 1 for band in bands) if max(bands) < file.count else None
    plain = file.count in (1, 3) or (file.count == 4 and colours[3] == "alpha")
    return tuple(range(1, file.count + 1)) if file.count == 1 or (plain and kinds == {"uint8"}) else None


class Raster(Source):
    """A TIFF file on the disk.

    Args:
        path: for messages.
        file: opened by rasterio.
        bands: to read, counted from 1.
        stretch: how numbers of more than 8 bits become 8 bits.

    Raises:
        TagmaskError: there are too many pixels, or the file is damaged.
    """

    def __init__(self, path: Path, file: Any, bands: tuple[int, ...], stretch: Stretch) -> None:
        self._path, self._file, self._bands = path, file, bands
        self.size = (file.height, file.width)
        if self.size[0] * self.size[1] > LARGEST_IN_PARTS:
            raise TagmaskError(
                f"the image {path} has {self.size[0]} x {self.size[1]} rows x columns; at most {LARGEST_IN_PARTS:,} "
                "pixels are read: cut it into pieces"
            )
        self._has_gaps = any(flags[0].name != "all_valid" for flags in file.mask_flag_enums)
        dtype = np.dtype(file.dtypes[0])
        self._limits = None if dtype == np.uint8 else stretch.limits(self._strips(), self.size, len(bands), dtype)

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """A part, as ``read_image`` would give it."""
        return self._as_rgb(self._numbers(window=(rows, columns)))

    def known(self, rows: tuple[int, int], columns: tuple[int, int]) -> Bool[np.ndarray, "_ _"] | None:
        """Where the file does not say that there are no data."""
        if not self._has_gaps:
            return None
        return self._file.read_masks(self._bands, window=(rows, columns)).any(axis=0)

    def overview(self, size: tuple[int, int]) -> Pixels:
        """The whole image at a smaller size, averaged."""
        from rasterio.enums import Resampling  # noqa: PLC0415 — of an extra

        return self._as_rgb(self._numbers(out_shape=(len(self._bands), *size), resampling=Resampling.average))

    def _strips(self) -> Iterator[Num[np.ndarray, "_ w n"]]:
        rows, columns = self.size
        for top in range(0, rows, STRIP):
            yield self._numbers(window=((top, min(top + STRIP, rows)), (0, columns)))

    def _numbers(self, **part: Any) -> Num[np.ndarray, "_ _ n"]:
        from rasterio.errors import RasterioIOError  # noqa: PLC0415 — of an extra

        try:
            return np.ascontiguousarray(np.moveaxis(self._file.read(self._bands, **part), 0, 2))
        except RasterioIOError as error:
            raise DamagedPartError(
                f"cannot read the image {self._path}: {error}; expected a whole TIFF file"
            ) from error

    def _as_rgb(self, numbers: Num[np.ndarray, "_ _ n"]) -> Pixels:
        levels = numbers if self._limits is None else between(numbers, self._limits)
        if levels.shape[2] == 4:
            return np.asarray(rgb(Image.fromarray(levels)))
        return levels if levels.shape[2] == 3 else levels.repeat(3, axis=2)
