"""Drawing of toy scenes: muted clutter, bright plain bodies, and on each body one small glyph that tells its class.

Sizes are in pixels, positions are (row, column) of the scene with pixel centres at one half, angles in radians.
"""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.random import Generator
from PIL import Image, ImageDraw

from tagmask.contracts import ImageArray, MaskArray

Plane = Float[np.ndarray, "h w"]
Pattern = Callable[[Plane, Plane], Bool[np.ndarray, "h w"]]

SUPERSAMPLING = 3
NUM_PATCHES = 16
NUM_LINES = 7
NOISE = 3.0  # grey levels


# ── glyphs: ink where True, on the square [-1, 1] x [-1, 1] ─────────────────────────────────────────────────────────


def _ring(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    radius = np.hypot(x, y)
    return ((radius > 0.68) & (radius < 1.0)) | (radius < 0.34)


def _cross(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    return (np.minimum(abs(x), abs(y)) < 0.24) & (np.maximum(abs(x), abs(y)) < 1.0)


def _checker(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    dark = (np.floor(x * 2.1) + np.floor(y * 2.1)) % 2 == 0
    return dark & (np.maximum(abs(x), abs(y)) < 0.95)


def _stripe(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    return (abs(y) < 0.9) & (np.floor(y / 0.36 + 0.5) % 2 == 0) & (abs(x) < 0.9)


def _dots(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    radius = np.hypot(abs(x) - 0.55, abs(y) - 0.55)
    return radius < 0.33


def _zigzag(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    wave = abs((x * 1.5 + 0.5) % 2 - 1) - 0.5
    return (abs(y - wave) < 0.3) & (abs(x) < 1.0)


@dataclass(frozen=True)
class Glyph:
    """The telling part of a class: a pattern in an ink that neither bodies nor clutter have."""

    pattern: Pattern
    ink: tuple[int, int, int]


GLYPHS = {
    "ring": Glyph(_ring, (24, 22, 30)),
    "cross": Glyph(_cross, (252, 252, 248)),
    "stripe": Glyph(_stripe, (118, 8, 28)),
    "dots": Glyph(_dots, (12, 24, 124)),
    "checker": Glyph(_checker, (4, 84, 32)),
    "zigzag": Glyph(_zigzag, (84, 4, 112)),
}


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        glyph: name of its glyph, which is its class.
        centre: of the body.
        half_axes: along and across the body.
        angle: of the long axis.
        power: 2 for an ellipse, 4 for a rounded rectangle.
        bumps: relative height, number and phase of the waves on the outline.
        colour: of the body, RGB 0..255.
        shade: direction in which the body darkens.
        glyph_angle: of the glyph.
    """

    glyph: str
    centre: tuple[float, float]
    half_axes: tuple[float, float]
    angle: float
    power: float
    bumps: tuple[float, int, float]
    colour: tuple[float, float, float]
    shade: float
    glyph_angle: float

    @property
    def glyph_radius(self) -> float:
        """Of the disc the glyph fills: 15 % of the ellipse's area."""
        return math.sqrt(0.15 * self.half_axes[0] * self.half_axes[1])

    @property
    def glyph_centre(self) -> tuple[float, float]:
        """Near one end of the long axis."""
        away = 0.78 * (self.half_axes[0] - self.glyph_radius)
        return self.centre[0] + away * math.sin(self.angle), self.centre[1] + away * math.cos(self.angle)


def place_things(random: Generator, wanted: list[str], size: int) -> tuple[Thing, ...]:
    """Draw the objects of a scene at random; those that find no room between the others are left out."""
    placed: list[Thing] = []
    for glyph in wanted:
        for _ in range(12):
            thing = _random_thing(random, glyph, size)
            if all(_apart(thing, other) for other in placed):
                placed.append(thing)
                break
    return tuple(placed)


def _apart(one: Thing, other: Thing) -> bool:
    reach = sum(math.sqrt(thing.half_axes[0] * thing.half_axes[1]) for thing in (one, other))
    return math.dist(one.centre, other.centre) > 1.02 * reach


def _random_thing(random: Generator, glyph: str, size: int) -> Thing:
    along = random.uniform(0.15, 0.225) * size
    low, high = 0.95 * along, size - 0.95 * along
    return Thing(
        glyph=glyph,
        centre=(random.uniform(low, high), random.uniform(low, high)),
        half_axes=(along, along * random.uniform(0.62, 0.95)),
        angle=random.uniform(0, 2 * math.pi),
        power=float(random.choice([2.0, 2.0, 4.0])),
        bumps=(random.uniform(0, 0.1), int(random.integers(2, 6)), random.uniform(0, 2 * math.pi)),
        colour=_colour(random, saturation=(0.55, 0.9), value=(0.8, 1.0)),
        shade=random.uniform(0, 2 * math.pi),
        glyph_angle=random.uniform(-0.3, 0.3),
    )


def _colour(
    random: Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> tuple[float, float, float]:
    red, green, blue = colorsys.hsv_to_rgb(random.random(), random.uniform(*saturation), random.uniform(*value))
    return 255 * red, 255 * green, 255 * blue


# ── pixels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def draw_scene(random: Generator, things: tuple[Thing, ...], size: int) -> ImageArray:
    """Paint clutter, then the objects in order, then noise."""
    canvas = _clutter(random, size)
    for thing in things:
        rows, columns = _window(thing.centre, 1.4 * thing.half_axes[0], size)
        towards, _ = _turned(rows, columns, thing.centre, thing.shade)
        paint = (1 - 0.14 * towards / thing.half_axes[0])[..., None] * np.array(thing.colour, np.float32)
        _blend(canvas, rows, columns, _body(thing, rows, columns), paint)
        rows, columns = _window(thing.glyph_centre, 1.5 * thing.glyph_radius, size)
        _blend(canvas, rows, columns, _glyph(thing, rows, columns), np.array(GLYPHS[thing.glyph].ink, np.float32))
    canvas += random.standard_normal(canvas.shape, np.float32) * NOISE
    return canvas.clip(0, 255).astype(np.uint8)


def draw_mask(things: tuple[Thing, ...], numbers: dict[str, int], size: int) -> MaskArray:
    """The exact mask of the same objects, numbered by class: the pixels that bodies cover by half or more."""
    mask = np.zeros((size, size), np.int32)
    for thing in things:
        rows, columns = _window(thing.centre, 1.4 * thing.half_axes[0], size)
        mask[rows, columns][_body(thing, rows, columns) >= 0.5] = numbers[thing.glyph] + 1
    return mask


def _window(centre: tuple[float, float], reach: float, size: int) -> tuple[slice, slice]:
    first = [max(0, math.floor(place - reach)) for place in centre]
    last = [min(size, math.ceil(place + reach)) for place in centre]
    return slice(first[0], last[0]), slice(first[1], last[1])


def _turned(
    rows: slice, columns: slice, centre: tuple[float, float], angle: float, fine: int = 1
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Coordinates of the pixels of a window about a centre, along an axis and across it, ``fine`` samples a pixel."""
    down = ((np.arange(rows.start * fine, rows.stop * fine, dtype=np.float32) + 0.5) / fine - centre[0])[:, None]
    right = (np.arange(columns.start * fine, columns.stop * fine, dtype=np.float32) + 0.5) / fine - centre[1]
    sine, cosine = np.float32(math.sin(angle)), np.float32(math.cos(angle))
    return right * cosine + down * sine, down * cosine - right * sine


def _body(thing: Thing, rows: slice, columns: slice) -> Float32[np.ndarray, "h w"]:
    """How much of each pixel the body covers, 0..1."""
    x, y = _turned(rows, columns, thing.centre, thing.angle)
    along, across = thing.half_axes
    height, waves, phase = thing.bumps
    radius = (abs(x / along) ** thing.power + abs(y / across) ** thing.power) ** (1 / thing.power)
    outline = 1 + height * (np.cos(waves * np.arctan2(y, x) + phase) - 1)
    return ((outline - radius) * across + 0.5).clip(0, 1).astype(np.float32)


def _glyph(thing: Thing, rows: slice, columns: slice) -> Float32[np.ndarray, "h w"]:
    """How much of each pixel the glyph's ink covers, 0..1."""
    x, y = _turned(rows, columns, thing.glyph_centre, thing.glyph_angle, SUPERSAMPLING)
    ink = GLYPHS[thing.glyph].pattern(x / thing.glyph_radius, y / thing.glyph_radius)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    fine = ink.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING)
    return fine.mean(axis=(1, 3), dtype=np.float32)


def _blend(
    canvas: Float32[np.ndarray, "height width 3"], rows: slice, columns: slice, cover: Plane, paint: np.ndarray
) -> None:
    part = canvas[rows, columns]
    part += cover[..., None] * (paint - part)


def _clutter(random: Generator, size: int) -> Float32[np.ndarray, "h w 3"]:
    """Patches and lines of muted colours on a gradient."""
    first, last = (np.array(_muted(random), np.float32) for _ in range(2))
    ramp = np.linspace(0, 1, size, dtype=np.float32)
    across, down = random.random(2, np.float32)
    share = (across * ramp + down * ramp[:, None])[..., None] / max(across + down, 0.1)
    picture = Image.fromarray((first + share * (last - first)).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(NUM_PATCHES):
        pen.polygon(_corners(random, size), fill=tuple(map(int, _muted(random))))
    for _ in range(NUM_LINES):
        ends = [int(end) for end in random.integers(0, size, 4)]
        pen.line(ends, fill=tuple(map(int, _muted(random))), width=max(1, size // 80))
    return np.asarray(picture).astype(np.float32)


def _muted(random: Generator) -> tuple[float, float, float]:
    return _colour(random, saturation=(0.0, 0.22), value=(0.45, 0.85))


def _corners(random: Generator, size: int) -> list[tuple[float, float]]:
    """A crooked triangle, quadrilateral or pentagon."""
    x, y = random.uniform(0, size, 2)
    turns = np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 6))))
    reach = random.uniform(0.05, 0.2) * size
    return [(x + reach * math.cos(turn), y + reach * math.sin(turn)) for turn in turns]
