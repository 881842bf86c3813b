"""Small data folders to measure on: drawn scenes of any size with any number of classes, or some given photographs."""

import csv
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from tagmask.config import ToyData
from tagmask.data.datasets import open_dataset

SIZE = (240, 320)  # rows and columns, about those of the photographs that ``folder-cpu`` was chosen on
CLASSES, TAGS = 6, 2  # of drawn scenes: classes in all, classes an image
DIFFERENT = 32  # drawn scenes; further images are copies of them


def shared_photographs() -> Path | None:
    """The photographs below ``TAGMASK_SHARED``, if it is set and has them."""
    shared = os.environ.get("TAGMASK_SHARED")
    found = None if shared is None else Path(shared) / "data" / "voc-animals"
    return found if found is not None and (found / "tags.csv").is_file() else None


def data_folder(root: Path, images: int, validation: int, photographs: Path | None = None) -> Path:
    """A data folder of so many images: of a folder with ``tags.csv`` and ``images/``, else of drawn scenes."""
    if photographs is None:
        return draw_scenes(root, images, validation)
    with (photographs / "tags.csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    chosen = [row for split, number in (("train", images), ("val", validation)) for row in some(rows, split, number)]
    root.mkdir(parents=True, exist_ok=True)
    (root / "images").symlink_to((photographs / "images").resolve())
    write_table(root, [(row["image"], row["tags"], row["split"]) for row in chosen])
    return root


def some(rows: list[dict[str, str]], split: str, number: int) -> list[dict[str, str]]:
    """So many rows of a split: first one for each tag that none before has, then others evenly over all.

    >>> tags = ["a", "a", "a;b", "c", "a", "a"]
    >>> rows = [{"image": str(i), "tags": found, "split": "train"} for i, found in enumerate(tags)]
    >>> [row["image"] for row in some(rows, "train", 4)]
    ['0', '1', '2', '3']
    """
    found = [row for row in rows if row["split"] == split]
    known: set[str] = set()
    first = []
    for row in found:
        if not set(row["tags"].split(";")) <= known:
            known |= set(row["tags"].split(";"))
            first.append(row)
    others = [row for row in found if row not in first]
    rest = max(0, min(number - len(first), len(others)))
    chosen = first[:number] + [others[place * len(others) // rest] for place in range(rest)]
    return [row for row in found if row in chosen]


def draw_scenes(
    root: Path, images: int, validation: int, size: tuple[int, int] = SIZE, classes: int = CLASSES, tags: int = TAGS
) -> Path:
    """Scenes on clutter as JPEG, and a table of tags that take turns: what is measured does not depend on them."""
    side, different = max(size), min(images + validation, DIFFERENT)
    drawn = open_dataset(ToyData(num_train=different, num_val=1, size=max(side, 48)), None)
    files = [jpeg(drawn.read_image(record)[: size[0], : size[1]]) for record in drawn.records[:different]]
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(images + validation):
        name = f"{number:05d}.jpg"
        (root / "images" / name).write_bytes(files[number % different])
        carried = ";".join(f"class{(number * tags + place) % classes:03d}" for place in range(min(tags, classes)))
        rows.append((name, carried, "train" if number < images else "val"))
    (root / "classes.txt").write_text("".join(f"class{number:03d}\n" for number in range(classes)))
    return write_table(root, rows)


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_table(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    with (root / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "tags", "split"), *rows])
    return root
