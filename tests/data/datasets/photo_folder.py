"""A folder of small photographs and its table of tags, and what a data set makes of them."""

from pathlib import Path

from PIL import Image

from tagmask.data.datasets.folder import Folder

ALL_TRAIN = {"val_fraction": 0.0}


def paint(root: Path, *names: str):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (number, 0, 0)).save(root / name)


def table(root: Path, *lines: str, name: str = "tags.csv"):
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def tags_of(data: Folder) -> dict[str, list[str]]:
    return {record.id: [data.classes[tag] for tag in record.tags] for record in data.records}


def splits_of(data: Folder) -> dict[str, str]:
    return {record.id: record.split for record in data.records}
