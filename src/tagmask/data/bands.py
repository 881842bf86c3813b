"""TIFF files with more bands than a photograph has: what is in them, and their numbers.

Pillow opens grey and colour files alone. A file of many bands is shown to it as the grey file that its bytes also are:
one whose rows hold all bands of a pixel side by side, or one for each band where the bands lie one after the other.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num
from PIL import Image, TiffImagePlugin

from tagmask.data.quiet_pillow import hush_pillow

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 259, 262, 277
_STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _FORMAT = 322, 323, 324, 325, 339
_ORIENTATION, _PIXEL_SCALE, _TRANSFORMATION = 274, 33550, 34264
_LONG_TAGS = {_WIDTH, _HEIGHT, _STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES}
_SHORT_TAGS = (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _PREDICTOR, _FORMAT)
_COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 50000: "zstd"}
_SEPARATE, _DIFFERENCES = 2, 2


@dataclass(frozen=True)
class BandLayout:
    """What a TIFF file says about its bands.

    Attributes:
        size: rows and columns.
        bands: how many numbers a pixel has.
        bits: of each number.
        tags: what of its first directory says how to read it.
        is_swapped: whether the first byte of a number is its largest.
        is_turned: whether its pixels are stored in another direction than they are shown.
        is_placed: whether it says where on a map it lies (GeoTIFF).
    """

    size: tuple[int, int]
    bands: int
    bits: int
    tags: dict[int, tuple[int, ...]]
    is_swapped: bool
    is_turned: bool
    is_placed: bool

    def refuse_damaged(self, path: Path) -> None:
        """Refuse what decoders would remark upon or read wrongly.

        Raises:
            OSError: the file ends before its pixels do.
            ValueError: its numbers would come out with their bytes in the wrong order.
        """
        starts = self.tags.get(_STRIPS, self.tags.get(_TILES, ()))
        lengths = self.tags.get(_STRIP_BYTES, self.tags.get(_TILE_BYTES, ()))
        end = max((start + length for start, length in zip(starts, lengths, strict=False)), default=0)
        missing = end - path.stat().st_size
        if missing > 0:
            raise OSError(f"the file is cut off: {missing} bytes are missing")
        if self.is_swapped and self.bits == 32 and _first(self.tags, _COMPRESSION) != 1:
            raise ValueError("it is a compressed TIFF of 32 bits in the order of Motorola; save it in that of Intel")


def band_layout(path: Path) -> BandLayout | None:
    """What a file says about its bands; None: it is no TIFF of the classic kind."""
    hush_pillow()
    try:
        with path.open("rb") as file:
            header = file.read(8)
            if header[:4] not in (b"II*\0", b"MM\0*"):
                return None
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            tags = {tag: _integers(directory[tag]) for tag in (*_LONG_TAGS, *_SHORT_TAGS) if tag in directory}
            is_turned = directory.get(_ORIENTATION, 1) in range(2, 9)
            is_placed = _PIXEL_SCALE in directory or _TRANSFORMATION in directory
        size, is_swapped = (tags[_HEIGHT][0], tags[_WIDTH][0]), header[:2] == b"MM"
        return BandLayout(size, _first(tags, _SAMPLES), _first(tags, _BITS), tags, is_swapped, is_turned, is_placed)
    except (OSError, ValueError, LookupError, TypeError, SyntaxError, struct.error):
        return None


def _integers(value: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in value) if isinstance(value, tuple) else (int(value),)


def _first(tags: dict[int, tuple[int, ...]], tag: int) -> int:
    return tags.get(tag, (1,))[0]


def read_bands(path: Path, layout: BandLayout) -> Num[np.ndarray, "h w n"]:
    """The numbers of all bands as they are in the file.

    Raises:
        ValueError: bands of different kinds, or a compression that does not keep them apart.
        OSError: the file is cut off or damaged.
    """
    tags, count = layout.tags, layout.bands
    predictor, is_separate = _first(tags, _PREDICTOR), _first(tags, _PLANAR) == _SEPARATE
    compression = _first(tags, _COMPRESSION)
    if compression not in _COMPRESSIONS or (predictor not in (1, _DIFFERENCES) and not is_separate):
        raise ValueError(
            f"its bands are stored in a way that cannot be read (compression {compression}, predictor {predictor}); "
            "write it with deflate or without compression"
        )
    if len(set(tags.get(_BITS, (1,)))) > 1 or len(set(tags.get(_FORMAT, (1,)))) > 1:
        raise ValueError("its bands have different kinds of numbers; write it with one kind")
    content = path.read_bytes()
    if is_separate:
        return np.stack([_decoded(content, _plane(tags, band, count)) for band in range(count)], axis=2)
    wide = {tag: (tags[tag][0] * count,) for tag in (_WIDTH, _TILE_WIDTH) if tag in tags}
    values = _decoded(content, {**tags, **wide, _PREDICTOR: (1,)})
    values = values.reshape(layout.size[0], layout.size[1], count)
    return _summed(values, tags) if predictor == _DIFFERENCES and compression != 1 else values


def _plane(tags: dict[int, tuple[int, ...]], band: int, count: int) -> dict[int, tuple[int, ...]]:
    """The directory of one band of a file that holds them one after the other."""
    chosen = {}
    for tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES):
        if tag in tags:
            each = len(tags[tag]) // count
            chosen[tag] = tags[tag][band * each : (band + 1) * each]
    return {**tags, **chosen}


def _summed(values: Num[np.ndarray, "h w n"], tags: dict[int, tuple[int, ...]]) -> Num[np.ndarray, "h w n"]:
    """Undo the differences to the pixel at the left, which begin anew in every tile."""
    step = _first(tags, _TILE_WIDTH) if _TILE_WIDTH in tags else values.shape[1]
    pieces = [values[:, start : start + step] for start in range(0, values.shape[1], step)]
    return np.concatenate([piece.cumsum(axis=1, dtype=values.dtype) for piece in pieces], axis=1)


def _decoded(content: bytes, tags: dict[int, tuple[int, ...]]) -> Num[np.ndarray, "_ _"]:
    """The pixels of a file as if it were a grey one with these entries."""
    one = {_BITS: tags.get(_BITS, (1,))[:1], _FORMAT: tags.get(_FORMAT, (1,))[:1]}
    entries = {**tags, **one, _PHOTOMETRIC: (1,), _SAMPLES: (1,), _PLANAR: (1,)}
    order = "<" if content[:2] == b"II" else ">"
    start = len(content) + len(content) % 2
    directory = _directory(entries, order, start)
    grey = content[:4] + struct.pack(f"{order}L", start) + content[8:] + b"\0" * (start - len(content)) + directory
    with Image.open(io.BytesIO(grey), formats=("TIFF",)) as image:
        return np.array(image)


def _directory(entries: dict[int, tuple[int, ...]], order: str, start: int) -> bytes:
    """A directory of a TIFF file that begins at a byte of it; long lists of numbers follow behind."""
    lines, behind = [], b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, numbers in sorted(entries.items()):
        letter, kind = ("L", 4) if tag in _LONG_TAGS else ("H", 3)
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            value = struct.pack(f"{order}L", after + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)
        else:
            value = packed.ljust(4, b"\0")
        lines.append(struct.pack(f"{order}HHL", tag, kind, len(numbers)) + value)
    return struct.pack(f"{order}H", len(lines)) + b"".join(lines) + b"\0\0\0\0" + behind


def chosen_bands(values: Num[np.ndarray, "h w n"], bands: Sequence[int]) -> Num[np.ndarray, "h w 3"]:
    """Three bands as red, green and blue.

    Raises:
        ValueError: there are fewer bands.
    """
    count = values.shape[2]
    if max(bands) >= count or min(bands) < 0:
        raise ValueError(
            f"it has {count} bands, 0 to {count - 1}, and data.bands asks for {list(bands)}; choose others"
        )
    return values[:, :, list(bands)]
