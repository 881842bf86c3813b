"""PASCAL VOC 2012 in the VOCdevkit layout, with the additional SBD training images, or own classes in that layout."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tagmask.config import FolderData, VocData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.checks import (
    LEFT_OUT,
    NAMES_SHOWN,
    Problem,
    Problems,
    check_classes,
    check_numbers,
    class_numbers,
    read_lines,
    renumbering,
    settle,
)
from tagmask.data.datasets.class_names import background_notes
from tagmask.data.datasets.folder import image_id
from tagmask.data.datasets.held_out import hold_out
from tagmask.data.datasets.masks import check_mask_sizes, check_mask_values, look_at_mask, mask_reading
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.datasets.tables import read_table
from tagmask.data.datasets.voc.annotations import read_annotation
from tagmask.data.datasets.voc.layout import VocImages, splits_of, voc_folder
from tagmask.data.images import read_image
from tagmask.data.orientation import shape_of
from tagmask.data.stretch import stretch_of
from tagmask.system.workers import several_at_once

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

Names = dict[str, tuple[str, ...] | None]


class Voc(Dataset):
    """PASCAL VOC 2012, or own classes in its layout: images by list file, tags from the XML annotations or a table.

    The records are those of the training list and then of the validation list; an image that is in both is a
    training image. Without lists all images are used, and without a validation list a share of them is held out. With
    fewer classes configured, the tags of the others are dropped and their pixels unlabelled. Classes that are not those
    of VOC make it a data set of their own, whose masks number them in their order.

    Args:
        config: splits, list, classes, tags and masks.
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
        self._folder = voc_folder(root)
        problems, notes = Problems(), list[str]()
        self._images = VocImages(self._folder)
        splits, is_one_list = splits_of(self._folder, config, self._images, notes)
        for key in sorted(self._images.doubled & splits.keys()):
            problems.add(Problem.DUPLICATE_ID, key)
        names = self._names(splits)
        self._known, self._numbers = _classes(config, names, self._folder, notes)
        self.classes = tuple(self._numbers)
        self._reading = mask_reading(config, self._known)
        is_own = self._known != VOC_CLASSES
        self.name = self._folder.resolve().name if is_own else "VOC 2012"
        if config.tag_table is not None:
            _note_unknown(names, self._known, problems)
        notes.extend(_dropped(names, self._numbers) if is_own else ())
        self.score_ids = None if is_own else self._official()
        self._saliency = SaliencyFiles(config, self._folder)
        records = self._records(splits, names, is_own, problems, notes)
        records = hold_out(records, config.val_split, config.val_fraction) if is_one_list else records
        paths = {record.id: self.image_path(record) for record in records}
        self.records, self.skipped = settle(records, paths, self.classes, config, problems, verify)
        self._saliency.note_missing(self.records, problems)
        notes.extend(self._look_at_masks(problems) if verify else ())
        problems.raise_any(self._folder)
        if self.skipped:
            notes.append(f"{len(self.skipped)} {LEFT_OUT}.")
        self.notes = (*notes, *background_notes(self.classes), *problems.remarks)

    def _look_at_masks(self, problems: Problems) -> list[str]:
        """Whether the masks that scoring needs fit images, classes and tags."""
        splits = (self._config.train_split, self._config.val_split)
        scored = [record for record in self.records if record.has_mask and record.split in splits]
        if self.score_ids is not None:
            scored = [record for record in scored if record.split != splits[0] or record.id in self.score_ids]
        known = list(self._known)
        looks = several_at_once(
            lambda record: look_at_mask(record.id, self._mask_path(record.id), self._reading), scored
        )
        numbered = [replace(r, tags=tuple(known.index(self.classes[tag]) for tag in r.tags)) for r in scored]
        check_mask_values(looks, numbered, known, problems)
        shapes = several_at_once(lambda record: shape_of(self.image_path(record)), scored)
        fitting = {record.id: shape for record, shape in zip(scored, shapes, strict=True) if shape is not None}
        return list(check_mask_sizes(looks, fitting, False, problems))

    def _official(self) -> frozenset[str] | None:
        official = self._folder / "ImageSets" / "Segmentation" / "train.txt"
        return frozenset(map(self._images.key, read_lines(official))) if official.is_file() else None

    def _names(self, splits: Mapping[str, str]) -> Names:
        """The names of the classes of each image; None: nobody says."""
        table = _tag_table(self._folder, self._config)
        if table is not None:
            return {key: table.get(key, table.get(Path(key).name)) for key in splits}
        leave_out = self._config.difficult == "leave_out"
        found: Names = {}
        for key in splits:
            objects = read_annotation(self._folder / "Annotations" / f"{key}.xml")
            named = (
                None if objects is None else [each.name for each in objects if not (leave_out and each.is_difficult)]
            )
            found[key] = None if named is None else tuple(dict.fromkeys(named))
        return found

    def _records(
        self, splits: Mapping[str, str], names: Names, is_own: bool, problems: Problems, notes: list[str]
    ) -> list[Record]:
        records = []
        silent = []
        for key, split in splits.items():
            tags = names[key]
            if tags is None and split == self._config.train_split:
                silent.append(key)
            numbers = tuple(sorted({self._numbers[tag] for tag in tags or () if tag in self._numbers}))
            records.append(Record(key, numbers, split, has_mask=self._mask_path(key).is_file()))
        if is_own and self._config.tag_table is None and silent:
            notes.append(f"{len(silent)} training images have no XML annotation and show no class: {_some(silent)}.")
        else:
            for key in silent:
                problems.add(Problem.NO_TAGS, key)
        return records

    def _mask_path(self, key: str) -> Path:
        return self._folder / self._config.masks / f"{key}.png"

    def image_path(self, record: Record) -> Path:
        """The image file."""
        return self._images.path(record.id)

    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels."""
        return read_image(self.image_path(record), self._config.bands, stretch_of(self._config))

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth, if the record has any."""
        if not record.has_mask:
            return None
        path = self._mask_path(record.id)
        mask = check_numbers(self._reading.read(path), len(self._known), path)
        return renumbering(self._numbers, self._known)[mask]

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)


