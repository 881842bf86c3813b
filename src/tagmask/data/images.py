"""Photographs in, indexed masks in and out; every image mode has a defined answer, every bad file a clear error.

Nothing here needs torch.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32, Num, UInt8
from PIL import Image, UnidentifiedImageError

from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.system.storage import write_bytes

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
LOSSLESS_FORMATS = ("PNG", "TIFF", "BMP", "GIF")

# Whatever a decoder may raise on a damaged file; the pixel-limit warning counts where warnings are errors.
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip

# ── photographs ──────────────────────────────────────────────────────────────────────────────────────────────────────

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Upright RGB pixels of a photograph in any of ``PHOTO_FORMATS``; the first frame of several.

    EXIF rotation is applied; transparency lies on white; CMYK is converted; integers of more than 8 bits are taken as
    0..65535, floats as 0..1 if none is larger and else as 0..255. Pillow's limit on the number of pixels holds.

    Raises:
        TagmaskError: the file is missing, empty, truncated, too large or not an image.
    """
    with _image(path, PHOTO_FORMATS) as image:
        orientation = image.getexif().get(_ORIENTATION_TAG)
        pixels = _rgb(image)
        return np.array(pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels)


def check_image(path: Path) -> str | None:
    """What is wrong with an image file, or None if ``read_image`` will read it; quicker than reading it."""
    try:
        with _image(path, PHOTO_FORMATS) as image:
            # A JPEG is decoded at an eighth of its size, yet read to its end; other formats ignore this.
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            _rgb(image)
    except TagmaskError as error:
        return "not an image" if isinstance(error.__cause__, UnidentifiedImageError) else str(error.__cause__)
    return None


@contextmanager
def _image(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=formats) as image:
            yield image
    except FileNotFoundError as error:
        raise TagmaskError(f"no such file: {path}") from error
    except _UNREADABLE as error:
        expected = ", ".join(formats)
        raise TagmaskError(f"cannot read the image {path}: {error}; expected a whole {expected} file") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _eight_bits(values: Num[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    if np.issubdtype(values.dtype, np.integer):
        return (values.clip(0, 65535) / 257.0).round().astype(np.uint8)
    finite = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
    scale = 255.0 if finite.max() <= 1 else 1.0
    return (finite * scale).clip(0, 255).round().astype(np.uint8)


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Pillow spreads grey files of 2 and 4 bits over 0..255; a mask wants the numbers that are in the file.
_GREY_STEP = {"L;2": 85, "L;4": 17}


def read_mask(path: Path, ignore_value: int) -> Int32[np.ndarray, "h w"]:
    """Class numbers of an indexed, grey or 16-bit mask file; ``ignore_value`` becomes ``IGNORE``.

    Raises:
        TagmaskError: the file is missing, unreadable, lossy, or holds colours instead of class numbers.
    """
    with _image(path, LOSSLESS_FORMATS) as image:
        if image.mode not in ("P", "L", "1") and image.mode[0] != "I":
            raise TagmaskError(
                f"the mask {path} has colours or transparency (mode {image.mode}); expected one class number per pixel "
                "in an indexed, grey or 16-bit PNG: convert it"
            )
        step = _GREY_STEP.get(str(image.tile[0].args), 1) if image.tile else 1  # pyright: ignore[reportAttributeAccessIssue] — set on every opened file
        mask = np.array(image).astype(np.int32) // step
    return np.where(mask == ignore_value, np.int32(IGNORE), mask)


def mask_bits(num_classes: int) -> int:
    """Bits per pixel of mask files: 8 while background, classes and the ignore value fit into a byte, else 16."""
    if num_classes > 65534:
        raise TagmaskError(f"{num_classes} classes do not fit into 16-bit masks; at most 65534 do")
    return 8 if num_classes <= 254 else 16


def write_mask(
    path: Path, mask: Int[np.ndarray, "h w"], ignore_value: int | None = None, num_classes: int | None = None
) -> None:
    """Write an 8-bit indexed PNG with palette, or a 16-bit grey PNG where the classes need it.

    Args:
        path: where to.
        mask: 0 background, class i as i + 1, ``IGNORE`` unlabelled.
        ignore_value: the number written for ``IGNORE``; None: 255, or 65535 in 16 bits.
        num_classes: decides the number of bits, so that all files of a run are alike; None: the mask's largest value.

    Raises:
        TagmaskError: the ignore value is a class or does not fit, or the mask holds numbers beyond the classes.
    """
    largest = int(mask.max(initial=0)) if num_classes is None else num_classes
    bits = max(mask_bits(largest), 16 if (ignore_value or 0) > 255 else 8)
    ignore = 2**bits - 1 if ignore_value is None else ignore_value
    _check_mask(path, mask, ignore, largest)
    numbers = np.where(mask == IGNORE, ignore, mask)
    buffer = io.BytesIO()
    (_indexed(numbers) if bits == 8 else Image.fromarray(numbers.astype(np.uint16))).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def _check_mask(path: Path, mask: Int[np.ndarray, "h w"], ignore: int, num_classes: int) -> None:
    if mask.min(initial=0) < IGNORE or mask.max(initial=0) > num_classes:
        raise TagmaskError(
            f"cannot write the mask {path}: values {mask.min()}..{mask.max()}; expected {IGNORE}..{num_classes}"
        )
    if not 0 <= ignore < 65536:
        raise TagmaskError(f"ignore value {ignore} does not fit into a mask file; choose 0..65535")
    if 1 <= ignore <= num_classes or (mask == ignore).any():
        raise TagmaskError(f"ignore value {ignore} is also a class of the mask {path}; choose one above {num_classes}")


def _indexed(numbers: Int[np.ndarray, "h w"]) -> Image.Image:
    image = Image.fromarray(numbers.astype(np.uint8))
    image.putpalette(palette().tobytes())
    return image


def palette() -> UInt8[np.ndarray, "256 3"]:
    """The colours of PASCAL VOC: bits 0, 3, 6 of the class number are red from the top bit down, then green, blue.

    >>> palette()[[0, 1, 2, 8, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [64, 0, 0], [224, 224, 192]]
    """
    numbers, channels, places = np.ogrid[:256, :3, :3]
    bits = (numbers >> (3 * places + channels)) & 1
    return (bits << (7 - places)).sum(axis=2).astype(np.uint8)
