"""Your own images: a folder, and a table of tags or one subfolder per class."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32

from tagmask.config import FolderData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.checks import (
    LEFT_OUT,
    NAMES_SHOWN,
    Problem,
    Problems,
    check_numbers,
    existing_folder,
    settle,
)
from tagmask.data.datasets.masks import (
    check_mask_sizes,
    check_mask_values,
    look_at_mask,
    mask_reading,
    without_background,
)
from tagmask.data.datasets.paths import IMAGE_SUFFIXES, ImageFiles, PathsBelow, Unclear, image_id, listed_ids
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.datasets.tables import Row, Table, find_table, read_table
from tagmask.data.datasets.tagged_rows import NOBODY_HELD_OUT, records_of, taught_everywhere, thin, with_class_names
from tagmask.data.orientation import read_photograph, shape_of
from tagmask.data.stretch import stretch_of
from tagmask.errors import TagmaskError
from tagmask.system.workers import several_at_once

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


class Folder(Dataset):
    """Images anywhere below a folder, tags from a table or from the names of subfolders.

    Image files that the table does not list are not used. An image without tags is a negative. Classes are the
    configured ones, else the lines of ``classes.txt`` in the data folder, else the one-hot columns or subfolders in
    order, else all tags found, sorted.

    Args:
        config: where things are and what columns are called.
        root: the data folder.
        verify: decode every image and every mask that scoring needs once, to find the bad ones before training does.

    Attributes:
        skipped: ids of the bad images left out under ``on_bad_image: skip``.
        notes: remarks worth showing, one sentence each.

    Raises:
        TagmaskError: anything is wrong with the data; all of it is listed by name.
    """

    def __init__(self, config: FolderData, root: Path, verify: bool = True) -> None:
        self._config = config
        self._root = existing_folder(root, "the data folder")
        self._saliency = SaliencyFiles(config, root)
        problems = Problems()
        masks = _mask_files(config, root)
        files = _image_files(
            config, root, [folder for folder in (masks and masks.root, self._saliency.folder) if folder]
        )
        table = read_table(find_table(root, config), config, problems) if config.tags else _subfolders(files)
        rows, notes = _by_id(table.rows, files, problems)
        self.name = root.resolve().name
        self.classes, rows, named = with_class_names(rows, table.classes, root, config, problems)
        self._paths = PathsBelow(files.root, {key: row.image for key, row in rows.items()})
        self._masks = _masks_of(rows, masks, problems)
        self._reading = mask_reading(config, self.classes)
        records, kept = records_of(rows, self.classes, self._masks, config, problems)
        self.records, self.skipped = settle(records, self._paths, self.classes, config, problems, verify)
        self._saliency.note_missing(self.records, problems)
        looked = tuple(self._look(masks, problems)) if verify else ()
        problems.raise_any(root)
        passed = tuple(_notes(self.records, self.skipped, files, rows, config))
        taught = taught_everywhere(self.split(config.train_split), self.classes)
        self.notes = (*table.notes, *notes, *named, *kept, *looked, *passed, *taught, *problems.remarks)

    def _look(self, masks: ImageFiles | None, problems: Problems) -> Iterator[str]:
        """Look at shapes and masks of the images in use; yields remarks."""
        in_use = [r for r in self.records if r.split in (self._config.train_split, self._config.val_split)]
        in_use = [record for record in in_use if self._paths[record.id].is_file()]
        shapes = dict(
            zip(
                (r.id for r in in_use),
                several_at_once(lambda record: shape_of(self._paths[record.id]), in_use),
                strict=True,
            )
        )
        yield from thin(shapes)
        yield from _spare_masks(masks, self._masks, self._paths) if masks else ()
        wanted = listed_ids(self._config.score_ids, self._root)
        scored = [
            r
            for r in in_use
            if r.has_mask and (wanted is None or r.split != self._config.train_split or r.id in wanted)
        ]
        looks = several_at_once(lambda record: look_at_mask(record.id, self._masks[record.id], self._reading), scored)
        check_mask_values(looks, scored, self.classes, problems)
        yield from without_background(looks)
        known = {key: shape for key, shape in shapes.items() if shape}
        yield from check_mask_sizes(looks, known, self._config.exif == "as_stored", problems)

    def image_path(self, record: Record) -> Path:
        """The image file."""
        return self._paths[record.id]

    def read_image(self, record: Record) -> ImageArray:
        """RGB pixels, upright unless they are wanted as stored."""
        stored = self._config.exif == "as_stored"
        return read_photograph(self._paths[record.id], self._config.bands, stored, stretch_of(self._config))

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth, if the record has any.

        Raises:
            TagmaskError: the mask is unreadable or holds a number that is no class.
        """
        if not record.has_mask:
            return None
        path = self._masks[record.id]
        return check_numbers(self._reading.read(path), len(self.classes), path)

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _image_files(config: FolderData, root: Path, without: list[Path]) -> ImageFiles:
    """The images of the configured folder, or of ``images`` beside the table of tags, or of the data folder."""
    beside = root / "images" if config.tags and (root / "images").is_dir() else root
    folder = beside if config.images is None else root / config.images
    files = ImageFiles(existing_folder(folder, "the image folder (data.images)"), without, data=root)
    if not files.names:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        seen = f" (passed over: {', '.join(files.passed_over[:3])})" if files.passed_over else ""
        raise TagmaskError(f"no image files below {folder}{seen}; expected {kinds}: check --data and data.images")
    return files


