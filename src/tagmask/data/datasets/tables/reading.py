"""What the columns of a table mean, which layout it is in, and the rows that it holds."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tagmask.config import FolderData
from tagmask.data.datasets.checks import NAMES_SHOWN, Problem, Problems
from tagmask.data.datasets.tables.layouts import (
    Columns,
    Table,
    cell_table,
    is_nothing,
    long_table,
    number_in,
    one_hot_columns,
    one_hot_table,
)
from tagmask.data.datasets.tables.sheets import Lines, Sheet, find_column, image_column, named_like, read_sheet, text_of
from tagmask.errors import TagmaskError

# The names that columns have elsewhere, without case, blanks and underlines.
_TAG_NAMES = (
    *("labelname", "label", "labels", "tag", "tags", "tagname", "class", "classes", "classname", "category"),
    *("categories", "categoryname", "keyword", "keywords", "concept", "object", "species", "disease", "finding"),
)
_CONFIDENCE_NAMES = ("confidence", "present", "presence", "ispresent", "score", "probability", "value")


def read_table(path: Path, config: FolderData, problems: Problems) -> Table:
    """Read a table of tags.

    CSV has a header and columns separated by comma, semicolon, tab, bar or blanks. JSON is ``{"image": ["tag", ...],
    ...}`` or a list of objects with the same keys as the CSV's columns. Without the tags column, every column that
    holds nothing but 0 and 1 is a class. With a column of confidences, or one of labels and images in several rows, a
    row is an image and one tag.

    Raises:
        TagmaskError: the table is missing, empty, not CSV or JSON, or lacks its columns.
    """
    if not path.exists():
        raise TagmaskError(f"there is no table of tags at {path}; put one there or name another")
    sheet = read_sheet(path, config)
    image = image_column(sheet.columns, config)
    if image is None:
        raise TagmaskError(_without_column(sheet, config.image_column, "data.image_column"))
    columns = _columns(sheet, image, config)
    lines = _whole_lines(sheet, columns, problems)
    found = [] if image == config.image_column else [f"Images are named by column {image!r} of {path.name}."]
    if columns.split and columns.split != config.split_column:
        found.append(f"Splits are named by column {columns.split!r}.")
    table = _table(sheet, columns, lines, config, problems)
    return Table(table.rows, table.classes, (*found, *table.notes))


def _without_column(sheet: Sheet, wanted: str, setting: str) -> str:
    more = ", ..." if len(sheet.columns) > NAMES_SHOWN else ""
    return (
        f"the table {sheet.path} has no column {wanted!r}; its columns are "
        f"{', '.join(map(repr, sheet.columns[:NAMES_SHOWN]))}{more}: "
        f"rename one or set {setting}"
    )


def _table(sheet: Sheet, columns: Columns, lines: Lines[Any], config: FolderData, problems: Problems) -> Table:
    others = [name for name in sheet.columns if name and name not in vars(columns).values()]
    if columns.tags is None:
        classes = one_hot_columns(lines, others)
        if not classes:
            missing = _without_column(sheet, config.tags_column or "of nothing but 0 and 1", "data.tags_column")
            raise TagmaskError(f"{missing}, or give one 0/1 column per class")
        table = one_hot_table(lines, columns, classes, config, problems)
        return Table(table.rows, classes, tuple(_one_hot_notes(lines, classes, others)))
    table = (long_table if _is_long(sheet, columns, config) else cell_table)(lines, columns, config, problems)
    unused = f"Columns that are not used: {', '.join(others[:NAMES_SHOWN])}."
    return Table(table.rows, None, (*table.notes, unused) if others else table.notes)


def _one_hot_notes(lines: Lines[Any], classes: tuple[str, ...], others: list[str]) -> Iterator[str]:
    left_out = [name for name in others if name not in classes]
    if left_out:
        shown = [f"{name} ({_example(lines, name)})" for name in left_out[:NAMES_SHOWN]]
        more = ", ..." if len(left_out) > NAMES_SHOWN else ""
        listed = ", ".join(classes[:NAMES_SHOWN]) + (", ..." if len(classes) > NAMES_SHOWN else "")
        yield f"Classes are the 0/1 columns {listed}; these columns are none: {', '.join(shown)}{more}."


def _example(lines: Lines[Any], name: str) -> str:
    return next(
        (text_of(cell)[:20] for cell in lines.column(name) if not is_nothing(cell) and number_in(cell) not in (0, 1)),
        "empty",
    )


# ── which columns, which layout ──────────────────────────────────────────────────────────────────────────────────────


def _columns(sheet: Sheet, image: str, config: FolderData) -> Columns:
    """The columns by their meaning; a column of a usual name counts where it decides the layout."""
    others = [name for name in sheet.columns if name != image]
    split = find_column(others, config.split_column)
    others = [name for name in others if name != split]
    if config.tags_column is None or config.layout == "one-hot":
        return Columns(image, None, split)
    tags = find_column(others, config.tags_column)
    confidence = _confidence_column(sheet, [name for name in others if name != tags], config)
    if tags is None:
        usual = named_like([name for name in others if not one_hot_columns(sheet.lines, [name])], _TAG_NAMES)
        if usual and not (confidence or _repeated(sheet, image) or config.layout == "long"):
            raise TagmaskError(
                f"{_without_column(sheet, config.tags_column, 'data.tags_column')}={usual} if that column holds the "
                "tags, or give one 0/1 column per class and set data.tags_column=null"
            )
        tags = usual
    return Columns(image, tags, split, confidence if tags and config.layout != "cell" else None)


def _confidence_column(sheet: Sheet, others: list[str], config: FolderData) -> str | None:
    if config.confidence_column is None:
        return None
    found = find_column(others, config.confidence_column)
    if found is None and config.confidence_column == FolderData.model_fields["confidence_column"].default:
        usual = named_like(others, _CONFIDENCE_NAMES)
        numbers = usual and all(number_in(line.cells.get(usual)) is not None for line in sheet.lines if line.fits)
        return usual if numbers else None
    return found


def _repeated(sheet: Sheet, image: str) -> bool:
    """Whether any image stands in several rows."""
    return any(number > 1 for number in Counter(map(text_of, sheet.lines.column(image))).values())


def _is_long(sheet: Sheet, columns: Columns, config: FolderData) -> bool:
    """Whether rows are tags of images rather than images.

    Raises:
        TagmaskError: another column may say which of the tags are absent.
    """
    if config.layout != "auto":
        return config.layout == "long"
    if columns.confidence:
        return True
    usual = str(columns.tags).casefold() == FolderData.model_fields["tags_column"].default
    if usual:
        return False
    others = [name for name in sheet.columns if name not in vars(columns).values()]
    doubtful = [name for name in one_hot_columns(sheet.lines, others) if len({*_numbers(sheet, name)}) > 1]
    if doubtful and config.confidence_column is not None:
        raise TagmaskError(
            f"the table {sheet.path} has tags in column {columns.tags!r} and 0 and 1 in column {doubtful[0]!r}; set "
            f"data.confidence_column={doubtful[0]} if 0 means that the tag is absent, else data.confidence_column=null"
        )
    return _repeated(sheet, columns.image)


def _numbers(sheet: Sheet, name: str) -> Iterator[float | None]:
    return map(number_in, sheet.lines.column(name))


def _whole_lines(sheet: Sheet, columns: Columns, problems: Problems) -> Lines[Any]:
    bad = set()
    for place, line in enumerate(sheet.lines):
        image = text_of(line.cells.get(columns.image))
        unsplit = columns.split and not text_of(line.cells.get(columns.split))
        untold = columns.tags is not None and columns.tags not in line.cells  # an object of JSON without that key
        if not line.fits or image in ("", "nan") or "\n" in image or unsplit or untold:
            problems.add(Problem.BAD_ROW, f"row {line.number} of {sheet.path.name}")
            bad.add(place)
    return sheet.lines.but(bad) if bad else sheet.lines
