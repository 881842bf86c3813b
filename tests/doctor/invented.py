"""Invented data sets: tags without files, or pictures made by a few lines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tagmask.contracts import Dataset, Record
from tagmask.doctor.census import Census, take_census


class Invented(Dataset):
    """Images that are drawn from their id, with given tags."""

    ignore_value = 255

    def __init__(self, classes: Sequence[str], records: Sequence[Record], notes: Sequence[str] = ()) -> None:
        self.name, self.classes, self.records, self.notes = "invented", tuple(classes), tuple(records), tuple(notes)

    def read_image(self, record: Record) -> np.ndarray:
        return picture(sum(map(ord, record.id)))

    def read_mask(self, record: Record) -> None:
        return None

    def image_path(self, record: Record) -> Path | None:
        return None


def picture(seed: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Coloured blocks, others for every seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((size[0] // 6, size[1] // 8, 1), np.uint8))


def records(split: str, tags: Sequence[tuple[int, ...]]) -> list[Record]:
    """An image of a split for each set of tags."""
    return [Record(f"{split}/{place:03d}", each, split) for place, each in enumerate(tags)]


def dataset(classes: Sequence[str], training: Sequence[tuple[int, ...]], validation=(), notes=()) -> Invented:
    """Images by their tags."""
    return Invented(classes, [*records("train", training), *records("val", validation)], notes)


def census(classes: Sequence[str], training: Sequence[tuple[int, ...]], validation=()) -> Census:
    """The census of images by their tags."""
    return take_census(dataset(classes, training, validation), "train", "val")
