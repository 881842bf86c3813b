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
from jaxtyping import Int, Int32, UInt8
from PIL import Image, UnidentifiedImageError

from tagmask.conventions import IGNORE
from tagmask.data.bands import band_layout, chosen_bands, read_bands
from tagmask.data.quiet_pillow import hush_pillow
from tagmask.data.stretch import DEFAULT, Stretch, eight_bits
from tagmask.errors import TagmaskError
from tagmask.system.storage import write_bytes

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
LOSSLESS_FORMATS = ("PNG", "TIFF", "BMP", "GIF")

# Whatever a decoder may raise on a damaged file; the pixel-limit warning counts where warnings are errors.
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError, struct.error,
    zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
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
_TURNED = (5, 6, 7, 8)  # rows have become columns
_ORIENTATION_TAG = 0x0112


Bands = tuple[int, int, int]


def read_image(path: Path, bands: Bands | None = None, stretch: Stretch = DEFAULT) -> UInt8[np.ndarray, "h w 3"]:
    """Upright RGB pixels of a photograph in any of ``PHOTO_FORMATS``; the first frame of several.

    EXIF rotation is applied; transparency lies on white; CMYK is converted. Pillow's limit on the number of pixels
    holds.

    Args:
        path: the file.
        bands: which of its bands are red, green and blue, as they are in the file; None: as the file says.
        stretch: how integers of more than 8 bits and floats become 8 bits.

    Raises:
        TagmaskError: the file is missing, empty, truncated, too large, not an image, or has not these bands.
    """
    with _image(path, PHOTO_FORMATS, bands, stretch) as image:
        orientation = _left_to_turn(image)
        pixels = rgb(image, stretch)
        return np.array(pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels)


def image_size(path: Path) -> tuple[int, int] | None:
    """Rows and columns of a photograph as ``read_image`` returns it, from the head of its file; None: unreadable."""
    try:
        with _image(path, PHOTO_FORMATS, None) as image:
            turned = _left_to_turn(image) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except TagmaskError:
        layout = band_layout(path)
        return None if layout is None else layout.size


def read_small(path: Path, side: int, bands: Bands | None = None) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[int, int]]:
    """A photograph decoded no larger than it must be, and the rows and columns it has in full, both upright.

    Args:
        path: the file.
        side: pixels that both sides should have at least, where the photograph has them. A JPEG is decoded at down to
            an eighth of its size, other formats in full.
        bands: as for ``read_image``.

    Raises:
        TagmaskError: as for ``read_image``.
    """
    with _image(path, PHOTO_FORMATS, bands) as image:
        orientation = _left_to_turn(image)
        size = (image.width, image.height) if orientation in _TURNED else (image.height, image.width)
        image.draft("RGB", (side, side))
        pixels = rgb(image)
        return np.array(pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels), size


def check_image(path: Path, bands: Bands | None = None) -> str | None:
    """What is wrong with an image file, or None if ``read_image`` will read it; quicker than reading it."""
    return examine(path, bands)[0]


def examine(path: Path, bands: Bands | None = None, stretch: Stretch = DEFAULT) -> tuple[str | None, bool]:
    """What is wrong with an image file, if anything, and whether it has become one colour when it was converted."""
    try:
        with _image(path, PHOTO_FORMATS, bands, stretch) as image:
            # A JPEG is decoded at an eighth of its size, yet read to its end; other formats ignore this.
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            may_fade = bands is not None or image.mode[0] in "IF" or image.has_transparency_data
            return None, is_blank(np.asarray(rgb(image, stretch))) and may_fade
    except TagmaskError as error:
        return _reason(path, error.__cause__ or error), False


