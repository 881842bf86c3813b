"""Tags by image become records: the classes that tags mean, their numbers, the split of each image."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tagmask.config import TagNamesConfig
from tagmask.contracts import Record
from tagmask.data.datasets.checks import NAMES_SHOWN, Problem, Problems, check_classes
from tagmask.data.datasets.class_names import count_tags, listed_classes, name_classes
from tagmask.data.datasets.held_out import share_of
from tagmask.data.datasets.tables import Row
from tagmask.data.orientation import Shape

THINNEST = 16  # pixels across
LONGEST = 16  # times as long as wide
EVERYWHERE = "Every training image has the tag "
NOBODY_HELD_OUT = "No image has the split "


def with_class_names(
    rows: dict[str, Row], columns: Sequence[str] | None, root: Path, config: TagNamesConfig, problems: Problems
) -> tuple[tuple[str, ...], dict[str, Row], tuple[str, ...]]:
    """The classes, the rows with the classes that their tags mean, and remarks.

    Args:
        rows: by image id, tags as written.
        columns: classes that a table names by itself, in order.
        root: the data folder.
        config: a class list, and which tags are joined and left out.
        problems: where to note what is wrong with names.

    Raises:
        TagmaskError: there is no class, with all that was noted before; or the class list cannot be read.
    """
    listed = listed_classes(config, root)
    tags = count_tags([row.tags for row in rows.values()], columns)
    named = name_classes(tags, listed, config, problems)
    if not named.classes:
        problems.raise_any(root)  # what is wrong with the tags explains why there are none
    classes = check_classes(named.classes, f"the tags in {root}")
    return classes, _renamed(rows, named.meant), named.notes


def records_of(
    rows: Mapping[str, Row],
    classes: Sequence[str],
    masks: Container[str],
    config: TagNamesConfig,
    problems: Problems,
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """A record for each row, in order, and remarks.

    Args:
        rows: by image id, with names of classes.
        classes: in order.
        masks: ids of the images that have one.
        config: names of the splits, and how much is held out where rows name none.
        problems: where to note tags that are no class.
    """
    _note_unknown_tags(rows.values(), classes, problems)
    held_out, notes = _held_out(rows, config)
    tagged = _Numbered(classes)

    def split(key: str, row: Row) -> str:
        return row.split or (config.val_split if config.val_split and key in held_out else config.train_split)

    return tuple(Record(key, tagged[row.tags], split(key, row), key in masks) for key, row in rows.items()), notes


def _renamed(rows: dict[str, Row], meant: Mapping[str, str]) -> dict[str, Row]:
    """The rows with the tags that are meant by theirs; the very same where all mean themselves."""

    def renamed(tags: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(meant[tag] for tag in tags if tag in meant))

    if all(renamed(row.tags) == row.tags for row in rows.values()):
        return rows
    return {key: replace(row, tags=renamed(row.tags)) for key, row in rows.items()}


class _Numbered(dict[tuple[str, ...], tuple[int, ...]]):
    """The class ids of tags, sorted; each combination once, however many images have it."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self._numbers = {name: number for number, name in enumerate(classes)}

    def __missing__(self, tags: tuple[str, ...]) -> tuple[int, ...]:
        found = tuple(sorted(self._numbers[tag] for tag in tags if tag in self._numbers))
        self[tags] = found
        return found


def _held_out(rows: Mapping[str, Row], config: TagNamesConfig) -> tuple[set[str], tuple[str, ...]]:
    """The ids for validation among the images whose rows name no split, and remarks.

    They are about ``val_fraction``. A class whose images would all be held out keeps the one that stands last.
    """
    if config.val_split in (None, config.train_split):
        return set(), ()
    held_out = {key for key, row in rows.items() if not row.split and share_of(key) < config.val_fraction}
    kept: dict[str, None] = {}
    having_each: dict[str, list[str]] = {}
    for key, row in rows.items():
        for tag in () if row.split else row.tags:
            having_each.setdefault(tag, []).append(key)
    for tag, having in sorted(having_each.items()):
        if held_out.issuperset(having):
            last = max(having, key=share_of)
            held_out.discard(last)
            kept[f"{tag} ({last})"] = None
    said = (
        f"Classes whose images would all have been held out keep one for training: {', '.join([*kept][:NAMES_SHOWN])}."
    )
    return held_out, (said,) if kept else ()


def _note_unknown_tags(rows: Iterable[Row], known: Container[str], problems: Problems) -> None:
    unknown: dict[str, list[str]] = {}
    for row in rows:
        for tag in row.tags:
            if tag not in known:
                unknown.setdefault(tag, []).append(row.image)
    for tag, names in sorted(unknown.items()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        problems.add(Problem.UNKNOWN_TAG, f"{tag!r} at {names[0]}{more}")


def thin(shapes: Mapping[str, Shape | None]) -> Iterator[str]:
    """A remark on images in which there is hardly anything to see."""
    sizes = {key: shape.stored for key, shape in shapes.items() if shape}
    slim = [
        f"{k} ({h} x {w})" for k, (h, w) in sizes.items() if min(h, w) < THINNEST or max(h, w) > LONGEST * min(h, w)
    ]
    if slim:
        yield (
            f"{len(slim)} images are less than {THINNEST} pixels across or more than {LONGEST} times as long as wide, "
            f"and teach little: {', '.join(slim[:NAMES_SHOWN])} rows x columns."
        )


def taught_everywhere(training: Sequence[Record], classes: Sequence[str]) -> Iterator[str]:
    """A remark on classes that every training image has, so that nothing can tell what they are."""
    everywhere = [name for place, name in enumerate(classes) if all(place in record.tags for record in training)]
    if everywhere:
        yield (
            f"{EVERYWHERE}{', '.join(everywhere)}: without images that lack it, nothing can be "
            "learned about where it is. Add some, with an empty tag cell if they show none of the classes."
        )
