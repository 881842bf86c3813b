"""Tar files of small photographs with their tags, as WebDataset writes them."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 16)


def picture(number: int, kind: str = "PNG") -> bytes:
    """A photograph of a colour of its own, and of a second one at its left."""
    image = Image.new("RGB", SIZE, (number % 256, 0, 0))
    image.paste((0, 200, number % 256), (0, 0, 4, SIZE[1]))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def mask(number: int) -> bytes:
    """A mask whose first four columns are a class."""
    numbers = np.zeros(SIZE[::-1], np.uint8)
    numbers[:, :4] = number
    buffer = io.BytesIO()
    Image.fromarray(numbers).save(buffer, "PNG")
    return buffer.getvalue()


def told(*tags: str, **more: object) -> bytes:
    """The JSON of an image."""
    return json.dumps({"tags": list(tags), **more}).encode()


def pack(shard: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    """Write a tar file of these members, in their order."""
    with tarfile.open(shard, "w") as file:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return shard


def packed_scenes(folder: Path, train: int = 6, val: int = 2) -> Path:
    """A folder of three shards: cats, dogs and images of neither, with masks."""
    kinds = [("cat",), ("dog",), ()]
    numbers = {("cat",): 1, ("dog",): 2, (): 0}

    def files(split: str, count: int) -> list[tuple[str, bytes]]:
        found = []
        for place in range(count):
            tags = kinds[place % 3]
            key = f"{split}/{place:04d}"
            found += [(f"{key}.png", picture(place)), (f"{key}.json", told(*tags))]
            found += [(f"{key}.mask.png", mask(numbers[tags]))]
        return found

    folder.mkdir(parents=True, exist_ok=True)
    inner = files("a", train)
    pack(folder / "train-000000.tar", inner[:9])
    pack(folder / "train-000001.tar", inner[9:])
    pack(folder / "val-000000.tar", files("b", val))
    return folder
