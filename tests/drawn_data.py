"""Kinds of data that nothing was tuned for, drawn into folders as people keep them: pictures, ``tags.csv``, masks.

A picture is a function of its seed and its number. Masks are numbered by class from 1, 0 is background.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator
from PIL import Image

SIZE = 64
QUARTER = SIZE // 2  # side of the quarters of a picture, each of which holds one object at most

Picture = UInt8[np.ndarray, "h w 3"]
Mask = UInt8[np.ndarray, "h w"]
Plane = Float[np.ndarray, "h w"]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """What a class looks like.

    Attributes:
        colour: RGB where it is brightest.
        texture: a key of ``TEXTURES``, which makes it darker in places.
    """

    colour: Colour
    texture: str


@dataclass(frozen=True)
class Drawn:
    """A data set before it is written.

    Attributes:
        classes: names in the order of their numbers in masks.
        pictures: by split, each with its mask.
    """

    classes: tuple[str, ...]
    pictures: dict[str, list[tuple[Picture, Mask]]]


# ── looks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(float)

TEXTURES: dict[str, Plane] = {
    "plain": np.ones((SIZE, SIZE)),
    "rows": (ROWS // 3 % 2).astype(float),
    "columns": (COLUMNS // 3 % 2).astype(float),
    "checks": ((ROWS // 4 + COLUMNS // 4) % 2).astype(float),
    "dots": (np.hypot(ROWS % 6 - 2.5, COLUMNS % 6 - 2.5) > 2).astype(float),
}
DARKEST = 0.35  # of the colour, where a texture is 0

COLOURS: dict[str, Colour] = {
    "red": (230, 50, 50),
    "orange": (240, 150, 40),
    "yellow": (235, 225, 60),
    "green": (60, 190, 70),
    "cyan": (60, 205, 215),
    "blue": (60, 80, 230),
    "purple": (150, 60, 210),
    "pink": (245, 130, 200),
}
FRUIT = {
    "plum": Look((150, 60, 210), "dots"),
    "lime": Look((60, 190, 70), "rows"),
    "peach": Look((240, 150, 40), "plain"),
}
RUST = {"rust": Look((230, 120, 40), "dots")}
FORTY = {f"{name}-{texture}": Look(COLOURS[name], texture) for name, texture in product(COLOURS, TEXTURES)}
TISSUES = {
    "fat": Look((240, 225, 235), "dots"),
    "muscle": Look((225, 110, 130), "rows"),
    "stroma": Look((235, 165, 195), "plain"),
    "tumour": Look((150, 95, 180), "checks"),
}


def painted(random: Generator, look: Look) -> Float[np.ndarray, "h w 3"]:
    """A picture full of a look, each time in a slightly other colour and shifted."""
    shade = np.array(look.colour) + random.uniform(-15, 15, 3)
    texture = np.roll(TEXTURES[look.texture], random.integers(0, SIZE, 2).tolist(), axis=(0, 1))
    return shade * (DARKEST + (1 - DARKEST) * texture)[..., None]


def finished(random: Generator, picture: Float[np.ndarray, "h w 3"]) -> Picture:
    """What a camera makes of it: noise, and bytes."""
    return (picture + random.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8)


# ── objects on a ground ──────────────────────────────────────────────────────────────────────────────────────────────


def ground(random: Generator) -> Float[np.ndarray, "h w 3"]:
    """Grey clouds with grey stones, which are no class."""
    clouds = Image.fromarray(random.integers(70, 190, (6, 6), np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    grey = np.asarray(clouds).astype(float)
    for _ in range(3):
        grey[ellipse(random, *random.uniform(0, SIZE, 2).tolist())] = random.uniform(50, 210)
    return np.repeat(grey[..., None], 3, axis=2)


def ellipse(random: Generator, row: float, column: float) -> np.ndarray:
    """Whether a pixel lies in an ellipse around a place, turned by chance."""
    angle, along, across = random.uniform(0, np.pi), random.uniform(9, 13), random.uniform(7, 10)
    down, right = ROWS - row, COLUMNS - column
    x, y = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
    return (x / along) ** 2 + (y / across) ** 2 < 1


def objects(random: Generator, looks: Sequence[Look], wanted: Iterable[int]) -> tuple[Picture, Mask]:
    """Objects of the wanted classes, each in a quarter of its own."""
    picture, mask = ground(random), np.zeros((SIZE, SIZE), np.uint8)
    for number, quarter in zip(wanted, random.permutation(4), strict=False):
        centre = np.array(divmod(int(quarter), 2)) * QUARTER + QUARTER / 2 + random.uniform(-3, 3, 2)
        inside = ellipse(random, *centre.tolist())
        picture[inside] = painted(random, looks[number])[inside]
        mask[inside] = number + 1
    return finished(random, picture), mask


def some_classes(random: Generator, index: int, num_classes: int, fewest: int, most: int) -> list[int]:
    """Different classes; the first is that of the picture's turn, so that each comes as often as any other."""
    first = index % num_classes
    others = [number for number in random.permutation(num_classes).tolist() if number != first]
    return [first, *others][: int(random.integers(fewest, most + 1))]


