"""The formats: one module each, that writes a folder a tool reads and reads what the tool writes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tagmask.exchange.formats import coco, cvat, fiftyone, label_studio, ultralytics_semantic, voc, yolo
from tagmask.exchange.items import Arrivals, Parcel
from tagmask.exchange.options import FormatName, Photographs


class Format(NamedTuple):
    """How a format is written and read.

    Attributes:
        write: the masks of a parcel; returns remarks.
        read: the masks of a folder, for the classes of a run.
        image_folder: where photographs lie in it; ``{split}`` is that of the image.
        photographs: what becomes of them, unless it is said otherwise.
        flat: whether names lose their folders.
        keeps_unlabelled: whether pixels without label have a place in it.
        file_each: whether each image has a file of its own; else one file names all of them.
    """

    write: Callable[[Parcel], list[str]]
    read: Callable[[Path, Sequence[str]], Arrivals]
    image_folder: str
    photographs: Photographs = "copy"
    flat: bool = True
    keeps_unlabelled: bool = True
    file_each: bool = True


FORMATS: dict[FormatName, Format] = {
    "coco": Format(coco.write, coco.read, "images", "none", file_each=False),
    "yolo": Format(yolo.write, yolo.read, "images/{split}", keeps_unlabelled=False),
    "ultralytics-semantic": Format(ultralytics_semantic.write, ultralytics_semantic.read, "images/{split}"),
    "cvat": Format(cvat.write, cvat.read, "JPEGImages", "none", flat=False),
    "label-studio": Format(label_studio.write, label_studio.read, "images", "none", file_each=False),
    "voc": Format(voc.write, voc.read, "JPEGImages"),
    "fiftyone": Format(fiftyone.write, fiftyone.read, "data"),
}