def _mask_files(config: FolderData, root: Path) -> ImageFiles | None:
    if config.masks is None:
        return None
    return ImageFiles(existing_folder(root / config.masks, "the folder of masks (data.masks)"))


def _masks_of(keys: Iterable[str], masks: ImageFiles | None, problems: Problems) -> dict[str, Path]:
    """The mask of each image that has one."""
    if masks is None:
        return {}
    keys = tuple(keys)
    found = {key: masks.named(key) for key in keys}
    for key, names in found.items():
        if len(names) > 1:
            problems.add(Problem.AMBIGUOUS, f"mask of {key} (there are {', '.join(names)})")
    if keys and not any(found.values()):
        there = f"there are {', '.join(masks.names[:3])}, ..." if masks.names else "there is no picture"
        problems.add(Problem.NO_MASKS, f"{masks.root} (looked for {keys[0]}.png, ...; {there})")
    return {key: masks.root / names[0] for key, names in found.items() if names}


def _spare_masks(masks: ImageFiles, used: Mapping[str, Path], images: Mapping[str, Path]) -> Iterator[str]:
    """A remark on masks of no image, where there are images without a mask."""
    spare = sorted(set(masks.names) - {path.relative_to(masks.root).as_posix() for path in used.values()})
    if spare and len(used) < len(images):
        lacking = next(key for key in images if key not in used)
        yield (
            f"{len(spare)} files in {masks.root} are masks of no image, such as {spare[0]}, while "
            f"{len(images) - len(used)} images have no mask, such as {lacking}."
        )


def _subfolders(files: ImageFiles) -> Table:
    rows = tuple(Row(name, PurePosixPath(name).parts[:-1][:1]) for name in files.names)
    tags = tuple(sorted({tag for row in rows for tag in row.tags}))
    if tags and {tag.lower() for tag in tags} <= _SPLITS:
        raise TagmaskError(
            f"the folders in {files.root} are called {', '.join(tags)}, which are splits; expected one folder per "
            f"class: set data.images={tags[0]}, or write a table of tags with a split column"
        )
    return Table(rows, tags)


def _by_id(rows: Iterable[Row], files: ImageFiles, problems: Problems) -> tuple[dict[str, Row], tuple[str, ...]]:
    """The row of each image, with its file's name, and remarks."""
    found: dict[str, Row] = {}
    respelled = []
    for row in rows:
        file = files.find(row.image)
        if isinstance(file, Unclear):
            problems.add(file.problem, file.text)
            continue
        key = image_id(file.name)
        if key in found:
            same = found[key].image == file.name
            problems.add(Problem.DUPLICATE_ROW if same else Problem.DUPLICATE_ID, row.image)
            continue
        found[key] = row if row.image == file.name else replace(row, image=file.name)
        if file.respelled:
            respelled.append(f"{row.image} as {file.name}")
    said = f"{len(respelled)} images were found in another case: {', '.join(respelled[:3])}."
    return found, (said,) if respelled else ()


def _notes(
    records: Iterable[Record], skipped: tuple[str, ...], files: ImageFiles, rows: Mapping[str, Row], config: FolderData
) -> Iterator[str]:
    splits = Counter(record.split for record in records)
    if unused := [name for name in files.names if (row := rows.get(image_id(name))) is None or row.image != name]:
        yield f"{len(unused)} image files are not in the table of tags and are not used, such as {min(unused)}."
    if files.passed_over:
        yield f"{len(files.passed_over)} entries are passed over: {', '.join(files.passed_over[:NAMES_SHOWN])}."
    if skipped:
        yield f"{len(skipped)} {LEFT_OUT}: {', '.join(skipped[:NAMES_SHOWN])}."
    if config.val_split and config.val_split not in splits:
        yield f"{NOBODY_HELD_OUT}{config.val_split!r}; the splits are {', '.join(sorted(splits))}."
