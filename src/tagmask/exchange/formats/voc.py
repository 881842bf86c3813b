"""PASCAL VOC's segmentation: indexed PNG masks with its palette, lists of images, and a list of classes.

``JPEGImages/`` photographs · ``SegmentationClass/<name>.png`` 0 background, class i as i + 1, 255 no label ·
``ImageSets/Segmentation/<split>.txt`` names · ``classes.txt``, which VOC itself does not have: the name of each number,
a line each, background first.
"""

from collections.abc import Sequence
from pathlib import Path

from tagmask.data.datasets.checks import read_lines
from tagmask.data.images import write_mask
from tagmask.exchange.items import (
    BACKGROUND_NAME,
    NO_LABEL,
    Arrivals,
    Item,
    Parcel,
    class_numbers,
    existing,
    numbered_masks,
    unlabelled_name,
)
from tagmask.system.storage import write_bytes

CLASSES = "classes.txt"
MASKS = "SegmentationClass"


def write(parcel: Parcel) -> list[str]:
    """Write masks, lists and classes; returns what programs for VOC may stumble over."""
    parcel.check_classes("voc")
    for item, mask in parcel.masks():
        write_mask(parcel.folder / MASKS / f"{item.name}.png", mask, NO_LABEL, len(parcel.classes))
    for split in parcel.splits:
        names = [item.name for item in parcel.items if item.split == split]
        write_list(parcel.folder / "ImageSets" / "Segmentation" / f"{split}.txt", names)
    write_list(parcel.folder / CLASSES, (BACKGROUND_NAME, *parcel.classes))
    return other_suffixes(parcel.items)


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks below ``SegmentationClass/``.

    Raises:
        TagmaskError: they or the list of classes are missing, or a class is unknown.
    """
    path = existing(folder / CLASSES, "write the name of each number there, a line each, background first")
    names = dict(enumerate(read_lines(path))) | {NO_LABEL: unlabelled_name(classes)}
    numbers = class_numbers(names, classes, path)
    return Arrivals(numbered_masks(existing(folder / MASKS, "expected the masks there, one PNG an image"), numbers))


def write_list(path: Path, lines: Sequence[str]) -> None:
    """Write lines of text."""
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def other_suffixes(items: Sequence[Item]) -> list[str]:
    """That some photographs are not called .jpg, which programs for VOC may take for granted."""
    others = sum(item.image is not None and not item.image.endswith(".jpg") for item in items)
    return [f"{others} photographs are not called .jpg; programs that look for .jpg alone miss them."] if others else []
