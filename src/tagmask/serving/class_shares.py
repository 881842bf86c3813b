"""What is in the masks of a folder: the classes with their colours, and a table of how much of each an image shows."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from tagmask.contracts import MaskArray
from tagmask.data.class_list import CLASSES, is_class_list
from tagmask.errors import TagmaskError
from tagmask.masks.overlays import class_entries
from tagmask.system.storage import read_json, write_bytes, write_json

SHARES = "classes.csv"
COLUMNS = ("image", "class", "pixels", "share")


class ClassShares:
    """Collects the shares of classes, mask by mask.

    Args:
        out: the folder of the masks, which receives ``classes.json`` at once.
        classes: class names without background.

    Attributes:
        counts: pixels of background and of each class, by the image's name.

    Raises:
        TagmaskError: the folder holds files of these names that somebody else wrote, or masks of other classes.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        if (out / CLASSES).exists() and not is_class_list(out / CLASSES):
            raise TagmaskError(_foreign(out / CLASSES))
        if (out / SHARES).exists() and not _is_own(out / SHARES):
            raise TagmaskError(_foreign(out / SHARES))
        self._file, self._out = out / SHARES, out
        self._names = ("background", *classes)
        self.counts: dict[str, list[int]] = {}
        entries = class_entries(classes)
        if (out / CLASSES).exists() and read_json(out / CLASSES) != entries:
            raise TagmaskError(
                f"{out} holds masks of a network with other classes, whose numbers would get the names of this one; "
                "choose another --out folder"
            )
        write_json(out / CLASSES, entries)

    def add(self, image: str, mask: MaskArray) -> None:
        """Count the pixels of one mask."""
        self.add_counts(image, np.bincount(mask.ravel(), minlength=len(self._names)))

    def add_counts(self, image: str, counts: Int[np.ndarray, " k"]) -> None:
        """Take the pixels of background and of each class."""
        self.counts[image] = counts.tolist()

    def write(self) -> None:
        """Write the table: a line for each class that an image shows, also of earlier calls, if its mask is there."""
        rows = self._earlier() | {image: list(self._rows(image, counts)) for image, counts in self.counts.items()}
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *(row for image in rows for row in rows[image])])
        write_bytes(self._file, text.getvalue().encode("utf-8", "backslashreplace"))

    def _rows(self, image: str, counts: list[int]) -> Iterator[tuple[str, str, str, str]]:
        """A row for each class that is there; shares are of the pixels that have a label."""
        total = sum(counts)
        for name, number in zip(self._names, counts, strict=True):
            if number:
                yield image, name, str(number), f"{number / total:.6f}"

    def _earlier(self) -> dict[str, list[tuple[str, str, str, str]]]:
        if not self._file.exists():
            return {}
        found: dict[str, list[tuple[str, str, str, str]]] = {}
        with self._file.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.reader(file):
                if len(row) == len(COLUMNS) and (self._out / f"{row[0]}.png").exists():
                    found.setdefault(row[0], []).append((row[0], row[1], row[2], row[3]))
        return found


def _is_own(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(",".join(COLUMNS).encode())
    except OSError:
        return False


def _foreign(path: Path) -> str:
    return f"{path} was not written by tagmask predict and would be lost; choose another --out folder"
