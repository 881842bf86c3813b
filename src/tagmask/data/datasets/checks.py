"""Everything that is wrong with a data set, told at once and by name, before any training starts."""

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from tagmask.config import DataConfig
from tagmask.contracts import MaskArray, Record
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.data.images import examine
from tagmask.data.stretch import DEFAULT, Stretch, stretch_of
from tagmask.errors import TagmaskError
from tagmask.system.workers import several_at_once

NAMES_SHOWN = 10
LEFT_OUT = "bad images are left out"


class Problem(Enum):
    """A kind of problem: what it is called and what to do about it."""

    MISSING = ("image without a file", "put the files there, delete their rows, or set data.on_bad_image=skip")
    UNREADABLE = ("unreadable image", "replace the files, delete their rows, or set data.on_bad_image=skip")
    AMBIGUOUS = (
        "image name that fits several files",
        "write the names with their extensions, as the files have them",
    )
    OUTSIDE = ("image outside the image folder", "use paths below the image folder, without `..` and links out of it")
    DUPLICATE_ROW = (
        "image listed more than once",
        "keep one row per image, with all its tags, or set data.layout=long",
    )
    DUPLICATE_ID = ("images that differ only in their extension", "rename all but one of them")
    UNKNOWN_TAG = ("tag that is not in the class list", "correct the tags or add the classes")
    UNUSED_CLASS = ("class without a training image", "tag images with it or leave it out of the class list")
    BAD_ROW = ("row that does not fit its table", "quote cells that contain the column separator; fill every cell")
    BAD_TAGS = ("cell of tags that cannot be read", "write tag names, separated by one of data.separators or as a list")
    UNCERTAIN = (
        "tags that are neither present nor absent",
        "decide them, or set data.uncertain=negative or data.uncertain=positive to take all of them so",
    )
    CONTRADICTION = ("image whose rows contradict each other", "keep one of the rows")
    CASE = (
        "tags that differ only in case or blanks",
        "write each in one way, or set data.join_case=true to take them as one class",
    )
    BACKGROUND = (
        "class that is called background",
        "background is where none of the classes is and needs no tag: leave this one out with "
        "data.not_classes=[background], or rename it if it is an object to be found",
    )
    NO_TRAINING = ("no image of the training split", "correct the splits or set data.train_split")
    NO_SALIENCY = (
        "training image without a saliency map",
        "put the maps below the folder data.saliency, named like the images, or set data.saliency=built-in",
    )
    NO_MASKS = (
        "folder of masks without a mask of any image",
        "name the files like the images, <path without suffix>.png, or leave out data.masks",
    )
    MASK_UNREADABLE = ("unreadable mask", "replace the files or take them out of the folder of masks")
    MASK_SIZE = ("mask of another size than its image", "make the masks anew or take them out of the folder of masks")
    MASK_TURNED = (
        "mask of the photograph as it is stored, while its EXIF entry turns it",
        "turn the masks, or set data.exif=as_stored (folders with a table) to take photographs as they are stored",
    )
    MASK_UPRIGHT = (
        "mask of the upright photograph, while photographs are taken as they are stored",
        "turn the masks, or set data.exif=upright",
    )
    MASK_VALUE = (
        "number in masks that is no class",
        "set data.mask_values={number in the file: number meant}, or data.mask_colours if the colours of the files "
        "count, or correct data.classes or data.ignore_value",
    )
    MASK_COLOUR = (
        "colour in masks that has no meaning",
        'set data.mask_colours={"#rrggbb": name, ...} with a class, background or ignore for each of them',
    )
    MASK_EMPTY = (
        "class that is missing in the masks of most images tagged with it",
        "correct the masks or the order of data.classes, or set data.mask_values={number in the file: number meant}",
    )
    MASK_ORDER = (
        "class whose images have the number of another class in their masks",
        "list the classes in the order of the masks (data.classes), or set data.mask_values={number in the file: "
        "number meant}, or correct data.mask_colours",
    )
    BLANK = ("image of one colour", "")
    TWICE = ("image listed more than once", "keep one of them; tar files that were appended to (tar -r, -u) hold both")
    NO_IMAGE = ("file of tags without an image beside it", "add KEY.jpg or the like, or set data.on_bad_image=skip")
    NAME = ("id that no file can have", "rename its files: UTF-8, at most 240 bytes between slashes, 2000 in all")
    UNTAGGED = (
        "image without a file of tags beside it",
        "add KEY.json with its tags, an empty list where it shows none of the classes; other endings: data.tags",
    )
    NO_TAGS = ("training image without annotations", "add the annotation files or set data.tag_table")


