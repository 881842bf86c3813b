"""The outlines of a COCO file, packed into a few arrays that any number of processes can read at once."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.system.rle import polygon_pixels, run_pixels

Parts = list[Float[np.ndarray, "_ 2"]] | Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Outline:
    """One annotated object.

    Attributes:
        name: what to call it in messages.
        place: its category's place in the file's list.
        is_crowd: whether it is a group that is not drawn one by one.
        area: in pixels; smaller ones lie over larger ones.
        parts: the corners of its polygons, or its run lengths; None: nothing that could be drawn.
        fault: why it cannot be drawn, in words; None: it has no outline at all, or can be drawn.
    """

    name: str
    place: int
    is_crowd: bool
    area: float
    parts: Parts | None
    fault: str | None = None


class Regions:
    """All outlines of a list of images.

    When it is sent to another process, the numbers are written once to a temporary file that the other one maps into
    its memory; it vanishes with the first process.

    Args:
        images: the outlines of each image; all of them can be drawn.
    """

    def __init__(self, images: Iterable[Sequence[Outline]]) -> None:
        numbers, ends, is_runs, objects, image_ends = [], [], [], [], []
        for outlines in images:
            for outline in sorted(outlines, key=lambda each: (not each.is_crowd, -each.area)):
                parts = [outline.parts] if isinstance(outline.parts, np.ndarray) else outline.parts or []
                numbers.extend(np.ravel(part) for part in parts)
                ends.extend(part.size for part in parts)
                is_runs.extend(part.ndim == 1 for part in parts)
                objects.append((len(ends), outline.place, outline.is_crowd))
            image_ends.append(len(objects))
        self._numbers = np.concatenate([*numbers, np.zeros(1)])  # one more: an empty file cannot be mapped
        self._ends = np.cumsum([0, *ends])
        self._is_runs = np.array(is_runs, bool)
        self._objects = np.array(objects, np.int64).reshape(-1, 3)
        self._image_ends = np.array([0, *image_ends], np.int64)
        self._file: Path | None = None

    def paint(self, image: int, height: int, width: int) -> MaskArray:
        """The mask of an image: crowds below and unlabelled, smaller objects over larger ones; place + 1 is the number.

        Raises:
            ValueError: run lengths are those of another size.
        """
        mask = np.zeros((height, width), np.int32)
        for which in range(self._image_ends[image], self._image_ends[image + 1]):
            end, place, is_crowd = self._objects[which].tolist()
            for part in range(int(self._objects[which - 1][0]) if which else 0, end):
                numbers = np.asarray(self._numbers[self._ends[part] : self._ends[part + 1]])
                if self._is_runs[part]:
                    pixels = run_pixels(numbers.astype(np.int64).tolist(), height, width)
                else:
                    pixels = polygon_pixels(numbers.reshape(-1, 2), height, width)
                mask[pixels] = IGNORE if is_crowd else place + 1
        return mask

    def __getstate__(self) -> dict[str, Any]:
        if self._file is None:
            self._file = self._written()
        return {**self.__dict__, "_numbers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        try:
            self._numbers = np.load(str(self._file), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise TagmaskError(
                f"the outlines of the annotations in {self._file} are gone: {error}; start again"
            ) from error

    def _written(self) -> Path:
        try:
            folder = Path(tempfile.mkdtemp(prefix="tagmask-"))
            atexit.register(_remove, folder, os.getpid())
            np.save(folder / "outlines.npy", self._numbers)
        except OSError as error:
            raise TagmaskError(
                f"cannot write the outlines of the annotations to {tempfile.gettempdir()}: {error}; free some space "
                "there, or name another folder in the environment variable TMPDIR"
            ) from error
        return folder / "outlines.npy"


def _remove(folder: Path, owner: int) -> None:
    """Remove a temporary folder, if this is the process that made it and not a copy of it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