def is_blank(pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Whether an image of more than one pixel has one colour throughout."""
    return pixels.size > 3 and bool((pixels == pixels[0, 0]).all())


@contextmanager
def _image(
    path: Path, formats: tuple[str, ...], bands: Bands | None = None, stretch: Stretch = DEFAULT
) -> Iterator[Image.Image]:
    hush_pillow()
    try:
        layout = band_layout(path)
        if layout is not None:
            layout.refuse_damaged(path)
        if bands is not None:
            yield _of_bands(path, bands, stretch)
            return
        with Image.open(path, formats=formats) as image:
            yield image
    except FileNotFoundError as error:
        raise TagmaskError(f"no such file: {path}") from error
    except _UNREADABLE as error:
        expected = ", ".join(formats)
        reason = _reason(path, error)
        raise TagmaskError(f"cannot read the image {path}: {reason}; expected a whole {expected} file") from error


def _of_bands(path: Path, bands: Bands, stretch: Stretch) -> Image.Image:
    """Three bands of a file as an upright RGB image."""
    layout = band_layout(path)
    orientation = None
    try:
        with Image.open(path, formats=PHOTO_FORMATS) as image:
            whole = layout is None or layout.bands == len(image.getbands())
            orientation = _left_to_turn(image) if whole else image.getexif().get(_ORIENTATION_TAG)
            values = np.atleast_3d(np.asarray(image.convert("RGB") if image.mode == "P" else image)) if whole else None
    except UnidentifiedImageError:
        if layout is None:
            raise
        values = None
    if values is None and layout is not None:
        _refuse_too_large(layout.size)
        values = read_bands(path, layout)
    assert values is not None
    pixels = Image.fromarray(np.ascontiguousarray(eight_bits(chosen_bands(values, bands), stretch)))
    return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels


def _left_to_turn(image: Image.Image) -> int | None:
    """How EXIF turns a picture that has not been decoded yet; None for TIFF, which Pillow turns as it decodes it."""
    return None if image.format == "TIFF" else image.getexif().get(_ORIENTATION_TAG)


def _refuse_too_large(size: tuple[int, int]) -> None:
    if Image.MAX_IMAGE_PIXELS is not None and size[0] * size[1] > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError


_BEGINNINGS = {
    b"<": "it is a page of text or of the web, not an image",
    b"{": "it is a text, not an image",
    b"%PDF": "it is a PDF, not an image; save its pages as images",
    b"II+\0": "it is a BigTIFF of a kind that is not read; save it as TIFF",
    b"MM\0+": "it is a BigTIFF of a kind that is not read; save it as TIFF",
    b"SIMPLE": "it is a FITS file; convert it",
}


def _reason(path: Path, error: BaseException) -> str:
    """Why a file cannot be read, in words."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it exceeds the pixel limit of {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels; make it smaller"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it; make it smaller"
    if isinstance(error, IsADirectoryError):
        return "it is a folder, not an image"
    return _unknown_content(path) if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__


def _unknown_content(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    layout = band_layout(path)
    if not head:
        return "the file is empty"
    if layout is not None:
        kind = f"it is a TIFF of {layout.bands} bands of {layout.bits} bits"
        if layout.bands == 1 or layout.bits not in (8, 16, 32):
            return f"{kind}, which are not read; save it with 8 or 16"
        return f"{kind}; say in training which are red, green and blue, as in data.bands=[0, 1, 2]"
    if head[4:8] == b"ftyp":
        return "it is a HEIC, AVIF or film file; save it as JPEG or PNG"
    begins = next((words for mark, words in _BEGINNINGS.items() if head.lstrip().startswith(mark)), None)
    return begins or "not an image"


def rgb(image: Image.Image, stretch: Stretch = DEFAULT) -> Image.Image:
    """An image of any mode as RGB, by the rules of ``read_image``; it is not turned."""
    if image.mode[0] in "IF":
        return Image.fromarray(eight_bits(np.asarray(image)[..., None], stretch)[..., 0]).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


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


def read_fitting_mask(
    path: Path, ignore_value: int, size: tuple[int, int], num_classes: int
) -> Int32[np.ndarray, "h w"]:
    """A mask that a run has written and a person may have edited, checked against its image and the classes.

    Args:
        path: of the file.
        ignore_value: becomes ``IGNORE``; negative: no number does.
        size: rows and columns of the image.
        num_classes: without background.

    Raises:
        TagmaskError: as ``read_mask``, and if the mask has another size, or holds numbers that are no classes.
    """
    mask = read_mask(path, ignore_value)
    if mask.shape != size:
        raise TagmaskError(
            f"the mask {path} has {mask.shape[0]} x {mask.shape[1]} rows x columns and its image {size[0]} x "
            f"{size[1]}; give it the size of the image, or delete it to have it made anew"
        )
    largest = int(mask.max(initial=0))
    if largest > num_classes:
        allowed = f" and {ignore_value} for no label" if ignore_value >= 0 else ""
        raise TagmaskError(
            f"the mask {path} holds {largest}; expected 0 for background, 1 to {num_classes} for the classes{allowed}: "
            "correct it, or delete it to have it made anew"
        )
    return mask


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
    write_bytes(path, mask_png(mask, ignore_value, num_classes, f"the mask {path}"))


def mask_png(
    mask: Int[np.ndarray, "h w"], ignore_value: int | None = None, num_classes: int | None = None, what: str = "a mask"
) -> bytes:
    """The bytes of the file that ``write_mask`` writes; ``what`` names the mask in errors.

    Raises:
        TagmaskError: as for ``write_mask``.
    """
    largest = int(mask.max(initial=0)) if num_classes is None else num_classes
    bits = max(mask_bits(largest), 16 if (ignore_value or 0) > 255 else 8)
    ignore = 2**bits - 1 if ignore_value is None else ignore_value
    _check_mask(what, mask, ignore, largest)
    numbers = np.where(mask == IGNORE, ignore, mask)
    buffer = io.BytesIO()
    (_indexed(numbers) if bits == 8 else Image.fromarray(numbers.astype(np.uint16))).save(buffer, "PNG")
    return buffer.getvalue()


def _check_mask(what: str, mask: Int[np.ndarray, "h w"], ignore: int, num_classes: int) -> None:
    if mask.min(initial=0) < IGNORE or mask.max(initial=0) > num_classes:
        raise TagmaskError(f"cannot write {what}: values {mask.min()}..{mask.max()}; expected {IGNORE}..{num_classes}")
    if not 0 <= ignore < 65536:
        raise TagmaskError(f"ignore value {ignore} does not fit into a mask file; choose 0..65535")
    if 1 <= ignore <= num_classes or (mask == ignore).any():
        raise TagmaskError(f"ignore value {ignore} is also a class of {what}; choose one above {num_classes}")


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