class Problems:
    """Collects problems, then raises one error that lists them all.

    Attributes:
        remarks: what is odd but no problem, one sentence each.
    """

    def __init__(self) -> None:
        self._names: dict[Problem, list[str]] = {}
        self._places: dict[Problem, Path] = {}
        self.remarks: list[str] = []

    def add(self, problem: Problem, name: str, place: Path | None = None) -> None:
        """Note one case, by the name of what it concerns, and the folder it was looked for in."""
        self._names.setdefault(problem, []).append(name)
        if place is not None:
            self._places[problem] = place

    def raise_any(self, source: Path) -> None:
        """Raise what was collected.

        Raises:
            TagmaskError: anything was noted; the first ten names of each kind, their number, and the remedy.
        """
        if self._names:
            lines = [_line(problem, names, self._places.get(problem)) for problem, names in self._names.items()]
            raise TagmaskError("\n  ".join([f"the data in {source} cannot be used as they are:", *lines]))


def _line(problem: Problem, names: list[str], place: Path | None) -> str:
    title, remedy = problem.value
    more = ", ..." if len(names) > NAMES_SHOWN else ""
    looked = f"; looked for in {place}" if place else ""
    return f"{title} ({len(names)}): {', '.join(names[:NAMES_SHOWN])}{more}{looked}; {remedy}"


def existing_folder(path: Path, meaning: str) -> Path:
    """Return ``path`` if it is a folder.

    Raises:
        TagmaskError: it is missing or is a file; the message says what was expected there.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise TagmaskError(f"{path} {what}; expected {meaning}: check --data and the recipe's data section")
    return path


def read_lines(path: Path) -> tuple[str, ...]:
    """The non-empty lines of a text file, without the blanks around them.

    Raises:
        TagmaskError: the file is missing or is not UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TagmaskError(f"cannot read the list {path}: {error}; expected UTF-8 text, one entry a line") from error
    return tuple(line.strip() for line in lines if line.strip())