# ── regions without a ground ─────────────────────────────────────────────────────────────────────────────────────────


def regions(random: Generator, looks: Sequence[Look], present: Sequence[int]) -> tuple[Picture, Mask]:
    """A picture whose every pixel belongs to the nearest of six places, and each place to one of some classes."""
    places = random.uniform(0, SIZE, (6, 2))
    owners = np.array([*present, *random.choice(present, 6 - len(present))])
    away = np.hypot(ROWS[..., None] - places[:, 0], COLUMNS[..., None] - places[:, 1])
    owner = owners[away.argmin(axis=2)]
    everywhere = np.stack([painted(random, look) for look in looks])
    picture = np.take_along_axis(everywhere, owner[None, ..., None], axis=0)[0]
    return finished(random, picture), (owner + 1).astype(np.uint8)


# ── data sets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def drawn(
    seed: int, classes: Iterable[str], draw: Callable[[Generator, int], tuple[Picture, Mask]], train: int, val: int
) -> Drawn:
    """A data set of pictures that a function draws from a random generator and their number."""
    numbers = {"train": range(train), "val": range(train, train + val)}
    pictures = {
        split: [draw(np.random.default_rng([seed, index]), index) for index in indices]
        for split, indices in numbers.items()
    }
    return Drawn(tuple(classes), pictures)


def without_negatives(seed: int) -> Drawn:
    """Three classes, of which every picture shows one or two."""
    looks = [*FRUIT.values()]
    return drawn(seed, FRUIT, lambda random, i: objects(random, looks, some_classes(random, i, 3, 1, 2)), 72, 24)


def one_class(seed: int, everywhere: bool = False) -> Drawn:
    """One class, of which every other picture, or every one, shows one to three objects."""
    looks = [*RUST.values()]

    def draw(random: Generator, index: int) -> tuple[Picture, Mask]:
        number = int(random.integers(1, 4)) if everywhere or index % 2 else 0
        return objects(random, looks, [0] * number)

    return drawn(seed, RUST, draw, 72, 24)


def forty_classes(seed: int) -> Drawn:
    """Forty classes told apart by colour and texture, two or three a picture, ten pictures a class."""
    looks = [*FORTY.values()]
    return drawn(seed, FORTY, lambda random, i: objects(random, looks, some_classes(random, i, 40, 2, 3)), 160, 40)


def tissues(seed: int) -> Drawn:
    """Tiles without background: each consists of one to three of four tissues."""
    looks = [*TISSUES.values()]
    return drawn(seed, TISSUES, lambda random, i: regions(random, looks, some_classes(random, i, 4, 1, 3)), 72, 24)


def write_folder(root: Path, data: Drawn) -> Path:
    """Write ``images``, ``masks``, ``classes.txt`` and ``tags.csv`` with a split column; returns the folder."""
    rows = [("image", "tags", "split")]
    for split, pictures in data.pictures.items():
        for number, (picture, mask) in enumerate(pictures):
            name = f"{split}-{number:04d}.png"
            for folder, pixels in (("images", picture), ("masks", mask)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / folder / name)
            present = np.unique(mask[mask > 0]).tolist()
            rows.append((name, ";".join(data.classes[value - 1] for value in present), split))
    (root / "classes.txt").write_text("\n".join(data.classes) + "\n", encoding="utf-8")
    with (root / "tags.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return root
