"""MS-COCO 2014 and 2017: tags and semantic masks from the instances JSON."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tagmask.config import CocoData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.conventions import IGNORE
from tagmask.data.datasets.checks import Problems, check_classes, class_numbers, existing_folder, renumbering, settle
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.images import read_image
from tagmask.errors import TagmaskError
from tagmask.system.rle import region_pixels
from tagmask.system.storage import read_json


@dataclass(frozen=True)
class Instances:
    """One instances file.

    Attributes:
        classes: category names in the order of their ids; their places are the contiguous class ids.
        images: the JSON's image entries by image id, in its order.
        objects: the annotations of each image by image id, with the contiguous class id as ``place``.
    """

    classes: tuple[str, ...]
    images: dict[int, dict[str, Any]]
    objects: dict[int, list[dict[str, Any]]]


def read_instances(path: Path) -> Instances:
    """Read an instances file.

    Raises:
        TagmaskError: it is missing, is not JSON, or lacks an entry.
    """
    content: Any = read_json(path)
    try:
        categories = sorted(content["categories"], key=lambda category: category["id"])
        images = {image["id"]: image for image in content["images"]}
        objects: dict[int, list[dict[str, Any]]] = {key: [] for key in images}
        places = {category["id"]: place for place, category in enumerate(categories)}
        for entry in content["annotations"]:
            objects[entry["image_id"]].append({**entry, "place": places[entry["category_id"]]})
        names = check_classes(tuple(category["name"] for category in categories), f"the categories of {path}")
        return Instances(names, images, objects)
    except (KeyError, TypeError) as error:
        raise TagmaskError(f"{path} is not a whole COCO instances file: {error} is missing; fetch it again") from error


# Ground truth is needed by scoring alone, and is large: it is read when first asked for, and not sent to workers.
_READ_LOCK = threading.Lock()
_read_instances_once = lru_cache(maxsize=2)(read_instances)


class Coco(Dataset):
    """COCO's object images.

    Class ids are contiguous, in the order of the category ids. A tag is given by any annotation, crowds included. In
    masks, crowds are unlabelled and lie under the objects, and smaller objects lie over larger ones. With fewer
    classes configured, the tags of the others are dropped and their pixels unlabelled. The ids are
    ``train2014/COCO_train2014_000000000009``.

    Args:
        config: year and splits.
        root: the folder with ``annotations``, ``train2014``, ... (or those under ``images``).
        verify: decode every image once.

    Attributes:
        skipped: ids of the bad images left out under ``on_bad_image: skip``.
        notes: remarks worth showing, one sentence each.

    Raises:
        TagmaskError: anything is wrong with the data; all of it is listed by name.
    """

    def __init__(self, config: CocoData, root: Path, verify: bool = True) -> None:
        self._config = config
        self._root = existing_folder(root, "the COCO folder")
        self.name = f"COCO {config.year}"
        self.ignore_value = config.ignore_value
        splits = dict.fromkeys((config.train_split, config.val_split or config.train_split))
        instances = {split: read_instances(self._annotations(split)) for split in splits}
        self._known = instances[config.train_split].classes
        self._numbers = class_numbers(config.classes, self._known)
        self.classes = tuple(self._numbers)
        self._image_ids: dict[str, int] = {}
        self._paths: dict[str, Path] = {}
        records = [record for split, content in instances.items() for record in self._records(split, content)]
        self._saliency = SaliencyFiles(config, root, flat=True)
        problems = Problems()
        self.records, self.skipped = settle(records, self._paths, self.classes, config, problems, verify)
        self._saliency.note_missing(self.records, problems)
        problems.raise_any(root)
        self.notes = (f"{len(self.skipped)} bad images are left out.",) if self.skipped else ()

    def _annotations(self, split: str) -> Path:
        path = self._root / "annotations" / f"instances_{split}{self._config.year}.json"
        if not path.is_file():
            raise TagmaskError(f"{path} does not exist; give the folder that holds annotations/, or set data.year")
        return path

    def _records(self, split: str, instances: Instances) -> list[Record]:
        if instances.classes != self._known:
            raise TagmaskError(f"{self._annotations(split)} has other categories than the training split; use one set")
        name = f"{split}{self._config.year}"
        choices = (self._root / name, self._root / "images" / name)
        folder = existing_folder(next((path for path in choices if path.is_dir()), choices[0]), "the COCO photographs")
        return [self._record(split, folder, image, instances) for image in instances.images.values()]

    def _record(self, split: str, folder: Path, image: dict[str, Any], instances: Instances) -> Record:
        file_name = Path(image["file_name"]).name
        key = f"{folder.name}/{Path(file_name).stem}"
        self._paths[key] = folder / file_name
        self._image_ids[key] = image["id"]
        names = {self._known[entry["place"]] for entry in instances.objects[image["id"]]}
        tags = tuple(sorted(self._numbers[name] for name in names if name in self._numbers))
        return Record(key, tags, split, has_mask=True)

    def image_path(self, record: Record) -> Path:
        """The JPEG file."""
        return self._paths[record.id]

    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels."""
        return read_image(self._paths[record.id])

    def read_mask(self, record: Record) -> MaskArray:
        """Ground truth painted from the annotations.

        Raises:
            TagmaskError: a region is damaged.
        """
        path = self._annotations(record.split)
        with _READ_LOCK:
            instances = _read_instances_once(path)
        number = self._image_ids[record.id]
        try:
            image = instances.images[number]
            mask = paint(instances.objects[number], image["height"], image["width"])
        except (ValueError, KeyError, TypeError) as error:
            raise TagmaskError(f"{path} has a damaged region in image {number}: {error}; fetch it again") from error
        return renumbering(self._numbers, self._known)[mask]

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)


def paint(objects: list[dict[str, Any]], height: int, width: int) -> MaskArray:
    """Lay objects over each other: crowds first, as unlabelled, then from the largest area to the smallest."""
    mask = np.zeros((height, width), np.int32)
    for entry in sorted(objects, key=lambda entry: (not entry.get("iscrowd"), -entry["area"])):
        number = IGNORE if entry.get("iscrowd") else entry["place"] + 1
        mask[region_pixels(entry["segmentation"], height, width)] = number
    return mask
