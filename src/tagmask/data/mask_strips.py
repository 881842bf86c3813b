"""Mask files that are written in strips from above, so that the whole mask need never be in memory."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from jaxtyping import Int, UInt

from tagmask.conventions import IGNORE
from tagmask.data.images import mask_bits, palette
from tagmask.data.rasters import Placement
from tagmask.errors import TagmaskError
from tagmask.system.storage import writing


class StripWriter(Protocol):
    """What takes a mask strip by strip."""

    def add(self, strip: Int[np.ndarray, "_ w"]) -> None:
        """The next rows: 0 background, class i as i + 1, ``IGNORE`` unlabelled."""
        ...


def no_label(num_classes: int) -> int:
    """The number that files have for pixels without a label: 255, or 65535 where the classes need 16 bits."""
    return 2 ** mask_bits(num_classes) - 1


def numbers_of(strip: Int[np.ndarray, "r w"], num_classes: int) -> UInt[np.ndarray, "r w"]:
    """A strip as files hold it."""
    numbers = np.where(strip == IGNORE, no_label(num_classes), strip)
    return numbers.astype(np.uint8 if mask_bits(num_classes) == 8 else np.uint16)


class PngStrips:
    """An indexed PNG of 8 bits, or a grey one of 16, as ``write_mask`` writes it.

    Args:
        file: open for writing, at its beginning.
        size: rows and columns of the whole mask.
        num_classes: without background; decides the number of bits.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], num_classes: int) -> None:
        self._file, self._num_classes = file, num_classes
        self._compress = zlib.compressobj()
        bits = mask_bits(num_classes)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">LLBBBBB", size[1], size[0], bits, 3 if bits == 8 else 0, 0, 0, 0))
        if bits == 8:
            self._chunk(b"PLTE", palette().tobytes())

    def add(self, strip: Int[np.ndarray, "_ w"]) -> None:
        """The next rows."""
        numbers = numbers_of(strip, self._num_classes)
        content = (
            numbers.astype(numbers.dtype.newbyteorder(">"))
            .view(np.uint8)
            .reshape(len(strip), numbers.itemsize * strip.shape[1])
        )
        filtered = np.pad(content, ((0, 0), (1, 0)))  # each row begins with 0: it is not predicted from another
        self._chunk(b"IDAT", self._compress.compress(filtered.tobytes()))

    def close(self) -> None:
        """Write the end; all rows must have been added."""
        self._chunk(b"IDAT", self._compress.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, content: bytes) -> None:
        checksum = zlib.crc32(content, zlib.crc32(kind))
        self._file.write(struct.pack(">L", len(content)) + kind + content + struct.pack(">L", checksum))


@contextmanager
def png_strips(path: Path, size: tuple[int, int], num_classes: int) -> Iterator[PngStrips]:
    """A mask file that is there when the block ends well.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    with writing(path) as temporary, temporary.open("wb") as file:
        png = PngStrips(file, size, num_classes)
        yield png
        png.close()


class GeoTiffStrips:
    """A GeoTIFF whose rows are written from above.

    Args:
        file: opened by rasterio for writing.
        num_classes: without background.
    """

    def __init__(self, file: Any, num_classes: int) -> None:
        self._file, self._num_classes, self._top = file, num_classes, 0

    def add(self, strip: Int[np.ndarray, "r w"]) -> None:
        """The next rows."""
        rows = (self._top, self._top + len(strip))
        self._file.write(numbers_of(strip, self._num_classes), 1, window=(rows, (0, strip.shape[1])))
        self._top = rows[1]


@contextmanager
def geotiff_strips(
    path: Path, size: tuple[int, int], num_classes: int, placement: Placement
) -> Iterator[GeoTiffStrips]:
    """A GeoTIFF of one band with colour table and number for no data that is there when the block ends well.

    Args:
        path: where to.
        size: rows and columns.
        num_classes: without background; decides whether it has 8 or 16 bits.
        placement: where on a map it lies.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    import rasterio  # noqa: PLC0415 — of an extra; a placement comes from it
    from rasterio.errors import RasterioError  # noqa: PLC0415

    profile = {
        "driver": "GTiff", "height": size[0], "width": size[1], "count": 1, "crs": placement.crs,
        "dtype": f"uint{mask_bits(num_classes)}", "transform": placement.transform, "nodata": no_label(num_classes),
        "compress": "deflate", "tiled": True, "bigtiff": "if_safer",
    }  # fmt: skip
    try:
        with writing(path) as temporary, rasterio.open(temporary, "w", **profile) as file:
            if mask_bits(num_classes) == 8:
                file.write_colormap(1, {number: (*colour, 255) for number, colour in enumerate(palette().tolist())})
            yield GeoTiffStrips(file, num_classes)
    except RasterioError as error:
        raise TagmaskError(f"cannot write {path}: {error}; see whether the disk is full") from error
