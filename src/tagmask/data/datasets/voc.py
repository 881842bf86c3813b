"""PASCAL VOC 2012 in the VOCdevkit layout, with the additional SBD training images where their list is there."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float32

from tagmask.config import FolderData, VocData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.checks import (
    Problem,
    Problems,
    check_numbers,
    class_numbers,
    existing_folder,
    read_lines,
    renumbering,
    settle,
)
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.datasets.tables import read_table
from tagmask.data.images import read_image, read_mask
from tagmask.errors import TagmaskError

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


class Voc(Dataset):
    """PASCAL VOC 2012: images by list file, tags from the XML annotations or a table.

    The records are those of the training list and then of the validation list; an image that is in both is a
    training image. With fewer classes configured, the tags of the others are dropped and their pixels unlabelled.

    Args:
        config: splits, list, tags and masks.
        root: the folder VOC2012, or one that holds it.
        verify: decode every image once.

    Attributes:
        score_ids: the official training images, on whose masks seeds are scored; None if their list is missing.
        skipped: ids of the bad images left out under ``on_bad_image: skip``.
        notes: remarks worth showing, one sentence each.

    Raises:
        TagmaskError: anything is wrong with the data; all of it is listed by name.
    """

    def __init__(self, config: VocData, root: Path, verify: bool = True) -> None:
        self._config = config
        self._folder = _voc_folder(root)
        self.name = "VOC 2012"
        self.ignore_value = config.ignore_value
        self._numbers = class_numbers(config.classes, VOC_CLASSES)
        self.classes = tuple(self._numbers)
        official = self._folder / "ImageSets" / "Segmentation" / "train.txt"
        self.score_ids = frozenset(_ids(official)) if official.is_file() else None
        self._saliency = SaliencyFiles(config, self._folder)
        problems = Problems()
        records = self._records(problems)
        paths = {record.id: self.image_path(record) for record in records}
        self.records, self.skipped = settle(records, paths, self.classes, config, problems, verify)
        self._saliency.note_missing(self.records, problems)
        problems.raise_any(self._folder)
        self.notes = (f"{len(self.skipped)} bad images are left out.",) if self.skipped else ()

    def _records(self, problems: Problems) -> list[Record]:
        table = _tag_table(self._folder, self._config, problems)
        splits = self._splits()
        records = []
        for key, split in splits.items():
            tags = table.get(key) if table is not None else _xml_tags(self._folder / "Annotations" / f"{key}.xml")
            if tags is None and split == self._config.train_split:
                problems.add(Problem.NO_TAGS, key)
            numbers = tuple(sorted({self._numbers[tag] for tag in tags or () if tag in self._numbers}))
            records.append(Record(key, numbers, split, has_mask=self._mask_path(key).is_file()))
        return records

    def _splits(self) -> dict[str, str]:
        config = self._config
        splits = dict.fromkeys(_ids(self._list_path(config.train_split, config.train_list)), config.train_split)
        held_out = _ids(self._list_path(config.val_split, None)) if config.val_split else ()
        return splits | {key: config.val_split for key in held_out if config.val_split and key not in splits}

    def _list_path(self, split: str, named: str | None) -> Path:
        folder = self._folder / "ImageSets" / "Segmentation"
        choices = (
            [self._folder / named] if named else [folder / f"{split}.txt", folder / f"{split.replace('_', '')}.txt"]
        )
        path = next((path for path in choices if path.is_file()), None)
        if path is None:
            raise TagmaskError(
                f"the list {choices[0]} is missing; put it there, set data.train_list, or choose another split "
                "(data.train_split=train needs no SBD)"
            )
        return path

    def _mask_path(self, key: str) -> Path:
        return self._folder / self._config.masks / f"{key}.png"

    def image_path(self, record: Record) -> Path:
        """The JPEG file."""
        return self._folder / "JPEGImages" / f"{record.id}.jpg"

    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels."""
        return read_image(self.image_path(record))

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth, if the record has any."""
        if not record.has_mask:
            return None
        path = self._mask_path(record.id)
        mask = check_numbers(read_mask(path, self.ignore_value), len(VOC_CLASSES), path)
        return renumbering(self._numbers, VOC_CLASSES)[mask]

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)


def _voc_folder(root: Path) -> Path:
    existing_folder(root, "the folder VOC2012 or VOCdevkit")
    choices = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    folder = next((path for path in choices if (path / "ImageSets").is_dir()), None)
    if folder is None:
        raise TagmaskError(f"{root} holds no VOC2012 (JPEGImages, ImageSets, ...); give the folder that does")
    existing_folder(folder / "JPEGImages", "the VOC photographs")
    return folder


def _ids(path: Path) -> tuple[str, ...]:
    """Lines are ids, or an image path and a mask path: the last part without its extension is the id."""
    return tuple(Path(line.split()[0]).stem for line in read_lines(path))


def _tag_table(folder: Path, config: VocData, problems: Problems) -> dict[str, tuple[str, ...]] | None:
    if config.tag_table is None:
        return None
    table = read_table(folder / config.tag_table, FolderData.model_validate({}), problems)
    for tag in sorted({tag for row in table.rows for tag in row.tags} - set(VOC_CLASSES)):
        problems.add(Problem.UNKNOWN_TAG, repr(tag))
    return {Path(row.image).stem: row.tags for row in table.rows}


def _xml_tags(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        if "<!" in text.replace("<!--", ""):  # declarations could define entities that expand without end
            raise TagmaskError(f"{path} declares a document type or entities; expected a plain VOC annotation")
        names = [element.text or "" for element in ElementTree.fromstring(text).iterfind("object/name")]
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise TagmaskError(f"cannot read the annotation {path}: {error}; replace it") from error
    return tuple(name.strip() for name in names)
