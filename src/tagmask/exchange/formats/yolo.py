"""Ultralytics' segmentation labels: a line a region, a class and a polygon in shares of the image.

``images/<split>/<name>`` photographs · ``labels/<split>/<name>.txt`` polygons · ``data.yaml`` classes. Holes are joined
to the outline by a cut. Pixels without label have no place in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tagmask.contracts import MaskArray
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.errors import TagmaskError
from tagmask.exchange.formats.data_yaml import read_names, write_data_yaml
from tagmask.exchange.items import Arrival, Arrivals, Parcel, Size, class_numbers, existing, regions
from tagmask.exchange.polygons import INSET, Polygon, filled, outlines, polygon_area
from tagmask.system.storage import write_bytes

BEYOND = 0.01  # how far outside of the image a corner may lie, as a share, before the file is taken for another kind
Shape = tuple[int, Polygon]


def write(parcel: Parcel) -> list[str]:
    """Write labels and ``data.yaml``; returns what is lost."""
    unlabelled = 0
    for item, mask in parcel.masks():
        unlabelled += IGNORE in mask
        lines = "".join(f"{number - 1} {_written(polygon, mask)}\n" for number, polygon in _shapes(mask))
        write_bytes(parcel.folder / "labels" / item.split / f"{item.name}.txt", lines.encode())
    write_data_yaml(parcel, dict(enumerate(parcel.classes)))
    lost = f"{unlabelled} masks have pixels without label, for which yolo has no place: they count as background there."
    return [lost] if unlabelled else []


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks of every label file.

    Raises:
        TagmaskError: ``data.yaml`` or the labels are missing, a class is unknown, or a line is no polygon.
    """
    numbers = class_numbers(read_names(folder), classes, folder / "data.yaml")
    root = existing(folder / "labels", "expected the polygons there, a text file an image")
    found = Arrivals()
    few = 0
    for path in sorted(root.rglob("*.txt")):
        shapes = [_shape(path, place, line, numbers) for place, line in _lines(path)]
        kept = [(number, polygon) for number, polygon in shapes if len(polygon) > 2]
        few += len(shapes) - len(kept)
        name = path.relative_to(root).as_posix().removesuffix(".txt")
        found.masks.append(Arrival(name, str(path), _Drawing(kept)))
    if few:
        found.notes.append(f"{few} regions have fewer than three corners; they cover nothing and are left out.")
    return found


@dataclass(frozen=True)
class _Drawing:
    """Polygons in shares of an image, larger ones below smaller ones."""

    shapes: list[Shape]

    def __call__(self, size: Size) -> MaskArray:
        mask = np.full(size, BACKGROUND, np.int32)
        for number, polygon in sorted(self.shapes, key=lambda shape: -polygon_area(shape[1])):
            mask[filled([polygon * (size[1], size[0])], *size)] = number
        return mask


def _shapes(mask: MaskArray) -> Iterator[Shape]:
    for number in regions(mask):
        if number != IGNORE:
            yield from ((number, polygon) for polygon in outlines(mask == number, INSET))


def _written(polygon: Polygon, mask: MaskArray) -> str:
    shares = polygon / (mask.shape[1], mask.shape[0])
    return " ".join(f"{share:.6f}" for share in shares.ravel().tolist())


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise TagmaskError(f"cannot read {path}: {error}; expected lines of a class and a polygon") from error
    yield from ((place, line.split()) for place, line in enumerate(lines, 1) if line.strip())


def _shape(path: Path, place: int, words: list[str], numbers: dict[int, int]) -> Shape:
    try:
        label, corners = int(words[0]), np.array(words[1:], np.float64)
    except ValueError as error:
        raise TagmaskError(f"{path}, line {place}: {error}; expected a class and x y x y ...") from error
    if label not in numbers:
        raise TagmaskError(f"{path}, line {place}: class {label}, but data.yaml has {sorted(numbers)}; add it there")
    if len(corners) == 4:
        raise TagmaskError(f"{path}, line {place} is a box; expected polygons: export segmentation, not detection")
    if len(corners) % 2 or not (np.isfinite(corners) & (corners >= -BEYOND) & (corners <= 1 + BEYOND)).all():
        raise TagmaskError(f"{path}, line {place}: expected pairs of numbers from 0 to 1, shares of the image")
    return numbers[label], corners.reshape(-1, 2)
