"""What is in the masks of a folder: the classes with their colours, and a table of how much of each an image shows."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tagmask.contracts import MaskArray
from tagmask.data.class_list import CLASSES, is_class_list
from tagmask.errors import TagmaskError
from tagmask.masks.overlays import class_colors
from tagmask.system.storage import write_bytes, write_json

SHARES = "classes.csv"
COLUMNS = ("image", "class", "pixels", "share")


class ClassShares:
    """Collects the shares of classes, mask by mask.

    Args:
        out: the folder of the masks, which receives ``classes.json`` at once.
        classes: class names without background.

    Raises:
        TagmaskError: the folder holds files of these names that somebody else wrote.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        if (out / CLASSES).exists() and not is_class_list(out / CLASSES):
            raise TagmaskError(_foreign(out / CLASSES))
        if (out / SHARES).exists() and not _is_own(out / SHARES):
            raise TagmaskError(_foreign(out / SHARES))
        self._file = out / SHARES
        self._names = ("background", *classes)
        self._rows: list[tuple[str, str, int, str]] = []
        colors = class_colors(np.arange(len(self._names))).tolist()
        entries = zip(self._names, colors, strict=True)
        write_json(
            out / CLASSES, [{"index": i, "name": name, "color": color} for i, (name, color) in enumerate(entries)]
        )

    def add(self, image: str, mask: MaskArray) -> None:
        """Count the pixels of one mask."""
        for number, pixels in enumerate(np.bincount(mask.ravel(), minlength=len(self._names)).tolist()):
            if pixels:
                self._rows.append((image, self._names[number], pixels, f"{pixels / mask.size:.6f}"))

    def write(self) -> None:
        """Write the table: a line for each class that an image shows."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *self._rows])
        write_bytes(self._file, text.getvalue().encode("utf-8", "backslashreplace"))


def _is_own(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(",".join(COLUMNS).encode())
    except OSError:
        return False


def _foreign(path: Path) -> str:
    return f"{path} was not written by tagmask predict and would be lost; choose another --out folder"
