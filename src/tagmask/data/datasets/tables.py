"""Tables of tags: CSV or JSON, tags in one cell or one-hot columns, read into rows of (image, tags, split)."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from tagmask.config import FolderData
from tagmask.data.datasets.checks import Problem, Problems
from tagmask.errors import TagmaskError
from tagmask.system.storage import read_json

Cells = dict[str, object]

_YES = {"1", "1.0", "true"}
_NO = {"", "0", "0.0", "false"}


@dataclass(frozen=True)
class Row:
    """One line of a table.

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
        rows: one per line.
        classes: the one-hot columns in their order, or None where tags are written out.
    """

    rows: tuple[Row, ...]
    classes: tuple[str, ...] | None = None


def read_table(path: Path, config: FolderData, problems: Problems) -> Table:
    """Read a table of tags.

    CSV has a header and columns separated by comma, semicolon or tab. JSON is ``{"image": ["tag", ...], ...}`` or a
    list of objects with the same keys as the CSV's columns. Without the tags column, every column that holds nothing
    but 0 and 1 is a class.

    Raises:
        TagmaskError: the table is missing, empty, not CSV or JSON, or lacks its columns.
    """
    if not path.exists():
        raise TagmaskError(
            f"there is no table of tags at {path}; put one there, name another with data.tags, or set data.tags=null "
            "if each class has a subfolder"
        )
    cells = _json_cells(path, config) if path.suffix.lower() == ".json" else _csv_cells(path, config)
    if not cells:
        raise TagmaskError(f"the table {path} has no rows; expected one row per image")
    columns = tuple(dict.fromkeys(name for row in cells for name in row if isinstance(name, str)))
    if config.image_column not in columns:
        raise TagmaskError(_without_column(path, columns, config.image_column, "data.image_column"))
    one_hot = None if config.tags_column in columns else _one_hot_columns(path, cells, columns, config)
    split_column = config.split_column if config.split_column in columns else None
    whole = _whole_rows(path, cells, config.image_column, split_column, problems)
    return Table(tuple(_row(row, one_hot, split_column, config) for row in whole), one_hot)


def _without_column(path: Path, columns: tuple[str, ...], wanted: str, setting: str) -> str:
    return (
        f"the table {path} has no column {wanted!r}; its columns are {', '.join(map(repr, columns))}: "
        f"rename one or set {setting}"
    )


def _csv_cells(path: Path, config: FolderData) -> list[Cells]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = text.split("\n", 1)[0]
        delimiter = max(",;\t", key=lambda mark: config.image_column in _split_cells(header, mark))
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        return [dict(row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TagmaskError(f"cannot read the table {path}: {error}; expected CSV in UTF-8, or set data.tags") from error


def _split_cells(header: str, delimiter: str) -> list[str]:
    return next(csv.reader([header.rstrip("\r")], delimiter=delimiter, skipinitialspace=True), [])


def _json_cells(path: Path, config: FolderData) -> list[Cells]:
    content = read_json(path)
    if isinstance(content, dict):
        return [{config.image_column: image, config.tags_column: tags} for image, tags in content.items()]
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return content
    raise TagmaskError(f'{path} must hold {{"image": ["tag", ...], ...}} or a list of objects; rewrite it so')


def _one_hot_columns(path: Path, cells: list[Cells], columns: tuple[str, ...], config: FolderData) -> tuple[str, ...]:
    others = [name for name in columns if name not in (config.image_column, config.split_column)]
    one_hot = tuple(name for name in others if all(_text(row.get(name)).lower() in _YES | _NO for row in cells))
    if not one_hot:
        raise TagmaskError(
            _without_column(path, columns, config.tags_column, "data.tags_column")
            + ", or give one 0/1 column per class"
        )
    return one_hot


def _whole_rows(
    path: Path, cells: list[Cells], image_column: str, split_column: str | None, problems: Problems
) -> list[Cells]:
    whole = []
    for number, row in enumerate(cells, start=2 if path.suffix.lower() != ".json" else 1):
        # csv files cells beyond the header under the key None.
        broken = None in row or not _text(row.get(image_column)) or (split_column and not _text(row.get(split_column)))
        if broken:
            problems.add(Problem.BAD_ROW, f"row {number} of {path.name}")
        else:
            whole.append(row)
    return whole


def _row(row: Cells, one_hot: tuple[str, ...] | None, split_column: str | None, config: FolderData) -> Row:
    if one_hot is None:
        tags = _tags(row.get(config.tags_column), config.separators)
    else:
        tags = tuple(name for name in one_hot if _text(row.get(name)).lower() in _YES)
    return Row(_text(row[config.image_column]), tags, _text(row[split_column]) if split_column else None)


def _tags(cell: object, separators: str) -> tuple[str, ...]:
    names = (
        cell
        if isinstance(cell, list)
        else re.split(f"[{re.escape(separators)}]", _text(cell))
        if separators
        else [cell]
    )
    return tuple(dict.fromkeys(name for name in map(_text, names) if name))


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
