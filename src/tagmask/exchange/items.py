"""What goes through a format: masks on their way out, masks that come back, and the names of classes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Int32
from scipy.ndimage import label

from tagmask.contracts import MaskArray
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.data.images import image_size, read_mask
from tagmask.errors import TagmaskError
from tagmask.exchange.options import Segmentation
from tagmask.system.progress import track

Size = tuple[int, int]
Key = TypeVar("Key", int, str, tuple[int, int, int])

BACKGROUND_NAME = "background"
NO_LABEL = 255
"""Stands for "no label" in the masks of formats that hold one byte a pixel."""

MOST_CLASSES = 254
NAMES_SHOWN = 10

# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Item:
    """One image with its mask, on its way out.

    Attributes:
        id: of the image.
        name: what its files are called, without suffix.
        split: whether it was learned from.
        is_reviewed: whether a person has accepted or made the mask.
        image: where its photograph lies below the folder; None: it stays where it is.
        file: the photograph's path below the image root, as tools that have it already know it.
        read: the mask.
    """

    id: str
    name: str
    split: Literal["train", "val"]
    is_reviewed: bool
    image: str | None
    file: str
    read: Callable[[], MaskArray]


@dataclass(frozen=True)
class Parcel:
    """All that a format writes.

    Attributes:
        folder: where to; empty but for the photographs.
        classes: without background.
        items: in order, each name once.
        segmentation: how COCO holds regions.
        title: the name of the recipe that made the masks.
    """

    folder: Path
    classes: tuple[str, ...]
    items: Sequence[Item]
    segmentation: Segmentation = "rle"
    title: str = "tagmask"

    def masks(self) -> Iterator[tuple[Item, MaskArray]]:
        """Each item with its mask, one at a time, with a bar that shows how far they are."""
        for item in track(self.items, "write masks", len(self.items)):
            yield item, item.read()

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have images, training first."""
        return tuple(split for split in ("train", "val") if any(item.split == split for item in self.items))

    def check_classes(self, form: str) -> None:
        """Refuse more classes than fit into a byte beside background and "no label"."""
        if len(self.classes) > MOST_CLASSES:
            raise TagmaskError(
                f"{form} holds one byte a pixel, so at most {MOST_CLASSES} classes, not {len(self.classes)}; "
                "choose --to coco or label-studio"
            )


def unlabelled_name(classes: Sequence[str]) -> str:
    """What pixels without label are called where a format knows named regions alone: no class has this name.

    >>> unlabelled_name(["cat"]), unlabelled_name(["unlabelled"])
    ('unlabelled', 'unlabelled_')
    """
    name = "unlabelled"
    while name in classes:
        name += "_"
    return name


def names_of_numbers(classes: Sequence[str]) -> dict[int, str]:
    """Background, classes and "no label", by the numbers that they have in masks of one byte."""
    return dict(enumerate((BACKGROUND_NAME, *classes))) | {NO_LABEL: unlabelled_name(classes)}


def regions(mask: MaskArray) -> list[int]:
    """The numbers of the classes in a mask in order, ``IGNORE`` last where it has pixels without label."""
    found = np.unique(mask).tolist()
    return [number for number in found if number > BACKGROUND] + [IGNORE] * (IGNORE in found)


def parts(mask: MaskArray, number: int) -> Iterator[Bool[np.ndarray, "h w"]]:
    """The parts of a class that hang together, corners not counted, in the order in which rows meet them.

    >>> [part.astype(int).tolist() for part in parts(np.array([[1, 0, 1]], np.int32), 1)]
    [[[1, 0, 0]], [[0, 0, 1]]]
    """
    found, count = label(mask == number)  # pyright: ignore[reportGeneralTypeIssues] - its result depends on an argument
    return (found == place for place in range(1, count + 1))


