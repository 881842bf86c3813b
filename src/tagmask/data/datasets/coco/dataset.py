"""MS-COCO 2014 and 2017, and anybody's data in its format: tags and semantic masks from the annotation files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image

from tagmask.config import CocoData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.checks import (
    LEFT_OUT,
    NAMES_SHOWN,
    Problem,
    Problems,
    class_numbers,
    existing_folder,
    renumbering,
    settle,
)
from tagmask.data.datasets.class_names import background_notes
from tagmask.data.datasets.coco.files import ImageEntry, Instances, Size, read_instances
from tagmask.data.datasets.coco.layout import annotation_files, image_folders, is_official, located
from tagmask.data.datasets.coco.regions import Outline, Regions
from tagmask.data.datasets.folder import image_id
from tagmask.data.datasets.held_out import hold_out
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.images import image_size, read_image
from tagmask.data.stretch import stretch_of
from tagmask.errors import TagmaskError

SAME_SHAPE = 0.02  # sizes whose sides have the same ratio but for this share are the same picture at two scales


@dataclass(frozen=True)
class _Entry:
    """An image of a file: where it is, and what is known of it."""

    split: str
    picture: ImageEntry
    instances: Instances
    path: Path | None


class Coco(Dataset):
    """Images with annotations in COCO's format.

    Class ids are contiguous, in the order of the category ids. A tag is given by any annotation, crowds included. In
    masks, crowds are unlabelled and lie under the objects, and smaller objects lie over larger ones. With fewer
    classes configured, the tags of the others are dropped and their pixels unlabelled. Ids are the paths of the images
    below the data folder, without ``images/`` before them: ``train2014/COCO_train2014_000000000009``.

    Args:
        config: year and splits, or the names of files and folders.
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
        notes: list[str] = []
        files = annotation_files(config, root, notes)
        self.name = f"COCO {config.year}" if is_official(config, root, files.values()) else root.resolve().name
        read = {split: read_instances(path) for split, path in files.items()}
        notes.extend(note for instances in read.values() for note in instances.notes)
        training, *others = read.values()
        self._known, renamed = _names(training, others, notes)
        offered = _offered(config, read.values(), self._known, notes)
        self._numbers = class_numbers(config.classes, offered)
        self.classes = tuple(self._numbers)
        problems = Problems()
        entries = self._entries(read, problems, notes)
        self._paths = {key: entry.path for key, entry in entries.items() if entry.path is not None}
        records = [self._record(key, entry, renamed) for key, entry in entries.items()]
        records = hold_out(records, config.val_split, config.val_fraction) if not others else records
        self._saliency = SaliencyFiles(config, root, flat=True)
        kept, self.skipped = settle(records, self._paths, self.classes, config, problems, verify)
        self._saliency.note_missing(kept, problems)
        problems.raise_any(root)
        self.records = self._with_masks(kept, entries, renamed, notes)
        notes.extend((*background_notes(self.classes), *problems.remarks))
        notes.extend(_split_notes(self.records, self.skipped, config))
        self.notes = tuple(notes)

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _entries(self, read: dict[str, Instances], problems: Problems, notes: list[str]) -> dict[str, _Entry]:
        """Every image by its id; what is listed twice is a problem, but an image of both splits is a training image."""
        found: dict[str, _Entry] = {}
        twice = 0
        for split, instances in read.items():
            for picture, path in zip(instances.pictures, self._located(split, instances, problems, notes), strict=True):
                if path is None:
                    continue
                key = self._id(path)
                before = found.get(key)
                if before is None:
                    found[key] = _Entry(split, picture, instances, path)
                elif before.path == path and before.split != split:
                    twice += 1
                else:
                    same = before.path == path
                    problems.add(Problem.DUPLICATE_ROW if same else Problem.DUPLICATE_ID, str(picture.file_name))
        if twice:
            notes.append(f"{twice} images are listed for training and for validation; they are training images.")
        return found

    def _located(self, split: str, instances: Instances, problems: Problems, notes: list[str]) -> list[Path | None]:
        nameless = [picture.key for picture in instances.pictures if picture.file_name is None]
        if nameless and self._config.on_bad_image == "skip":
            notes.append(f"{len(nameless)} images of {instances.path.name} have no file_name and are left out.")
        for key in nameless if self._config.on_bad_image == "error" else ():
            problems.add(Problem.MISSING, f"the image with id {key} in {instances.path.name} (no file_name)")
        names = [picture.file_name for picture in instances.pictures if picture.file_name is not None]
        places = iter(located(names, image_folders(self._config, self._root, split, instances.path), notes))
        return [None if picture.file_name is None else next(places) for picture in instances.pictures]

    def _id(self, path: Path) -> str:
        named = [self._root / self._config.images] if self._config.images else []
        for folder in (self._root / "images", self._root, *named, path.parent):
            if path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts:
                return image_id(path.relative_to(folder).as_posix())
        return image_id(path.name)

    def _record(self, key: str, entry: _Entry, renamed: dict[str, str]) -> Record:
        places = {outline.place for outline in entry.instances.outlines[entry.picture.key]}
        names = {renamed.get(name, name) for name in (entry.instances.names[place] for place in places)}
        return Record(key, tuple(sorted(self._numbers[name] for name in names if name in self._numbers)), entry.split)

    # ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _with_masks(
        self, records: Iterable[Record], entries: dict[str, _Entry], renamed: dict[str, str], notes: list[str]
    ) -> tuple[Record, ...]:
        """The records, with masks where every object can be drawn; their outlines are packed."""
        self._drawn: dict[str, tuple[int, Size, Size]] = {}
        sizes = _Sizes()
        chosen, settled = [], []
        for record in records:
            entry = entries[record.id]
            outlines = entry.instances.outlines[entry.picture.key]
            whole = entry.instances.has_outlines and all(outline.parts is not None for outline in outlines)
            size = sizes.compare(entry.picture, self._paths[record.id], outlines) if whole else None
            if size is not None:
                self._drawn[record.id] = (len(chosen), *size)
                names = [renamed.get(name, name) for name in entry.instances.names]
                places = [self._known.index(name) for name in names]
                chosen.append([replace(outline, place=places[outline.place]) for outline in outlines])
            settled.append(replace(record, has_mask=size is not None))
        self._regions = Regions(chosen)
        notes.extend(sizes.notes())
        return tuple(settled)

    def image_path(self, record: Record) -> Path:
        """The image file."""
        return self._paths[record.id]

    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels."""
        return read_image(self._paths[record.id], self._config.bands, stretch_of(self._config))

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth painted from the annotations, at the size of the photograph; None: it cannot be painted.

        Raises:
            TagmaskError: a region is damaged.
        """
        if record.id not in self._drawn:
            return None
        place, drawn, wanted = self._drawn[record.id]
        try:
            mask = renumbering(self._numbers, self._known)[self._regions.paint(place, *drawn)]
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise TagmaskError(f"the annotations of {record.id} cannot be drawn: {error}; correct them") from error
        if drawn == wanted:
            return mask
        return np.array(Image.fromarray(mask).resize((wanted[1], wanted[0]), Image.Resampling.NEAREST), np.int32)

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)


