"""CVAT's "Segmentation mask 1.1": masks in the colours of a label map, one of classes and one of objects.

``labelmap.txt`` a label a line with its colour · ``ImageSets/Segmentation/default.txt`` names ·
``SegmentationClass/<name>.png`` the colour of each pixel's label · ``SegmentationObject/<name>.png`` which object it
belongs to: here all of a class in an image are one, which CVAT then shows as one mask. Names keep their folders, as
CVAT knows its frames by them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE
from tagmask.data.datasets.checks import read_lines
from tagmask.data.images import image_size, palette, read_image, write_mask
from tagmask.errors import TagmaskError
from tagmask.exchange.formats.voc import MASKS, write_list
from tagmask.exchange.items import (
    NO_LABEL,
    Arrival,
    Arrivals,
    Parcel,
    Size,
    check_size,
    class_numbers,
    existing,
    names_of_numbers,
    pictures,
    regions,
    some,
    translated,
)

LABELS = "labelmap.txt"
LIST = Path("ImageSets") / "Segmentation" / "default.txt"
Colour = tuple[int, int, int]


def write(parcel: Parcel) -> list[str]:
    """Write both kinds of masks, the list and the label map; nothing is lost."""
    parcel.check_classes("cvat")
    _check_names(parcel.classes)
    unlabelled = 0
    for item, mask in parcel.masks():
        write_mask(parcel.folder / MASKS / f"{item.name}.png", mask, NO_LABEL, len(parcel.classes))
        write_mask(parcel.folder / "SegmentationObject" / f"{item.name}.png", _objects(mask))
        unlabelled += IGNORE in mask
    write_list(parcel.folder / LIST, [_quoted(item.name) for item in parcel.items])
    names = names_of_numbers(parcel.classes)
    shown = names if unlabelled else {number: name for number, name in names.items() if number != NO_LABEL}
    lines = [f"{name}:{','.join(map(str, palette()[number].tolist()))}::" for number, name in shown.items()]
    write_list(parcel.folder / LABELS, ["# label:color_rgb:parts:actions", *lines])
    told = f"{unlabelled} masks have pixels without label: the task in CVAT needs the label {names[NO_LABEL]!r} too."
    return [told] if unlabelled else []


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks below ``SegmentationClass/``, of any colours that the label map gives.

    Raises:
        TagmaskError: they or the label map are missing or damaged, or a class is unknown.
    """
    path = existing(folder / LABELS, "expected a label and its colour a line: export as Segmentation mask 1.1")
    numbers = class_numbers(_colours(path), classes, path)
    by_code = {(red << 16) + (green << 8) + blue: number for (red, green, blue), number in numbers.items()}
    found = pictures(existing(folder / MASKS, "expected the masks there, one PNG an image"))
    masks = [Arrival(name, str(file), _ColouredMask(file, by_code)) for name, file in found]
    listed = {_unquoted(line) for line in (read_lines(folder / LIST) if (folder / LIST).exists() else ())}
    without = sorted(listed - {arrival.name for arrival in masks})
    told = f"{len(without)} images are listed without a mask, and are left as they are: {some(without)}."
    return Arrivals(masks, [told] if without else [])


def _objects(mask: MaskArray) -> Int32[np.ndarray, "h w"]:
    """A number from 1 for each class that is there, and one for what has no label."""
    return translated(mask, {0: 0} | {number: place for place, number in enumerate(regions(mask), 1)})


def _check_names(classes: Sequence[str]) -> None:
    """Refuse names that the label map takes for something else.

    Raises:
        TagmaskError: a name has a colon, or begins like a comment.
    """
    wrong = [name for name in classes if ":" in name or name.startswith("#")]
    if wrong:
        raise TagmaskError(f"labels of cvat hold no colon and begin with no #, as {some(wrong)} do; choose --to coco")


def _quoted(name: str) -> str:
    """A name as lists of CVAT hold it: in quotes where it has blanks."""
    return f'"{name}"' if re.search(r"\s", name) else name


def _unquoted(line: str) -> str:
    return line[1:].partition('"')[0] if line.startswith('"') else line


def _colours(path: Path) -> dict[Colour, str]:
    """The label of each colour."""
    found: dict[Colour, str] = {}
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(.+?):(\d{1,3}),(\d{1,3}),(\d{1,3})(:.*)?", line)
        if match is None or max(map(int, match.group(2, 3, 4))) > 255:
            raise TagmaskError(f"{path}: {line!r} is no label; expected name:red,green,blue:: with numbers to 255")
        red, green, blue = map(int, match.group(2, 3, 4))
        if found.setdefault((red, green, blue), match[1]) != match[1]:
            raise TagmaskError(f"{path} gives one colour to {found[red, green, blue]!r} and {match[1]!r}; correct it")
    return found


def _codes(colours: UInt8[np.ndarray, "h w 3"]) -> Int32[np.ndarray, "h w"]:
    return colours.astype(np.int32) @ np.array([65536, 256, 1], np.int32)


@dataclass(frozen=True)
class _ColouredMask:
    path: Path
    numbers: Mapping[int, int]

    def __call__(self, size: Size) -> MaskArray:
        check_size(image_size(self.path), size)
        codes = _codes(read_image(self.path))
        unknown = [code for code in np.unique(codes).tolist() if code not in self.numbers]
        if unknown:
            colours = some((code >> 16, code >> 8 & 255, code & 255) for code in unknown)
            raise ValueError(f"it has the colours {colours}, which {LABELS} does not list")
        return translated(codes, self.numbers)
