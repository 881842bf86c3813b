"""Your own images: a folder, and a table of tags or one subfolder per class."""

import hashlib
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32

from tagmask.config import FolderData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.checks import (
    NAMES_SHOWN,
    Problem,
    Problems,
    check_classes,
    check_numbers,
    existing_folder,
    read_lines,
    settle,
)
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.datasets.tables import Row, Table, read_table
from tagmask.data.images import read_image, read_mask
from tagmask.errors import TagmaskError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})


class ImageFiles:
    """The image files below a folder, found by path, with or without their extension.

    Args:
        root: the folder.
        without: folders below it that hold something else, such as masks.

    Attributes:
        root: the folder, links resolved.
        names: path below the folder of every image file, sorted.

    Raises:
        TagmaskError: there is no image file.
    """

    def __init__(self, root: Path, without: Iterable[Path] = ()) -> None:
        self.root = root.resolve()
        self.names = tuple(sorted(_walk(self.root, {folder.resolve() for folder in without})))
        if not self.names:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise TagmaskError(f"no image files below {root}; expected {kinds}: check --data and data.images")

    @cached_property
    def _by_id(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(image_id(name), []).append(name)
        return found

    def find(self, name: str) -> str | Problem:
        """The path below the folder that ``name`` means (the file may be missing), or what is wrong with the name."""
        path = PurePosixPath(name)
        if "\0" in name or path.is_absolute() or ".." in path.parts:
            return Problem.OUTSIDE
        names = [str(path)] if path.suffix.lower() in IMAGE_SUFFIXES else self._by_id.get(str(path), [str(path)])
        if len(names) > 1:
            return Problem.AMBIGUOUS
        return names[0] if (self.root / names[0]).resolve().is_relative_to(self.root) else Problem.OUTSIDE


def _walk(root: Path, without: set[Path]) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and here / name not in without]
        for name in names:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield (here / name).relative_to(root).as_posix()


def image_id(name: str) -> str:
    """The path of an image file without its extension; dots that begin no image extension stay.

    >>> image_id("cats/a.b.jpg"), image_id("cats/a.b")
    ('cats/a.b', 'cats/a.b')
    """
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def split_of(key: str, config: FolderData) -> str:
    """The split of an image in a table without splits: a fixed function of its id, about ``val_fraction`` held out."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return config.val_split if config.val_split and share < config.val_fraction else config.train_split


class Folder(Dataset):
    """Images anywhere below a folder, tags from a table or from the names of subfolders.

    Image files that the table does not list are not used. An image without tags is a negative. Classes are the
    configured ones, else the lines of ``classes.txt`` in the data folder, else the one-hot columns or subfolders in
    order, else all tags found, sorted.

    Args:
        config: where things are and what columns are called.
        root: the data folder.
        verify: decode every image once, to find the unreadable ones before training does.

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
        if config.masks:
            existing_folder(root / config.masks, "the folder of masks (data.masks)")
        problems = Problems()
        files = ImageFiles(
            existing_folder(_image_root(config, root), "the image folder (data.images)"),
            without=[folder for folder in (config.masks and root / config.masks, self._saliency.folder) if folder],
        )
        table = read_table(root / config.tags, config, problems) if config.tags else _subfolders(files)
        rows = _by_id(table.rows, files, problems)
        self.name = root.resolve().name
        self.ignore_value = config.ignore_value
        self.classes = _classes(config, root, table)
        self._paths = {key: files.root / name for key, (name, _) in rows.items()}
        numbers = {name: number for number, name in enumerate(self.classes)}
        _note_unknown_tags(rows.values(), numbers, problems)
        records = [self._record(key, row, numbers) for key, (_, row) in rows.items()]
        self.records, self.skipped = settle(records, self._paths, self.classes, config, problems, verify)
        self._saliency.note_missing(self.records, problems)
        problems.raise_any(root)
        self.notes = (*_notes(self.records, self.skipped, len(files.names) - len(rows), config), *problems.remarks)

    def _record(self, key: str, row: Row, numbers: dict[str, int]) -> Record:
        tags = tuple(sorted(numbers[tag] for tag in row.tags if tag in numbers))
        split = split_of(key, self._config) if row.split is None else row.split
        return Record(key, tags, split, has_mask=self._mask_path(key).is_file() if self._config.masks else False)

    def _mask_path(self, key: str) -> Path:
        return self._root / (self._config.masks or "") / f"{key}.png"

    def image_path(self, record: Record) -> Path:
        """The image file."""
        return self._paths[record.id]

    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels."""
        return read_image(self._paths[record.id], self._config.bands)

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth, if the record has any.

        Raises:
            TagmaskError: the mask is unreadable or holds a number that is no class.
        """
        if not record.has_mask:
            return None
        path = self._mask_path(record.id)
        return check_numbers(read_mask(path, self.ignore_value), len(self.classes), path)

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)


def _image_root(config: FolderData, root: Path) -> Path:
    """The configured folder, or ``images`` beside the table of tags if there is one, or the data folder itself."""
    if config.images is not None:
        return root / config.images
    return root / "images" if config.tags and (root / "images").is_dir() else root


def _subfolders(files: ImageFiles) -> Table:
    rows = tuple(Row(name, PurePosixPath(name).parts[:-1][:1]) for name in files.names)
    return Table(rows, tuple(sorted({tag for row in rows for tag in row.tags})))


def _by_id(rows: Iterable[Row], files: ImageFiles, problems: Problems) -> dict[str, tuple[str, Row]]:
    found: dict[str, tuple[str, Row]] = {}
    for row in rows:
        name = files.find(row.image)
        if isinstance(name, Problem):
            problems.add(name, row.image)
        elif image_id(name) in found:
            same = found[image_id(name)][0] == name
            problems.add(Problem.DUPLICATE_ROW if same else Problem.DUPLICATE_ID, row.image)
        else:
            found[image_id(name)] = name, row
    return found


def _classes(config: FolderData, root: Path, table: Table) -> tuple[str, ...]:
    listed = root / "classes.txt"
    if config.classes is not None:
        return check_classes(config.classes, "data.classes")
    if listed.is_file():
        return check_classes(read_lines(listed), str(listed))
    tags = table.classes or tuple(sorted({tag for row in table.rows for tag in row.tags}))
    return check_classes(tags, f"the tags in {root}")


def _note_unknown_tags(rows: Iterable[tuple[str, Row]], known: Container[str], problems: Problems) -> None:
    unknown: dict[str, list[str]] = {}
    for name, row in rows:
        for tag in row.tags:
            if tag not in known:
                unknown.setdefault(tag, []).append(name)
    for tag, names in sorted(unknown.items()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        problems.add(Problem.UNKNOWN_TAG, f"{tag!r} at {names[0]}{more}")


def _notes(records: Iterable[Record], skipped: tuple[str, ...], unused: int, config: FolderData) -> Iterator[str]:
    splits = Counter(record.split for record in records)
    if unused:
        yield f"{unused} image files are not in the table of tags and are not used."
    if skipped:
        yield f"{len(skipped)} bad images are left out: {', '.join(skipped[:NAMES_SHOWN])}."
    if config.val_split and config.val_split not in splits:
        yield f"No image has the split {config.val_split!r}; the splits are {', '.join(sorted(splits))}."
