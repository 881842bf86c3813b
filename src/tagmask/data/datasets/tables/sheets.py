"""Table files as people have them: CSV of any dialect and JSON, read into named columns and numbered lines of cells."""

import csv
import json
import re
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from tagmask.config import FolderData
from tagmask.data.datasets.paths import same_letters
from tagmask.errors import TagmaskError

Stored = TypeVar("Stored")
TABLE_SUFFIXES = (".csv", ".json", ".tsv")
_MARKS = ",;\t|"
_MOST_SHARED = 4096
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
# Byte order marks, the longer before those they begin with.
_ENCODINGS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# The names that image columns have elsewhere, without case, blanks and underlines; paths come before numbers.
_IMAGE_NAMES = (
    *("image", "path", "imagepath", "imgpath", "filepath", "file", "filename", "imagefile", "imagename", "imgname"),
    *("img", "images", "photo", "picture", "imageid", "imgid", "id", "name"),
)


class Cells(Mapping[str, object]):
    """The cells of a line by column. A table may have a million lines, which share the names of their columns."""

    __slots__ = ("_cells", "_places")

    def __init__(self, places: Mapping[str, int], cells: tuple[object, ...]) -> None:
        self._places, self._cells = places, cells

    def __getitem__(self, column: str) -> object:
        place = self._places[column]
        if place < len(self._cells):
            return self._cells[place]
        raise KeyError(column)

    def __iter__(self) -> Iterator[str]:
        return (column for column, place in self._places.items() if place < len(self._cells))

    def __len__(self) -> int:
        return sum(place < len(self._cells) for place in self._places.values())


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table.

    Attributes:
        number: as an editor counts the lines of a CSV, or the place in JSON.
        cells: by column.
        fits: whether there is one cell per column.
    """

    number: int
    cells: Mapping[str, object]
    fits: bool = True


class Lines(Generic[Stored]):
    """The rows of a table, each made when it is asked for: a million of them at once would take 140 MB more.

    Args:
        rows: the number of each line, its cells as they are kept, and whether they fit.
        by_column: the cells of a line by column, from those that are kept.
    """

    def __init__(
        self, rows: Iterable[tuple[int, Stored, bool]], by_column: Callable[[Stored], Mapping[str, object]]
    ) -> None:
        self._by_column = by_column
        self._numbers, self._rows = array("q"), list[Stored]()
        self._unfit: set[int] = set()
        for number, cells, fits in rows:
            if not fits:
                self._unfit.add(len(self._rows))
            self._numbers.append(number)
            self._rows.append(cells)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Line]:
        for place, (number, cells) in enumerate(zip(self._numbers, self._rows, strict=True)):
            yield Line(number, self._by_column(cells), place not in self._unfit)

    def column(self, name: str) -> Iterator[object]:
        """The cells of a column from above, None where a line has none."""
        return (self._by_column(cells).get(name) for cells in self._rows)

    def but(self, left_out: Container[int]) -> "Lines[Stored]":
        """The lines that do not stand at some places, which are counted from 0."""
        rows = enumerate(zip(self._numbers, self._rows, strict=True))
        kept = ((n, cells, i not in self._unfit) for i, (n, cells) in rows if i not in left_out)
        return Lines(kept, self._by_column)


@dataclass(frozen=True)
class Sheet:
    """A table as it lies on disk.

    Attributes:
        path: of its file.
        columns: their names in order.
        lines: its rows.
    """

    path: Path
    columns: tuple[str, ...]
    lines: Lines[Any]


def text_of(cell: object) -> str:
    r"""A cell as text: nothing at its ends, accents written in one way.

    >>> text_of(" cat\ufeff "), text_of(None), text_of(3)
    ('cat', '', '3')
    """
    return same_letters(name_in(cell))


def name_in(cell: object) -> str:
    """The file name in a cell: accents as they are written, since two files may differ in them."""
    return "" if cell is None else str(cell).strip(" \t\r\n\v\f\xa0\u200b\ufeff")


# ── finding the table and its columns ────────────────────────────────────────────────────────────────────────────────


def find_table(root: Path, config: FolderData) -> Path:
    """The configured table, or the one table called ``tags`` if the setting is left at its default.

    Raises:
        TagmaskError: there is none, or there are several.
    """
    path = root / str(config.tags)
    if path.is_file():
        return path
    if config.tags == FolderData.model_fields["tags"].default:
        wanted = {f"tags{suffix}" for suffix in TABLE_SUFFIXES}
        found = sorted(each for each in root.iterdir() if each.name.lower() in wanted)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.name for each in found)
            raise TagmaskError(f"{root} holds several tables of tags: {names}; name one of them with data.tags")
    raise TagmaskError(
        f"there is no table of tags at {path}; put one there, name another with data.tags, or set data.tags=null "
        "if each class has a subfolder"
    )


def find_column(columns: Iterable[str], wanted: str) -> str | None:
    """The column of a name; one that differs in case alone counts if no other does.

    >>> find_column(["Image", "tags"], "image"), find_column(["Image", "IMAGE"], "image")
    ('Image', None)
    """
    columns = tuple(columns)
    alike = [name for name in columns if name.casefold() == wanted.casefold()]
    return wanted if wanted in columns else alike[0] if len(alike) == 1 else None


def named_like(columns: Iterable[str], names: Iterable[str]) -> str | None:
    """The column that has the first of some usual names; case, blanks, hyphens and underlines do not count."""
    plain = {re.sub(r"[\W_]", "", name).casefold(): name for name in reversed(tuple(columns))}
    return next((plain[name] for name in names if name in plain), None)


def image_column(columns: Iterable[str], config: FolderData) -> str | None:
    """The column of image paths: the configured one, or one of a usual name if the setting is left at its default."""
    columns = tuple(columns)
    found = find_column(columns, config.image_column)
    if found is None and config.image_column == FolderData.model_fields["image_column"].default:
        return named_like(columns, _IMAGE_NAMES)
    return found


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_sheet(path: Path, config: FolderData) -> Sheet:
    """Read a table file.

    Raises:
        TagmaskError: it is missing, empty, no CSV or JSON, or names a column twice.
    """
    sheet = _read_json(path, config) if path.suffix.lower() == ".json" else _read_csv(path, config)
    if not sheet.lines:
        raise TagmaskError(f"the table {path} has no rows; expected one row per image")
    return sheet


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for mark, name in _ENCODINGS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding)


def _read_csv(path: Path, config: FolderData) -> Sheet:
    try:
        text = _text(path)
        announced = re.fullmatch(r'"?sep=(.)"?\s*', next(_lines(text), ""), re.IGNORECASE)
        skipped = 1 if announced else 0
        header = next((line for line in islice(_lines(text), skipped, None) if line.strip()), "")
        mark = announced[1] if announced else _separator(header, config)
        reader = csv.reader(islice(_lines(text), skipped, None), delimiter=mark, skipinitialspace=True)
        return _sheet(path, _numbered(reader, skipped))
    except (OSError, UnicodeError, csv.Error) as error:
        raise TagmaskError(
            f"cannot read the table {path}: {error}; save it as CSV in UTF-8, or name another with data.tags"
        ) from error


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends, as a file has them; a ``StringIO`` would hold four bytes a letter."""
    return (found[0] for found in _LINE.finditer(text))


