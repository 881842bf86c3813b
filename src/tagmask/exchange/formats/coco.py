"""COCO instances: an annotation for each part of a class that hangs together, as run lengths or polygons.

``annotations/instances_default.json`` · ``images/`` photographs, where they are copied. Run lengths and polygons alike
hold every pixel; the holes of polygons are joined to the outline by a cut. Pixels without label are a category of
their own, there only if it is needed, whose annotations are crowds, which programs for COCO pass over.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from tagmask.contracts import MaskArray
from tagmask.conventions import IGNORE
from tagmask.data.datasets.coco.files import ImageEntry, read_instances
from tagmask.data.datasets.coco.regions import Outline, Regions
from tagmask.data.datasets.paths import image_id
from tagmask.errors import TagmaskError
from tagmask.exchange.items import (
    Arrival,
    Arrivals,
    Parcel,
    Size,
    box,
    check_size,
    class_numbers,
    json_file,
    parts,
    regions,
    translated,
    unlabelled_name,
)
from tagmask.exchange.options import Segmentation
from tagmask.exchange.polygons import INSET, outlines
from tagmask.system.rle import encode_counts, pixel_runs
from tagmask.system.storage import write_bytes

FILE = Path("annotations") / "instances_default.json"
Entry = dict[str, Any]


def write(parcel: Parcel) -> list[str]:
    """Write the annotations; nothing is lost."""
    images: list[Entry] = []
    annotations: list[Entry] = []
    for number, (item, mask) in enumerate(parcel.masks(), 1):
        name = item.file if item.image is None else Path(item.image).name
        images.append({"id": number, "file_name": name, "height": mask.shape[0], "width": mask.shape[1]})
        for entry in _annotations(mask, parcel):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **entry})
    unlabelled = any(entry["iscrowd"] for entry in annotations)
    names = (*parcel.classes, *([unlabelled_name(parcel.classes)] if unlabelled else []))
    content = {
        "info": {"description": f"masks by tagmask, recipe {parcel.title}"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(names, 1)],
    }
    write_bytes(parcel.folder / FILE, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
    return []


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks of all images that the file lists; one without annotations is background alone.

    Raises:
        TagmaskError: there is no such file, it is damaged, or a category is unknown.
    """
    path = json_file(folder)
    try:
        found = read_instances(path)
    except OverflowError as error:
        raise TagmaskError(f"{path} holds numbers that no image has ({error}); export it again") from error
    numbers = class_numbers(dict(enumerate(found.names, 1)), classes, path) | {0: 0, IGNORE: IGNORE}
    arrivals = Arrivals(notes=list(found.notes))
    for picture in found.pictures:
        name = image_id(picture.file_name or picture.key)
        drawing = _Drawing(picture, found.outlines[picture.key], numbers)
        arrivals.masks.append(Arrival(name, f"{path.name}, image {name}", drawing))
    return arrivals


@dataclass(frozen=True)
class _Drawing:
    """The annotations of an image, larger ones below smaller ones."""

    picture: ImageEntry
    annotations: list[Outline]
    numbers: Mapping[int, int]

    def __call__(self, size: Size) -> MaskArray:
        check_size(self.picture.size, size)
        for each in self.annotations:
            if each.parts is None:
                raise ValueError(f"annotation {each.name}: {each.fault or 'it has no outline'}")
        return translated(Regions([self.annotations]).paint(0, *size), self.numbers)


def _annotations(mask: MaskArray, parcel: Parcel) -> Iterator[Entry]:
    """Annotations without ids: parts of each class, then what has no label, as a crowd."""
    for number in regions(mask):
        if number == IGNORE:
            yield _entry(mask == IGNORE, "rle") | {"category_id": len(parcel.classes) + 1, "iscrowd": 1}
            continue
        for part in parts(mask, number):
            yield _entry(part, parcel.segmentation) | {"category_id": number, "iscrowd": 0}


def _entry(region: Bool[np.ndarray, "h w"], segmentation: Segmentation) -> Entry:
    left, top, right, bottom = box(region)
    # Coordinates that are not larger than 1 are taken for shares of the image by some readers, ours among them.
    is_drawn = segmentation == "polygons" and max(bottom, right) > 1
    return {
        "segmentation": _polygons(region[top:bottom, left:right], left, top) if is_drawn else _runs(region),
        "area": int(region.sum()),
        "bbox": [left, top, right - left, bottom - top],
    }


def _runs(region: Bool[np.ndarray, "h w"]) -> Entry:
    return {"size": list(region.shape), "counts": encode_counts(pixel_runs(region))}


def _polygons(region: Bool[np.ndarray, "_ _"], left: int, top: int) -> list[list[float]]:
    return [(polygon + np.array([left, top])).round(1).ravel().tolist() for polygon in outlines(region, INSET)]