def check_classes(classes: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the class list if it is one.

    Raises:
        TagmaskError: it is empty, or a name is empty or appears twice.
    """
    repeated = sorted({name for name in classes if classes.count(name) > 1})
    if not classes or repeated or not all(classes):
        found = f"repeated: {', '.join(repeated)}" if repeated else f"found: {list(classes)}"
        raise TagmaskError(f"{source} must name at least one class and each class once ({found}); correct it")
    return classes


def class_numbers(chosen: tuple[str, ...] | None, known: tuple[str, ...]) -> dict[str, int]:
    """Number the chosen classes of a data set that names its own, all of them if None.

    Raises:
        TagmaskError: a chosen class is not one of the data set's.
    """
    names = known if chosen is None else check_classes(chosen, "data.classes")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise TagmaskError(f"data.classes names {', '.join(unknown)}; this data set has {', '.join(known)}")
    return {name: number for number, name in enumerate(names)}


def renumbering(numbers: dict[str, int], known: tuple[str, ...]) -> Int32[np.ndarray, " n"]:
    """Mask numbers of the chosen classes by mask number of the data set; unlabelled for the others.

    >>> renumbering({"cat": 0, "ant": 1}, known=("ant", "bee", "cat"))[[0, 1, 2, 3, IGNORE]].tolist()
    [0, 2, -1, 1, -1]
    """
    chosen = [numbers.get(name, IGNORE - 1) + 1 for name in known]
    return np.array([BACKGROUND, *chosen, IGNORE], np.int32)


def check_numbers(mask: MaskArray, num_classes: int, path: Path) -> MaskArray:
    """Return ground truth whose numbers are all classes.

    Raises:
        TagmaskError: it holds a larger number.
    """
    largest = int(mask.max(initial=0))
    if largest > num_classes:
        raise TagmaskError(
            f"the mask {path} holds {largest}, the classes end at {num_classes}; correct it, the class list, or "
            "data.ignore_value"
        )
    return mask


def verify_classes(records: Iterable[Record], classes: tuple[str, ...], train_split: str, problems: Problems) -> None:
    """Note each class that no training image carries, and the one that it may be a misspelling of."""
    used = {tag for record in records if record.split == train_split for tag in record.tags}
    for number, name in enumerate(classes):
        if number not in used:
            near = difflib.get_close_matches(name, [classes[tag] for tag in sorted(used)], n=1, cutoff=0.8)
            problems.add(Problem.UNUSED_CLASS, f"{name} (misspelt {near[0]}?)" if near else name)


def verify_images(
    paths: Mapping[str, Path],
    decode: bool,
    bands: tuple[int, int, int] | None = None,
    stretch: Stretch = DEFAULT,
    keys: Sequence[str] | None = None,
) -> dict[str, tuple[Problem, str]]:
    """Look at every image file, several at a time.

    Args:
        paths: the image files by id.
        decode: read the pixels too, which finds truncated files; else only look whether the files are there.
        bands: which bands of the files are read.
        stretch: how their numbers become 8 bits.
        keys: ids of the images to look at; all if None.

    Returns:
        What is wrong with the bad ones, by id, in the order of ``keys``: the problem and the name to show, which is
        the path below the folder that all bad ones lie in.
    """
    chosen, look = tuple(paths) if keys is None else keys, several_at_once if decode else map
    found = look(lambda key: _image_problem(paths[key], decode, bands, stretch), chosen)
    bad = {key: problem for key, problem in zip(chosen, found, strict=True) if problem}
    home = common_folder(paths[key] for key in bad)
    return {key: (what, f"{paths[key].relative_to(home).as_posix()}{why}") for key, (what, why) in bad.items()}


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that all files lie below."""
    folders = {str(path.parent) for path in paths}
    return Path(os.path.commonpath(folders)) if folders else Path()


def _image_problem(
    path: Path, decode: bool, bands: tuple[int, int, int] | None, stretch: Stretch
) -> tuple[Problem, str] | None:
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        return Problem.MISSING, ""
    reason, is_blank = examine(path, bands, stretch) if decode else (None, False)
    if reason is not None:
        return Problem.UNREADABLE, f" ({reason})"
    return (Problem.BLANK, "") if is_blank else None


def _without_blank(bad: dict[str, tuple[Problem, str]], problems: Problems) -> dict[str, tuple[Problem, str]]:
    """What is wrong with images, but for those of one colour, which are remarked upon."""
    blank = [name for problem, name in bad.values() if problem is Problem.BLANK]
    problems.remarks += one_colour(blank)
    return {key: each for key, each in bad.items() if each[0] is not Problem.BLANK}


def one_colour(blank: Sequence[str]) -> Iterator[str]:
    """A remark on images that have one colour once they are converted."""
    if blank:
        more = ", ..." if len(blank) > NAMES_SHOWN else ""
        yield (
            f"{len(blank)} images have one colour throughout: {', '.join(blank[:NAMES_SHOWN])}{more}; if they should "
            "not, see whether a band is taken for transparency (data.bands) or their numbers are very small."
        )


def first_of_each_split(records: Iterable[Record], max_images: int | None) -> tuple[Record, ...]:
    """The first ``max_images`` records of every split; all if None, without a copy of a tuple of a million."""
    if max_images is None:
        return tuple(records)
    seen: Counter[str] = Counter()
    kept = []
    for record in records:
        seen[record.split] += 1
        if seen[record.split] <= max_images:
            kept.append(record)
    return tuple(kept)


def settle(
    records: Sequence[Record],
    paths: Mapping[str, Path],
    classes: tuple[str, ...],
    config: DataConfig,
    problems: Problems,
    verify: bool,
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Decide which records a data set offers: limited, verified, bad images noted or left out.

    Args:
        records: all records, in order.
        paths: the image file of each record by id.
        classes: the class list.
        config: the data settings.
        problems: where to note what is wrong.
        verify: decode the images of the two splits in use. Where bad images are left out they are always decoded, so
            that every later stage leaves out the same ones.

    Returns:
        The records and the ids of the images left out.
    """
    kept = first_of_each_split(records, config.max_images)
    splits = (config.train_split, config.val_split)
    in_use = [record.id for record in kept if record.split in splits]
    skip = config.on_bad_image == "skip"
    bad = _without_blank(verify_images(paths, verify or skip, config.bands, stretch_of(config), in_use), problems)
    home = common_folder(paths[key] for key in bad)
    for problem, name in () if skip else bad.values():
        problems.add(problem, name, home if problem is Problem.MISSING else None)
    skipped = bad if skip else {}
    usable = _without(skipped, records)
    if any(record.split == config.train_split for record in usable):
        verify_classes(usable, classes, config.train_split, problems)
    else:
        splits = ", ".join(sorted({record.split for record in usable}))
        problems.add(Problem.NO_TRAINING, f"{config.train_split!r} (found: {splits or 'none'})")
    return _without(skipped, kept), tuple(skipped)


def _without(left_out: Mapping[str, object], records: Sequence[Record]) -> tuple[Record, ...]:
    return tuple(record for record in records if record.id not in left_out) if left_out else tuple(records)
