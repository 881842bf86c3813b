"""A folder of small photographs and its table of tags, and what a data set makes of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from tagmask.data.datasets.folder import Folder

ALL_TRAIN = {"val_fraction": 0.0}


SIZE = (24, 16)


def paint(root: Path, *names: str):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, (number % 256, 0, 0)).save(root / name)


def table(root: Path, *lines: str, name: str = "tags.csv"):
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def tags_of(data: Folder) -> dict[str, list[str]]:
    return {record.id: [data.classes[tag] for tag in record.tags] for record in data.records}


def mask_of(*numbers: int) -> np.ndarray:
    """A mask of the photographs' size: one pixel of each number, else background."""
    mask = np.zeros(SIZE[::-1], np.int32)
    mask.flat[: len(numbers)] = numbers
    return mask


def splits_of(data: Folder) -> dict[str, str]:
    return {record.id: record.split for record in data.records}
