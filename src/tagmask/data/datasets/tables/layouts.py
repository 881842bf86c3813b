"""The three layouts of tables of tags: tags in one cell, a 0/1 column per class, a row per image and tag."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from typing import Any

from tagmask.config import FolderData
from tagmask.data.datasets.checks import NAMES_SHOWN, Problem, Problems
from tagmask.data.datasets.tables.sheets import Line, Lines, name_in, text_of

_NOTHING = frozenset({"", "nan", "none", "null", "<na>", "n/a"})


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a table.

    Attributes:
        image: the image's path or name, as written.
        tags: names of its classes, each once, in the order written.
        split: its split, or None if the table has no such column.
    """

    image: str
    tags: tuple[str, ...]
    split: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of tags.

    Attributes:
        rows: one per image.
        classes: the one-hot columns in their order, or None where tags are written out.
        notes: how it was read, as far as that is not plain; one sentence each.
    """

    rows: tuple[Row, ...]
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called.

    Attributes:
        image: paths of images.
        tags: tags, one or several a cell; None where classes have a column each.
        split: splits, if there are any.
        confidence: 1 where the tag of the row is present and 0 where it is absent, if there is one.
    """

    image: str
    tags: str | None = None
    split: str | None = None
    confidence: str | None = None

    def row(self, line: Line, tags: tuple[str, ...]) -> Row:
        """The row of a line, with its tags."""
        split = text_of(line.cells[self.split]) if self.split else None
        return Row(name_in(line.cells[self.image]), tags, split)


class Verdict(Enum):
    """What a cell says about one class in one image."""

    ABSENT = 0
    PRESENT = 1
    UNCERTAIN = -1


def is_nothing(cell: object) -> bool:
    """Whether a cell holds nothing, or one of the words that programs write for it."""
    text = text_of(cell)
    return text.casefold() in _NOTHING or text == "NA"


def number_in(cell: object) -> float | None:
    """The number in a cell; true and false are 1 and 0, and a comma may stand for the point.

    >>> number_in("1,0"), number_in(True), number_in("x")
    (1.0, 1.0, None)
    """
    text = text_of(cell).casefold().replace(",", ".")
    try:
        return float({"true": "1", "false": "0"}.get(text, text))
    except ValueError:
        return None


def verdict(cell: object) -> Verdict | None:
    """What a cell of a one-hot column says; None: such a cell does not belong into one."""
    if is_nothing(cell):
        return Verdict.ABSENT
    number = number_in(cell)
    return Verdict(int(number)) if number in (-1, 0, 1) else None