def box(region: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom sides of a region in pixels, right and bottom outside of it.

    >>> box(np.array([[False, False, False], [False, True, True]]))
    (1, 1, 3, 2)
    """
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# ── back ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Arrival:
    """One mask that comes back.

    Attributes:
        name: what the folder calls its image: a path without suffix.
        where: what to call it in messages.
        read: the mask, given the rows and columns of its image; raises ``TagmaskError`` or ``ValueError``.
        image_id: of its image, where the folder tells it.
    """

    name: str
    where: str
    read: Callable[[Size], MaskArray]
    image_id: str | None = None


@dataclass
class Arrivals:
    """What a folder holds: masks, and what is odd about them, a sentence each."""

    masks: list[Arrival] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def class_numbers(names: Mapping[Key, str], classes: Sequence[str], where: object) -> dict[Key, int]:
    """Class numbers as in memory for the labels of a folder, by their names.

    Args:
        names: by whatever the folder calls them.
        classes: of the run, without background.
        where: the file that lists them.

    Raises:
        TagmaskError: a name is no class of the run.

    >>> class_numbers({7: "dog", 8: "background", 9: "unlabelled"}, ["cat", "dog"], "labels.txt")
    {7: 2, 8: 0, 9: -1}
    """
    numbers = {BACKGROUND_NAME: BACKGROUND, unlabelled_name(classes): IGNORE}
    numbers |= {name: number for number, name in enumerate(classes, 1)}
    unknown = dict.fromkeys(name for name in names.values() if name not in numbers)
    if unknown:
        raise TagmaskError(
            f"{where} names {some(map(repr, unknown))}, which the run does not know; its classes are "
            f"{', '.join(map(repr, classes))}: rename them there, or take them out if no mask has them"
        )
    return {key: numbers[name] for key, name in names.items()}


def translated(mask: Int32[np.ndarray, "h w"], numbers: Mapping[int, int]) -> MaskArray:
    """A mask with other numbers.

    Raises:
        ValueError: it holds a number that is not listed.

    >>> translated(np.array([[0, 5]], np.int32), {0: 0, 5: 2}).tolist()
    [[0, 2]]
    """
    found, places = np.unique(mask, return_inverse=True)
    unknown = [number for number in found.tolist() if number not in numbers]
    if unknown:
        raise ValueError(f"it holds {some(unknown)}; expected {some(sorted(numbers))}")
    return np.array([numbers[number] for number in found.tolist()], np.int32)[places].reshape(mask.shape)


def numbered_masks(folder: Path, numbers: Mapping[int, int]) -> list[Arrival]:
    """The indexed or grey PNG masks anywhere below a folder, in the order of their names.

    Args:
        folder: of the masks.
        numbers: what the numbers in the files mean.
    """
    return [Arrival(name, str(path), _NumberedMask(path, numbers)) for name, path in pictures(folder)]


def pictures(folder: Path) -> list[tuple[str, Path]]:
    """The PNG files anywhere below a folder, with their paths below it without suffix, sorted; hidden ones are none."""
    files = (path for path in folder.rglob("*.png") if path.is_file() and not path.name.startswith("."))
    return sorted((path.relative_to(folder).as_posix().removesuffix(".png"), path) for path in files)


@dataclass(frozen=True)
class _NumberedMask:
    path: Path
    numbers: Mapping[int, int]

    def __call__(self, size: Size) -> MaskArray:
        check_size(image_size(self.path), size)
        return translated(read_mask(self.path, -1), self.numbers)


def check_size(found: Size | None, size: Size) -> None:
    """Refuse a mask of another size than its image, before anything of it is read; None: the size is not told.

    Raises:
        ValueError: it has another size.
    """
    if found is not None and found != size:
        raise ValueError(f"it has {found[0]} x {found[1]} rows x columns and its image {size[0]} x {size[1]}")


def existing(path: Path, what: str) -> Path:
    """A path that must be there.

    Raises:
        TagmaskError: it is missing.
    """
    if not path.exists():
        raise TagmaskError(f"{path} is missing: {what}")
    return path


def json_file(path: Path) -> Path:
    """A JSON file, or the only one at any depth of a folder beside our own index.

    Raises:
        TagmaskError: there is none, or there are several.
    """
    if path.is_file():
        return path
    found = sorted(each for each in path.rglob("*.json") if each.name != INDEX and not each.name.startswith("."))
    if len(found) != 1:
        there = some(each.relative_to(path).as_posix() for each in found) or "none"
        raise TagmaskError(f"{path} should hold one JSON file, and holds {there}; name the file instead of the folder")
    return found[0]


INDEX = "tagmask.json"
"""Which image each file of an exported folder belongs to."""


def some(names: Iterable[object]) -> str:
    """The first of many names."""
    shown = list(map(str, names))
    return ", ".join(shown[:NAMES_SHOWN]) + (", ..." if len(shown) > NAMES_SHOWN else "")
