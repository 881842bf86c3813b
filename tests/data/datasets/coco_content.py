"""COCO files as content: a cat and a dog in turn, each a square of 4 x 4 pixels in an image of 8 x 10."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

SIZE = (8, 10)
SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]


def content(count: int = 4, first: int = 0) -> dict[str, Any]:
    numbers = range(first, first + count)
    return {
        "images": [{"id": i, "file_name": f"p{i}.jpg", "height": SIZE[0], "width": SIZE[1]} for i in numbers],
        "annotations": [
            {"id": 100 + i, "image_id": i, "category_id": 1 + i % 2, "area": 16, "iscrowd": 0, "segmentation": SQUARE}
            for i in numbers
        ],
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 2, "name": "dog"}],
    }


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def paint(folder: Path, *names: str, size: tuple[int, int] = SIZE) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size[::-1], "red").save(folder / name)
    return folder