# ── tags in one cell ─────────────────────────────────────────────────────────────────────────────────────────────────

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEM = rf"(?:(?:np\.)?str_\({_QUOTED}\)|{_QUOTED}|None|nan|NaN|null)"
_ITEMS = re.compile(rf"\s*(?:{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*\s*,?)?\s*", re.DOTALL)
_WRAPPED = re.compile(r"(?:np\.)?(?:array|list|set|frozenset|tuple|Index)\((.*?)(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_TORN = re.compile(r"""^[\[{]\s*["']|["']\s*[\]}]$""")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def tags_in(cell: object, separators: str) -> tuple[str, ...] | None:
    """The tags of a cell, each once; None where they cannot be told.

    A cell that a program wrote from a list is read as that list, whatever the separators.

    >>> tags_in("cat; dog", ";"), tags_in("['cat' 'dog']", ";"), tags_in("[]", ";"), tags_in("['cat'", ";")
    (('cat', 'dog'), ('cat', 'dog'), (), None)
    """
    if isinstance(cell, list | bool):
        return None if isinstance(cell, bool) else _names(cell)
    return () if is_nothing(cell) else _written_tags(text_of(cell), separators)


@lru_cache(maxsize=2**12)  # tables repeat their tags
def _written_tags(text: str, separators: str) -> tuple[str, ...] | None:
    wrapped = _WRAPPED.fullmatch(text)
    text = wrapped[1].strip() or "[]" if wrapped else text
    if _BRACKETS.get(text[0]) == text[-1] and _ITEMS.fullmatch(text[1:-1]):
        return _names(_quoted(text[1:-1]))
    if text[0] in "[{" and _closes_at_end(text):
        return _bare(text[1:-1], separators)
    if _TORN.search(text):
        return None
    return _names(re.split(f"[{re.escape(separators)}]", text) if separators else [text])


def _closes_at_end(text: str) -> bool:
    """Whether the bracket that a text begins with is closed by its last character, unlike in `[b]name[/b]`."""
    opens, closes = text[0], _BRACKETS[text[0]]
    depths = accumulate((each == opens) - (each == closes) for each in text)
    return [place for place, depth in enumerate(depths) if depth == 0][:1] == [len(text) - 1]


def _quoted(inner: str) -> list[str]:
    """The items of a list of quoted names."""
    items = re.findall(rf"{_QUOTED}|None|nan|NaN|null", inner)
    return [re.sub(r"\\(.)", r"\1", item[1:-1]) for item in items if item[0] in "'\""]


def _bare(inner: str, separators: str) -> tuple[str, ...] | None:
    """The items of a list of names without quotes."""
    plain = not re.search(r"""["'\[\](){}]|\.\.\.""", inner)
    return _names(re.split(f"[,{re.escape(separators)}]", inner)) if plain else None


def _names(items: Sequence[object]) -> tuple[str, ...] | None:
    """Each name once; no names are the zeros and ones of a list of verdicts."""
    names = [text_of(item) for item in items if not is_nothing(item)]
    verdicts = len(names) > 1 and all(number_in(name) in (0, 1) for name in names)
    odd = verdicts or any(isinstance(item, bool | dict | list) for item in items) or not all(map(_is_name, names))
    return None if odd else tuple(dict.fromkeys(names))


def _is_name(text: str) -> bool:
    """Whether a tag can be written to files, in a line of its own."""
    halves = not text.isascii() and any(
        "\ud800" <= letter <= "\udfff" for letter in text
    )  # of letters, as JSON may have
    return not halves and "\n" not in text and "\0" not in text


def cell_table(lines: Iterable[Line], columns: Columns, config: FolderData, problems: Problems) -> Table:
    """A row per image with all its tags in one cell."""
    assert columns.tags is not None
    rows, emptied = [], 0
    for line in lines:
        cell = line.cells.get(columns.tags)
        tags = tags_in(cell, config.separators)
        if tags is None:
            problems.add(Problem.BAD_TAGS, f"{str(cell)[:60]!r} at {text_of(line.cells[columns.image])}")
        else:
            emptied += bool(is_nothing(cell) and text_of(cell))
            rows.append(columns.row(line, tags))
    said = f"{emptied} cells that say NaN, None or the like are taken as no tags."
    return Table(tuple(rows), None, (said,) if emptied else ())


# ── a column per class ───────────────────────────────────────────────────────────────────────────────────────────────


def one_hot_columns(lines: Lines[Any], names: Iterable[str]) -> tuple[str, ...]:
    """The columns that hold nothing but 0, 1, -1, true, false or nothing, and something at all."""

    def fits(name: str) -> bool:
        return all(map(verdict, lines.column(name))) and not all(map(is_nothing, lines.column(name)))

    return tuple(name for name in names if name and not re.fullmatch(r"Unnamed: \d+", name) and fits(name))


def one_hot_table(
    lines: Lines[Any], columns: Columns, classes: tuple[str, ...], config: FolderData, problems: Problems
) -> Table:
    """A row per image and a column per class."""
    wanted = {Verdict.PRESENT} | ({Verdict.UNCERTAIN} if config.uncertain == "positive" else set())
    rows = [
        columns.row(line, tuple(name for name in classes if verdict(line.cells.get(name)) in wanted)) for line in lines
    ]
    for name in classes if config.uncertain == "error" else ():
        number = sum(verdict(cell) is Verdict.UNCERTAIN for cell in lines.column(name))
        if number:
            problems.add(Problem.UNCERTAIN, f"-1 in {number} row(s) of column {name!r}")
    return Table(tuple(rows), classes)


# ── a row per image and tag ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Entry:
    """What the rows of one image say."""

    line: Line
    present: dict[str, None] = field(default_factory=dict)
    absent: dict[str, None] = field(default_factory=dict)
    splits: dict[str, None] = field(default_factory=dict)


def long_table(lines: Iterable[Line], columns: Columns, config: FolderData, problems: Problems) -> Table:
    """Rows of an image and one of its tags, or one that it is known not to have."""
    assert columns.tags is not None
    entries: dict[str, _Entry] = {}
    uncertain = 0
    for line in lines:
        image = name_in(line.cells[columns.image])
        entry = entries.setdefault(image, _Entry(line))
        tags = tags_in(line.cells.get(columns.tags), config.separators)
        if tags is None:
            problems.add(Problem.BAD_TAGS, f"{str(line.cells.get(columns.tags))[:60]!r} at {image}")
        if columns.split:
            entry.splits[text_of(line.cells[columns.split])] = None
        said = _confidence(line, columns)
        uncertain += said is Verdict.UNCERTAIN
        positive = said is Verdict.PRESENT or (said is Verdict.UNCERTAIN and config.uncertain == "positive")
        (entry.present if positive else entry.absent).update(dict.fromkeys(tags or ()))
    if uncertain and config.uncertain == "error":
        unless = "data.confidence_column=null if it says something else"
        text = f"neither 0 nor 1 in {uncertain} row(s) of column {columns.confidence!r} ({unless})"
        problems.add(Problem.UNCERTAIN, text)
    for text in _contradictions(entries):
        problems.add(Problem.CONTRADICTION, text)
    rows = tuple(columns.row(entry.line, tuple(entry.present)) for entry in entries.values())
    return Table(rows, None, tuple(_long_notes(entries.values(), columns)))


def _confidence(line: Line, columns: Columns) -> Verdict:
    if columns.confidence is None:
        return Verdict.PRESENT
    number = number_in(line.cells.get(columns.confidence))
    return Verdict(int(number)) if number in (0, 1) else Verdict.UNCERTAIN


def _contradictions(entries: dict[str, _Entry]) -> Iterator[str]:
    for image, entry in entries.items():
        both = [tag for tag in entry.present if tag in entry.absent]
        if both:
            yield f"{image} ({', '.join(both)}: both present and absent)"
        if len(entry.splits) > 1:
            yield f"{image} (splits {', '.join(entry.splits)})"


def _long_notes(entries: Iterable[_Entry], columns: Columns) -> Iterator[str]:
    entries = tuple(entries)
    negatives = sum(not entry.present for entry in entries)
    meaning = f"; 0 in column {columns.confidence!r} is absent" if columns.confidence else ""
    yield (
        f"The table has a row per image and tag (columns {columns.image!r} and {columns.tags!r}{meaning}): "
        f"{len(entries)} images, {negatives} of them without a tag."
    )
    present = {tag for entry in entries for tag in entry.present}
    never = sorted({tag for entry in entries for tag in entry.absent} - present)
    if never:
        yield f"Tags that no image has are no classes: {', '.join(never[:NAMES_SHOWN])}."