class _Sizes:
    """Compares the sizes that annotations name with those of the files, and keeps count."""

    def __init__(self) -> None:
        self._scaled: list[str] = []
        self._other: list[str] = []

    def compare(self, picture: ImageEntry, path: Path, outlines: list[Outline]) -> tuple[Size, Size] | None:
        """The size to draw at and that of the photograph; None if they do not fit together."""
        found = image_size(path)
        drawn = picture.size or found
        if found is None or drawn is None:
            return None
        runs = [outline.parts for outline in outlines if isinstance(outline.parts, np.ndarray)]
        if any(int(numbers.sum()) != drawn[0] * drawn[1] for numbers in runs):
            self._other.append(f"{path.name} (run lengths of another size)")
            return None
        if drawn == found:
            return drawn, found
        shown = f"{path.name} ({drawn[1]} x {drawn[0]}, the file {found[1]} x {found[0]})"
        is_same = abs(drawn[0] * found[1] / (drawn[1] * found[0]) - 1) <= SAME_SHAPE
        (self._scaled if is_same else self._other).append(shown)
        return (drawn, found) if is_same else None

    def notes(self) -> Iterator[str]:
        """What was found, in words."""
        if self._scaled:
            yield (
                f"{len(self._scaled)} images have another size than their annotations say: {_some(self._scaled)}; "
                "masks are drawn at the size of the annotations and brought to that of the file."
            )
        if self._other:
            yield (
                f"{len(self._other)} images have another shape than their annotations say: {_some(self._other)}, as if "
                "one of them were turned or cut; they are learned from, and not scored."
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def _split_notes(records: tuple[Record, ...], skipped: tuple[str, ...], config: CocoData) -> Iterator[str]:
    if skipped:
        yield f"{len(skipped)} {LEFT_OUT}: {_some(list(skipped))}."
    splits = Counter(record.split for record in records)
    if config.val_split and config.val_split not in splits:
        yield f"No image is held out for validation ({len(records)} images in all); set data.val_fraction higher."


# ── categories ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _names(training: Instances, others: list[Instances], notes: list[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """All names of the files, those of the training images first, and what is called otherwise in the other file."""
    known = list(training.names)
    renamed: dict[str, str] = {}
    for other in others:
        for name in other.names:
            alike = [each for each in known if each.casefold() == name.casefold()]
            if name not in known and len(alike) == 1 and alike[0] not in other.names:
                renamed[name] = alike[0]
                notes.append(f"The category {name!r} of {other.path.name} is taken as {alike[0]!r}.")
        if not {renamed.get(name, name) for name in other.names} & set(known):
            raise TagmaskError(
                f"{other.path} and {training.path} have no category in common ({_some(list(other.names))}; "
                f"{_some(known)}); give files of the same categories"
            )
        ids = {category.name: category.key for category in training.categories}
        if any(ids.get(renamed.get(each.name, each.name), each.key) != each.key for each in other.categories):
            notes.append(f"{other.path.name} gives the categories other ids; they are matched by their names.")
        known += [name for name in other.names if renamed.get(name, name) not in known]
    return tuple(known), renamed


def _used(instances: Instances) -> set[str]:
    return {instances.names[outline.place] for each in instances.outlines.values() for outline in each}


def _offered(config: CocoData, read: Iterable[Instances], known: tuple[str, ...], notes: list[str]) -> tuple[str, ...]:
    """The classes to be learned: the categories of the training images, without one that only heads the others."""
    training, *others = read
    used = set().union(*map(_used, [training, *others]))
    strange = [name for name in known if name not in training.names and name in used]
    if strange:
        notes.append(
            f"Categories that {training.path.name} does not have are not learned, and their pixels have no label: "
            f"{_some(strange)}."
        )
    if config.classes is not None:
        return training.names
    above = {each.above for each in training.categories if each.above != each.name}
    heads = [name for name in training.names if name in above and name not in used]
    if heads:
        notes.append(
            f"The categories {_some(heads)} of {training.path.name} have no annotation and only stand above others; "
            "they are no classes."
        )
    return tuple(name for name in training.names if name not in heads)
