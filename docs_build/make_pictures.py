"""Draws ``docs/pipeline.png`` from a run: one row per stage, one column per training image, below 300 kB.

Run: ``.venv/bin/python docs_build/make_pictures.py runs/demo``
"""

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import tagmask
from tagmask.config import Recipe
from tagmask.contracts import Dataset, Record
from tagmask.conventions import BACKGROUND
from tagmask.data.datasets import open_dataset
from tagmask.data.images import mask_bits, read_mask
from tagmask.inference.predictor import Predictor
from tagmask.masks.from_archives import walked_at_image_size
from tagmask.masks.overlays import (
    Picture,
    class_colors,
    overlay_mask,
    scale_map,
    shrink_image,
    shrink_mask,
    thumbnail_size,
)
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, read_maps, write_bytes

STAGES = (
    ("photograph", "and its tags"),
    ("maps", "of the classifier"),
    ("walked maps", "along affinities"),
    ("pseudo mask", "after the CRF"),
    ("prediction", "without tags"),
    ("ground truth", "never learned from"),
)
SIDE, GAP, LABEL, LINE = 144, 6, 132, 18
Color = tuple[int, int, int]
PAPER, INK, SOFT = (255, 255, 255), (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True)
class Source:
    """A finished run and what is needed to show it."""

    folder: RunFolder
    recipe: Recipe
    dataset: Dataset
    predictor: Predictor

    @classmethod
    def open(cls, path: Path) -> "Source":
        """Open a run folder; the data must lie where they lay."""
        folder = RunFolder(path)
        recipe = folder.recipe()
        dataset = open_dataset(recipe.data, folder.data(), verify=False)
        return cls(folder, recipe, dataset, tagmask.load(path, device="cpu"))


def chosen(source: Source, ids: Sequence[str], count: int) -> list[Record]:
    """The named training images, or some with tags and ground truth, evenly spaced and not picked by result."""
    records = {record.id: record for record in source.dataset.split(source.recipe.data.train_split)}
    if ids:
        return [records[image_id] for image_id in ids]
    shown = [record for record in records.values() if record.has_mask and record.tags]
    return [shown[i] for i in np.linspace(0, len(shown) - 1, count).round().astype(int)]


def stages_of(source: Source, record: Record) -> list[Picture]:
    """One picture per stage."""
    image = source.dataset.read_image(record)
    rows, columns = image.shape[:2]
    size = thumbnail_size((rows, columns), SIDE) if max(rows, columns) > SIDE else enlarged((rows, columns))
    small = shrink_image(image, size)
    maps = [read_maps(source.folder.maps(record.id)), walked(source, record, (rows, columns))]
    own = source.recipe.masks.ignore_value
    ignore = own if own is not None else 2 ** mask_bits(len(source.dataset.classes)) - 1
    truth = source.dataset.read_mask(record)
    masks = [read_mask(source.folder.mask(record.id), ignore), source.predictor(image), truth]
    drawn = [overlay_mask(small, shrink_mask(mask, size)) for mask in masks if mask is not None]
    return [small, *(overlay_classes(small, archive, size) for archive in maps), *drawn]


def enlarged(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a small image blown up to the column's width."""
    factor = SIDE / max(size)
    return round(size[0] * factor), round(size[1] * factor)


def walked(source: Source, record: Record, size: tuple[int, int]) -> MapArchive:
    """The walked maps at image size, or the maps again where the recipe has no walk."""
    if source.recipe.affinity is None:
        return read_maps(source.folder.maps(record.id))
    archive = read_maps(source.folder.walks(record.id))
    return walked_at_image_size(archive, size, source.recipe.walk, source.recipe.affinity.stride)


def overlay_classes(image: Picture, archive: MapArchive, size: tuple[int, int]) -> Picture:
    """Every map in the colour of its class over the grey photograph, the more opaque the larger it is."""
    kept = archive.classes != BACKGROUND
    maps = np.stack([scale_map(values, size) for values in archive.maps[kept]])
    colors = class_colors(archive.classes[kept].astype(np.int32)[maps.argmax(axis=0)])
    opacity = 0.9 * maps.max(axis=0).clip(0, 1)[..., None]
    grey = 90 + 0.55 * image.mean(axis=2, keepdims=True)
    return (grey * (1 - opacity) + colors * opacity).round().astype(np.uint8)


def class_color(tag: int) -> Color:
    """The palette colour of a class."""
    red, green, blue = class_colors(np.array([tag + 1]))[0].tolist()
    return red, green, blue


def sheet(columns: Sequence[Sequence[Picture]], titles: Sequence[Sequence[tuple[str, Color]]]) -> Image.Image:
    """Stages as rows with their names at the left, images as columns with their tags in class colours on top."""
    heights = [max(column[row].shape[0] for column in columns) for row in range(len(columns[0]))]
    width = LABEL + len(columns) * (SIDE + GAP)
    page = Image.new("RGB", (width, LINE + GAP + sum(heights) + GAP * len(heights)), PAPER)
    draw, bold, plain = ImageDraw.Draw(page), ImageFont.load_default(15), ImageFont.load_default(12)
    for at, title in enumerate(titles):
        left = float(LABEL + at * (SIDE + GAP))
        for name, color in title:
            draw.text((left, 3), name, color, plain)
            left += draw.textlength(f"{name}  ", plain)
    top = LINE + GAP
    for row, height in enumerate(heights):
        name, detail = STAGES[row]
        draw.text((8, top + height // 2 - 18), name, INK, bold)
        draw.text((8, top + height // 2 + 2), detail, SOFT, plain)
        for at, column in enumerate(columns):
            page.paste(Image.fromarray(column[row]), (LABEL + at * (SIDE + GAP), top))
        top += height + GAP
    return page


def main() -> None:
    """Read the command line, write the picture."""
    parser = argparse.ArgumentParser(description="Draw the stages of a finished run.")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "pipeline.png")
    parser.add_argument("--ids", nargs="*", default=[], help="training images to show; default: evenly spaced ones")
    parser.add_argument("--count", type=int, default=5, help="how many images where none are named")
    asked = parser.parse_args()
    source = Source.open(asked.run)
    records = chosen(source, asked.ids, asked.count)
    titles = [[(source.dataset.classes[tag], class_color(tag)) for tag in record.tags] for record in records]
    page = sheet([stages_of(source, record) for record in records], titles)
    palette = page.quantize(256, Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    page.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "PNG", optimize=True)
    write_bytes(asked.out, buffer.getvalue())


if __name__ == "__main__":
    main()
