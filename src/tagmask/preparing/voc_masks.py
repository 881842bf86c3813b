"""Masks of VOC and SBD as indexed PNG files with VOC's palette, and what is wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tagmask.data.datasets.voc import VOC_CLASSES
from tagmask.data.images import check_image, image_size, mask_png, palette, read_mask
from tagmask.errors import TagmaskError
from tagmask.preparing.sbd import read_sbd_mask

UNLABELLED = 255
_NO_VALUE = -2  # is in no file

WRONG_PALETTE = "masks with a palette that is not VOC's; fetch them again"
WRONG_VALUES = "masks with numbers other than 0 to 20 and 255"
WRONG_SIZE = "masks of another size than their photographs"
NO_PHOTOGRAPH = "photographs that cannot be read"
UNREADABLE = "masks that cannot be read"


@dataclass(frozen=True)
class Converted:
    """What became of a mask.

    Attributes:
        content: the file to write; None: the file can be taken as it is.
        faults: what is wrong with it: the kind, and the words that follow the id.
    """

    content: bytes | None = None
    faults: tuple[tuple[str, str], ...] = ()


def from_png(path: Path, photograph: Path) -> Converted:
    """A mask of a PNG file: taken as it is, or brought under VOC's palette where it is grey."""
    with_palette = _has_palette(path)
    if with_palette is None:
        return Converted(faults=((WRONG_PALETTE, ""),))
    return _converted(lambda: read_mask(path, _NO_VALUE).astype(np.uint8), photograph, is_final=with_palette)


def from_mat(path: Path, photograph: Path) -> Converted:
    """A mask of SBD's MATLAB file."""
    return _converted(lambda: read_sbd_mask(path), photograph, is_final=False)


def _has_palette(path: Path) -> bool | None:
    """Whether a mask has VOC's palette; None: it has another one, or colours."""
    if check_image(path):
        return True  # reading it says what is wrong
    with Image.open(path) as image:
        if image.mode == "L":
            return False
        colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        is_voc = image.mode == "P" and np.array_equal(colours, palette()[: len(colours)])
    return True if is_voc else None


def _converted(read: Callable[[], UInt8[np.ndarray, "h w"]], photograph: Path, is_final: bool) -> Converted:
    try:
        mask = read()
    except TagmaskError as error:
        return Converted(faults=((UNREADABLE, f" ({error})"),))
    faults = tuple(_faults(mask, image_size(photograph)))
    return Converted(None if is_final or faults else _png(mask), faults)


def _faults(mask: UInt8[np.ndarray, "h w"], size: tuple[int, int] | None) -> list[tuple[str, str]]:
    found = []
    strange = [n for n in np.unique(mask).tolist() if n > len(VOC_CLASSES) and n != UNLABELLED]
    if strange:
        found.append((WRONG_VALUES, f" ({', '.join(map(str, strange[:3]))})"))
    if size is None:
        found.append((NO_PHOTOGRAPH, ""))
    elif mask.shape != size:
        rows, columns = mask.shape
        found.append((WRONG_SIZE, f" (mask {rows} x {columns}, photograph {size[0]} x {size[1]} rows x columns)"))
    return found


def _png(mask: UInt8[np.ndarray, "h w"]) -> bytes:
    numbers = np.where(mask == UNLABELLED, -1, mask.astype(np.int32))
    return mask_png(numbers, UNLABELLED, len(VOC_CLASSES))