# ── classes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _classes(config: VocData, names: Names, folder: Path, notes: list[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """All classes that masks may number, and the numbers of those that are learned."""
    found = tuple(sorted({tag for tags in names.values() for tag in tags or ()}))
    if config.classes is not None:
        is_voc = set(config.classes) <= set(VOC_CLASSES)
        known = VOC_CLASSES if is_voc else check_classes(config.classes, "data.classes")
        return known, class_numbers(config.classes, known)
    if config.tag_table is not None or not found or set(found) == set(VOC_CLASSES):
        return VOC_CLASSES, class_numbers(None, VOC_CLASSES)
    alike = [name for name in found if sum(name.casefold() == other.casefold() for other in found) > 1]
    if alike:
        notes.append(f"Classes that differ only in case are classes of their own: {_some(alike)}.")
    if set(found) <= set(VOC_CLASSES):
        notes.append(f"Of the classes of VOC the annotations name {_some(found)}; masks are numbered as those of VOC.")
        return VOC_CLASSES, class_numbers(found, VOC_CLASSES)
    notes.append(
        f"The classes are those of the XML annotations, sorted: {_some(found)}; data.classes sets another order."
    )
    return found, class_numbers(None, check_classes(found, f"the annotations in {folder}"))


def _note_unknown(names: Names, known: tuple[str, ...], problems: Problems) -> None:
    for tag in sorted({tag for tags in names.values() for tag in tags or ()} - set(known)):
        problems.add(Problem.UNKNOWN_TAG, repr(tag))


def _dropped(names: Names, numbers: dict[str, int]) -> Iterator[str]:
    """What is said of names that are none of the classes: they may be written wrongly."""
    counts = Counter(tag for tags in names.values() for tag in tags or () if tag not in numbers)
    if counts:
        named = [f"{tag!r} ({count} images)" for tag, count in sorted(counts.items())]
        yield f"Names in the annotations that are none of data.classes are not learned: {_some(named)}."


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def _tag_table(folder: Path, config: VocData) -> dict[str, tuple[str, ...]] | None:
    if config.tag_table is None:
        return None
    problems = Problems()
    table = read_table(folder / config.tag_table, FolderData.model_validate({}), problems)
    problems.raise_any(folder)
    return {image_id(row.image): row.tags for row in table.rows}
