"""Small pictures for people: masks and maps laid over photographs, as data that an HTML page can hold."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
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
    return _blend(_grey(image), colors, opacity)


def overlay_mask(image: Picture, mask: Int[np.ndarray, "h w"]) -> Picture:
    """Class colours over the faded photograph, outlined; background stays grey, unlabelled pixels are hatched."""
    opacity = np.where(_outline(mask), 1.0, 0.62) * (mask > BACKGROUND)
    faded = (90 + 0.55 * _grey(image)).astype(np.uint8)
    shown = _blend(faded, class_colors(mask), opacity[..., None])
    rows, columns = np.arange(mask.shape[0])[:, None], np.arange(mask.shape[1])
    hatched = (mask == IGNORE) & ((rows + columns) % 8 < 3)
    return np.where(hatched[..., None], np.uint8(240), shown)


def class_colors(mask: Int[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s 3"]:
    """Palette colours of mask values, the same as in the mask files; they repeat beyond class 255."""
    numbers = np.maximum(mask, BACKGROUND)
    return palette()[np.where(numbers > 255, (numbers - 1) % 255 + 1, numbers)]


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


def _grey(image: Picture) -> Picture:
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)


def _blend(below: Picture, above: Picture, opacity: Float[np.ndarray, "h w 1"]) -> Picture:
    return (below * (1 - opacity) + above * opacity).round().astype(np.uint8)


def _outline(mask: Int[np.ndarray, "h w"]) -> np.ndarray:
    """True on the pixels of a class beside another value."""
    padded = np.pad(mask, 1, mode="edge")
    shifted = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.any([mask != other for other in shifted], axis=0)
