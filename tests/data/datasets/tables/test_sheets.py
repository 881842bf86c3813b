"""CSV of any dialect and JSON, as columns and lines."""

import json
from functools import partial
from pathlib import Path

import pytest

from tagmask.config import FolderData
from tagmask.data.datasets.tables.sheets import Cells, Lines, find_table, image_column, named_like, read_sheet
from tagmask.errors import TagmaskError

ROWS = [{"image": "a.jpg", "tags": "cat"}, {"image": "b.jpg", "tags": "dog"}]


def cells(path: Path, content: str | bytes, **settings) -> list[dict[str, object]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    sheet = read_sheet(path, FolderData(**settings))
    assert all(line.fits for line in sheet.lines)
    return [{name: str(cell).strip() for name, cell in line.cells.items()} for line in sheet.lines]


PLAIN = "image,tags\na.jpg,cat\nb.jpg,dog\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n").encode("utf-8-sig"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.encode("utf-32"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", " "),
        "\ufeffsep=;\r\n" + PLAIN.replace(",", ";"),
        '"sep=\t"\n' + PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " ; ").replace("\n", " \n"),
        '"image" , "tags" \n"a.jpg" , "cat" \n"b.jpg" , "dog" \n',
        "\n\n" + PLAIN.replace("\nb", "\n,\n\nb"),
        PLAIN.replace("cat", "cat,").replace("dog", "dog, ,"),
    ],
)
def test_dialects(tmp_path: Path, content: str | bytes):
    assert cells(tmp_path / "t.csv", content) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_with_a_byte_order_mark(tmp_path: Path, encoding: str):
    assert cells(tmp_path / "t.json", json.dumps(ROWS).encode(encoding)) == ROWS


def test_an_index_column_without_a_name_is_none(tmp_path: Path):
    assert cells(tmp_path / "t.csv", ",image,tags\n0,a.jpg,cat\n") == [{"": "0", "image": "a.jpg", "tags": "cat"}]


def test_lines_are_numbered_as_an_editor_does_and_have_to_fit(tmp_path: Path):
    (tmp_path / "t.csv").write_text('sep=,\nimage,tags\n"a\nb",cat\n\nb,dog,more\nc\n')
    lines = read_sheet(tmp_path / "t.csv", FolderData()).lines
    assert [(line.number, line.fits) for line in lines] == [(3, True), (6, False), (7, False)]


def test_keys_given_twice(tmp_path: Path):
    (tmp_path / "t.json").write_text('{"a": ["cat"], "a": ["dog"]}')
    assert [line.cells["tags"] for line in read_sheet(tmp_path / "t.json", FolderData()).lines] == [["cat"], ["dog"]]
    (tmp_path / "t.json").write_text('[{"image": "a", "tags": [], "tags": ["dog"]}]')
    assert [line.fits for line in read_sheet(tmp_path / "t.json", FolderData()).lines] == [False]


@pytest.mark.parametrize(
    "content",
    ['{"a": {"tags": ["cat"]}}', '[{"image": "a", "tags": {"cat": 1}}]', '{"a": [["cat"]]}', '{"images": [{}]}'],
)
def test_nested_json_is_refused_in_words(tmp_path: Path, content: str):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(TagmaskError, match=r"objects or lists inside of .*expected .*rewrite it"):
        read_sheet(tmp_path / "t.json", FolderData())


def test_columns_of_one_name_are_refused(tmp_path: Path):
    (tmp_path / "t.csv").write_text("image,cat,cat\na,1,0\n")
    with pytest.raises(TagmaskError, match="several columns called cat"):
        read_sheet(tmp_path / "t.csv", FolderData())


@pytest.mark.parametrize("name", ["tags.json", "tags.tsv", "Tags.CSV"])
def test_the_table_is_found_by_its_usual_names(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    assert find_table(tmp_path, FolderData()) == tmp_path / name
    with pytest.raises(TagmaskError, match=r"no table of tags at .*mine\.csv"):
        find_table(tmp_path, FolderData(tags="mine.csv"))


def test_several_tables_are_refused_by_name(tmp_path: Path):
    (tmp_path / "tags.json").touch()
    (tmp_path / "tags.tsv").touch()
    with pytest.raises(TagmaskError, match=r"tags\.json, tags\.tsv; name one of them with data\.tags"):
        find_table(tmp_path, FolderData())


@pytest.mark.parametrize("name", ["Image", "Path", "file", "file_name", "ImageID", "image_id", "img", "File Name"])
def test_image_columns_of_usual_names(name: str):
    assert image_column(["tags", name, "x"], FolderData()) == name
    assert image_column(["tags", name, "x"], FolderData(image_column="photograph")) is None


def test_paths_come_before_numbers():
    assert image_column(["image_id", "file_name"], FolderData()) == "file_name"
    assert named_like(["a", "b"], ["c"]) is None


def test_lines_give_the_cells_that_they_have():
    cells = Cells({"image": 0, "tags": 1, "split": 2}, ("a.jpg", "cat"))
    assert dict(cells) == {"image": "a.jpg", "tags": "cat"}
    assert (len(cells), cells.get("split"), "split" in cells) == (2, None, False)


def test_columns_are_read_from_above_and_missing_cells_are_none():
    lines = Lines([(1, ("a.jpg", "cat"), True), (2, ("b.jpg",), False)], partial(Cells, {"image": 0, "tags": 1}))
    assert [dict(line.cells) for line in lines] == [{"image": "a.jpg", "tags": "cat"}, {"image": "b.jpg"}]
    assert [*lines.column("image")] == ["a.jpg", "b.jpg"]
    assert [*lines.column("tags")] == ["cat", None]
    assert len(lines) == 2


def test_lines_are_left_out_by_their_places_and_keep_their_numbers():
    lines = Lines([(2, {"x": "a"}, True), (4, {"x": "b"}, False), (5, {"x": "c"}, True), (6, {"x": "d"}, False)], dict)
    kept = lines.but({0, 1})
    assert [(line.number, line.cells["x"], line.fits) for line in kept] == [(5, "c", True), (6, "d", False)]


def test_objects_of_json_may_have_a_key_each(tmp_path):
    """As many columns as lines, which must not take the square of them."""
    table = tmp_path / "tags.json"
    table.write_text(json.dumps([{f"{number}.jpg": ["cat"]} for number in range(20_000)]))
    sheet = read_sheet(table, FolderData())
    assert len(sheet.columns) == len(sheet.lines) == 20_000


def test_an_object_of_json_without_a_key_is_told_from_one_of_null(tmp_path):
    table = tmp_path / "tags.json"
    table.write_text('[{"image": "a"}, {"tags": null, "image": "b"}]')
    sheet = read_sheet(table, FolderData())
    assert sheet.columns == ("image", "tags")
    assert [dict(line.cells) for line in sheet.lines] == [{"image": "a"}, {"image": "b", "tags": None}]


def test_cells_with_the_same_text_are_one_string(tmp_path):
    table = tmp_path / "tags.csv"
    table.write_text("image,tags\na.jpg,black cat\nb.jpg,black cat\n")
    first, second = read_sheet(table, FolderData()).lines
    assert first.cells["tags"] is second.cells["tags"]
