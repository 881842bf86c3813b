"""Seconds and memory of listing many photographs with their tags: ``python benchmarks/listing.py``.

What every command does first: read the table of tags, find the file of each row and look whether it is there, in a
process of its own. The photographs are one, linked in folders of a thousand, with two classes and four tags in turn;
the million needs some minutes to be laid out and 100 MB of disk.
"""

import csv
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import Row, in_new_process, print_figures, seconds
from PIL import Image

NUMBERS = (100_000, 1_000_000)
IN_A_FOLDER, LINKS = 1_000, 30_000  # ext4 bears 65 000 links of a file
TAGS = ("cat", "dog", "cat, dog", "")


def run() -> Iterator[Row]:
    """Seconds and GiB of each number of photographs."""
    for place, number in enumerate(NUMBERS):
        with tempfile.TemporaryDirectory() as folder:
            lay_out(Path(folder), number)
            took, before, peak = in_new_process(listed, Path(folder), number)
        yield f"listings.{place}.photographs", number
        yield f"listings.{place}.seconds", took
        yield f"listings.{place}.gib_of_imports", before
        yield f"listings.{place}.gib_at_most", peak


def lay_out(folder: Path, number: int) -> None:
    """A data folder of one photograph under many names, with its table of tags."""
    picture = folder / "picture"
    with (folder / "tags.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "tags"])
        for index in range(number):
            if index % LINKS == 0:
                picture.unlink(missing_ok=True)
                Image.linear_gradient("L").resize((64, 64)).save(picture, "JPEG")
            name = f"{index // IN_A_FOLDER:04d}/photograph-{index:07d}.jpg"
            if index % IN_A_FOLDER == 0:
                (folder / "images" / name).parent.mkdir(parents=True)
            os.link(picture, folder / "images" / name)
            table.writerow([name, TAGS[index % len(TAGS)]])


def listed(folder: Path, number: int) -> tuple[float, float, float]:
    """Seconds of listing in this process, and the GiB that it held at most before and at the end."""
    from tagmask.config import FolderData  # noqa: PLC0415 — part of what the new process loads
    from tagmask.data.datasets import open_dataset  # noqa: PLC0415

    def look() -> None:
        records = open_dataset(FolderData(), folder, verify=False).records
        assert len(records) == number

    before = _peak_gib()
    return seconds(look), before, _peak_gib()


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    print_figures(run, __doc__)
