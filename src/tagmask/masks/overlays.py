"""Small pictures for people: masks and maps laid over photographs, as data that an HTML page can hold."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.data.images import palette
from tagmask.masks.grids import resized

Picture = UInt8[np.ndarray, "h w 3"]

# Björn Ottosson's OKLab: to cone responses (cubed), then to linear sRGB.
_TO_CONES = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@cache
def heat_colors() -> UInt8[np.ndarray, "256 3"]:
    """Colours for 0..1 whose perceived lightness rises evenly, from dark violet over red to pale yellow.

    In OKLab's cylinder: lightness 0.22 to 0.95, hue from 295 up to 465 (= 105) degrees, chroma highest midway.

    Example:
        >>> heat_colors()[[0, 128, 255]].sum(axis=1).tolist() == sorted(heat_colors()[[0, 128, 255]].sum(axis=1))
        True
    """
    t = np.linspace(0, 1, 256)
    hue, chroma = np.deg2rad(295 + 170 * t), 0.09 + 0.10 * np.sin(np.pi * t)
    lab = np.stack([0.22 + 0.73 * t, chroma * np.cos(hue), chroma * np.sin(hue)])
    linear = (_TO_RGB @ (_TO_CONES @ lab) ** 3).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (srgb.T * 255).round().astype(np.uint8)


def overlay_map(image: Picture, values: Float[np.ndarray, "h w"]) -> Picture:
    """Heat colours over the grey photograph, the more opaque the larger the value; values are clipped to [0, 1]."""
    heat = values.clip(0, 1)[..., None]
    colors = heat_colors()[(heat[..., 0] * 255).astype(np.uint8)]
    opacity = 0.35 + 0.45 * heat
    return _blend(_grey(image)[..., None], colors, opacity)


def overlay_mask(image: Picture, mask: Int[np.ndarray, "h w"]) -> Picture:
    """Class colours over the faded photograph, outlined; background stays grey, unlabelled pixels are hatched."""
    entry = (_outline(mask) * np.int32(256) + _palette_rows(mask)) * 256 + _grey(image)
    shown = _mask_colors().reshape(-1, 3).take(entry, axis=0)
    rows, columns = np.nonzero(mask == IGNORE)
    hatched = (rows + columns) % 8 < 3
    shown[rows[hatched], columns[hatched]] = 240
    return shown


@cache
def _mask_colors() -> UInt8[np.ndarray, "2 256 256 3"]:
    """The colour of a pixel by whether it is on an outline, the number of its class and the photograph's grey."""
    faded = (90 + 0.55 * np.arange(256)).astype(np.uint8)
    opacity = np.multiply.outer([0.62, 1.0], np.arange(256) > BACKGROUND)
    return _blend(faded[:, None], palette()[:, None], opacity[..., None, None])


def class_colors(mask: Int[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s 3"]:
    """Palette colours of mask values, the same as in the mask files; they repeat beyond class 255."""
    return palette()[_palette_rows(mask)]


def _palette_rows(mask: Int[np.ndarray, "*s"]) -> Int[np.ndarray, "*s"]:
    numbers = np.asarray(np.maximum(mask, BACKGROUND))  # numpy makes a number of an array without axes
    if numbers.max(initial=0) > 255:
        return np.where(numbers > 255, (numbers - 1) % 255 + 1, numbers)
    return numbers


def class_entries(classes: Sequence[str]) -> list[dict[str, Any]]:
    """Number, name and colour of each mask value, background first, as ``classes.json`` lists them.

    >>> class_entries(["cat"])[1]
    {'index': 1, 'name': 'cat', 'color': [128, 0, 0]}
    """
    names = ("background", *classes)
    colors = class_colors(np.arange(len(names))).tolist()
    return [{"index": i, "name": name, "color": colors[i]} for i, name in enumerate(names)]


def thumbnail_size(size: tuple[int, int], width: int) -> tuple[int, int]:
    """Rows and columns that fit into ``width x width`` pixels, never larger than the image.

    Example:
        >>> thumbnail_size((375, 500), 240), thumbnail_size((30, 20), 240)
        ((180, 240), (30, 20))
    """
    factor = min(1.0, width / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def shrink_image(image: Picture, size: tuple[int, int]) -> UInt8[np.ndarray, "_ _ 3"]:
    """The photograph at ``size`` (rows, columns), antialiased."""
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def shrink_mask(mask: Int[np.ndarray, "h w"], size: tuple[int, int]) -> Int[np.ndarray, "_ _"]:
    """The mask at ``size``, nearest pixel centre."""
    rows, columns = ((np.arange(new) + 0.5) * old / new for new, old in zip(size, mask.shape, strict=True))
    return mask[np.ix_(rows.astype(int), columns.astype(int))]


def scale_map(values: Float[np.ndarray, "p q"], size: tuple[int, int]) -> Float[np.ndarray, "_ _"]:
    """The map at ``size``, divided by its own largest value; zeros stay zeros."""
    scaled = resized(values[None].astype(np.float32), size)[0]
    largest = float(scaled.max())
    return scaled / largest if largest > 0 else np.zeros_like(scaled)


def data_uri(picture: Picture, quality: int = 84) -> str:
    """The picture as JPEG in a ``data:`` address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _grey(image: Picture) -> UInt8[np.ndarray, "h w"]:
    red, green, blue = image.transpose(2, 0, 1)
    return ((red.astype(np.uint16) + green + blue) // 3).astype(np.uint8)


def _blend(
    below: UInt8[np.ndarray, "*_"], above: UInt8[np.ndarray, "*_"], opacity: Float[np.ndarray, "*_"]
) -> UInt8[np.ndarray, "*_"]:
    return (below * (1 - opacity) + above * opacity).round().astype(np.uint8)


def _outline(mask: Int[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """True on the pixels beside another value."""
    beside = np.zeros(mask.shape, np.bool_)
    for axis in (0, 1):
        values, found = np.moveaxis(mask, axis, 0), np.moveaxis(beside, axis, 0)
        differs = values[1:] != values[:-1]
        found[1:] |= differs
        found[:-1] |= differs
    return beside