def _separator(header: str, config: FolderData) -> str:
    """The mark that makes the image column and most others appear; blanks only where no other does."""

    def columns(mark: str) -> list[str]:
        return [text_of(cell) for cell in next(csv.reader([header], delimiter=mark, skipinitialspace=True), [])]

    best = max(_MARKS, key=lambda mark: (image_column(columns(mark), config) is not None, len(columns(mark))))
    spaced = len(columns(best)) < 2 and len(columns(" ")) > 1 and image_column(columns(" "), config) is not None
    return " " if spaced else best


def _numbered(reader: Iterator[list[str]], skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold anything, each with the number of the line it begins in."""
    begins = skipped + 1
    for cells in reader:
        if any(map(text_of, cells)):
            yield begins, cells
        begins = skipped + reader.line_num + 1  # pyright: ignore[reportAttributeAccessIssue] — every csv reader counts


def _sheet(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Sheet:
    _, header = next(rows, (0, []))
    columns = tuple(map(text_of, header))
    _refuse_repeated(path, [name for name in columns if name])
    places, shared = {name: place for place, name in enumerate(columns)}, _Shared()
    lines = ((number, tuple(map(shared, cells)), _fits(columns, cells)) for number, cells in rows)
    return Sheet(path, columns, Lines(lines, partial(Cells, places)))


class _Shared:
    """One string for all cells with the same text, as far as texts are few: splits and tags are, paths are not."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        known = self._known.get(text, text)
        if len(self._known) < _MOST_SHARED:
            self._known[known] = known
        return known


def _fits(columns: tuple[str, ...], cells: list[str]) -> bool:
    """Empty cells beyond the columns do not count, nor do missing ones below columns without a name."""
    return not (any(map(text_of, cells[len(columns) :])) or any(columns[len(cells) :]))


def _refuse_repeated(path: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise TagmaskError(f"the table {path} has several columns called {', '.join(repeated)}; rename all but one")


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_FORMS = '{"image": ["tag", ...], ...} or [{"image": "...", "tags": ["tag", ...]}, ...]'


class _Object(dict[str, object]):
    """A JSON object that remembers keys given twice."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _read_json(path: Path, config: FolderData) -> Sheet:
    try:
        content = json.loads(_text(path), object_pairs_hook=_Object)
    except (OSError, ValueError, RecursionError) as error:
        raise TagmaskError(f"cannot read the table {path} as JSON: {error}; expected {_FORMS}") from error
    if isinstance(content, _Object):
        names = (config.image_column, str(config.tags_column or "tags"))
        return _json_sheet(path, [_Object([*zip(names, pair, strict=True)]) for pair in content.pairs])
    if isinstance(content, list) and all(isinstance(row, _Object) for row in content):
        return _json_sheet(path, content)
    raise TagmaskError(f"{path} must hold {_FORMS}; rewrite it so")


def _json_sheet(path: Path, rows: list[_Object]) -> Sheet:
    for number, row in enumerate(rows, 1):
        _refuse_nested(path, number, row)
    named = [{text_of(name): cell for name, cell in row.items()} for row in rows]
    columns = tuple(dict.fromkeys(name for cells in named for name in cells))
    lines = ((n, named[n - 1], len(named[n - 1]) == len(row.pairs)) for n, row in enumerate(rows, 1))
    return Sheet(path, columns, Lines(lines, MappingProxyType))


def _refuse_nested(path: Path, number: int, row: _Object) -> None:
    for key, cell in row.items():
        inner = cell if isinstance(cell, list) else [cell]
        if any(isinstance(each, dict | list) for each in inner):
            where = next((f"{value!r}" for value in row.values() if isinstance(value, str)), f"entry {number}")
            raise TagmaskError(
                f"{path} holds objects or lists inside of {where} ({key}: {str(cell)[:60]}); expected {_FORMS}: "
                "rewrite it so, or set data.kind=coco if it is a COCO file"
            )
