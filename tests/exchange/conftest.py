"""A run with photographs of awkward names, whose masks were drawn by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagmask.config.recipes import load_recipe
from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE
from tagmask.data.images import write_mask
from tagmask.exchange.items import Item, Parcel
from tagmask.stages.run import Run, begin_run, open_run
from typed import TINY

IDS = ("1", "a b/1", "A b/1", "a_b__1", "größe/x.y", "-c/nul")
LEFT_OUT = "val"
SIZE = (12, 16)


def drawn_mask(number: int, unlabelled: bool = True) -> MaskArray:
    """Two classes with a hole, an island in it, single pixels, and some pixels without label."""
    mask = np.zeros(SIZE, np.int32)
    mask[1:8, 1 + number : 9 + number] = 1
    mask[3:6, 3 + number : 7 + number] = 0
    mask[4, 4 + number] = 2
    mask[10:, :] = 2
    mask[0, 0] = mask[-1, -1] = 1
    mask[0, 9:12] = IGNORE if unlabelled else 0
    return mask


@pytest.fixture
def photo_run(tmp_path: Path) -> Run:
    """Six training images and one of validation with their masks; no network has been trained."""
    photos = tmp_path / "photos"
    rows = ["image,tags,split"]
    random = np.random.default_rng(0)
    for image_id in (*IDS, LEFT_OUT):
        suffix = "png" if image_id == "1" else "jpg"
        path = photos / f"{image_id}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
        rows.append(f"{image_id}.{suffix},cat;big dog,{'val' if image_id == LEFT_OUT else 'train'}")
    (photos / "tags.csv").write_text("\n".join(rows))
    settings = [f"{key}={value}" for key, value in TINY.items()]
    run = begin_run(load_recipe("folder-cpu-cam", settings), photos, tmp_path / "run")
    for number, record in enumerate(run.training_records):
        write_mask(run.folder.mask(record.id), drawn_mask(number), 255, 2)
    write_mask(run.folder.prediction(LEFT_OUT), drawn_mask(0, unlabelled=False), 255, 2)
    run.folder.note("make-masks", done=True)
    run.folder.note("predict", done=True)
    del run
    return open_run(tmp_path / "run", alone=False)


CLASSES = ("cat", "big dog")


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    """Three images, one of validation and reviewed, without a run."""
    splits = (("a__1", "train"), ("b_2", "train"), ("c", "val"))
    items = [
        Item(name, name, split, split == "val", None, f"{name}.jpg", lambda number=number: drawn_mask(number))
        for number, (name, split) in enumerate(splits)
    ]
    return Parcel(tmp_path / "parcel", CLASSES, items)
