import json
from pathlib import Path

import pytest

from data.datasets.photo_folder import ALL_TRAIN, paint, splits_of, table, tags_of
from tagmask.config import FolderData
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.folder import Folder
from tagmask.data.datasets.tables import Row, read_table
from tagmask.errors import TagmaskError


@pytest.mark.parametrize(
    ("separators", "cell"),
    [(";,|", "cat;dog"), (";,|", "cat | dog"), (";,|", '"cat,dog"'), (" ", "cat dog"), ("^]", "cat]dog")],
)
def test_separators(tmp_path: Path, separators: str, cell: str):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", f"a.jpg,{cell}")
    data = Folder(FolderData(separators=separators, **ALL_TRAIN), tmp_path)
    assert tags_of(data) == {"a": ["cat", "dog"]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_column_separators_and_names(tmp_path: Path, delimiter: str):
    paint(tmp_path / "photos", "a.jpg", "b.jpg")
    lines = ["comment,file,labels,part", "x,a,cat|dog,one", "y,b,dog,two"]
    table(tmp_path, *[line.replace(",", delimiter) for line in lines], name="list.csv")
    config = FolderData(
        images="photos", tags="list.csv", image_column="file", tags_column="labels", split_column="part",
        train_split="one", val_split="two",
    )  # fmt: skip
    data = Folder(config, tmp_path)
    assert tags_of(data) == ({"a": ["cat", "dog"], "b": ["dog"]})
    assert splits_of(data) == {"a": "one", "b": "two"}


def test_spreadsheet_csv_with_byte_order_mark(tmp_path: Path):
    paint(tmp_path, "ä.jpg")
    (tmp_path / "tags.csv").write_bytes("\ufeffimage,tags\r\nä.jpg,cat\r\n".encode())
    assert tags_of(Folder(FolderData(**ALL_TRAIN), tmp_path)) == {"ä": ["cat"]}


def test_one_hot_columns(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    table(tmp_path, "image,zebra,ant,author,split", "a,1,0,ann,train", "b,1.0,1,bob,train", "c,0,0,1,val")
    data = Folder(FolderData(), tmp_path)
    assert data.classes == ("zebra", "ant")
    assert tags_of(data) == {"a": ["zebra"], "b": ["zebra", "ant"], "c": []}


@pytest.mark.parametrize(
    "content",
    [
        {"a.jpg": ["cat", "dog"], "b": []},
        [{"image": "a.jpg", "tags": ["cat", "dog"]}, {"image": "b", "tags": ""}],
        [{"image": "a.jpg", "cat": 1, "dog": True}, {"image": "b", "cat": 0, "dog": False}],
    ],
)
def test_json(tmp_path: Path, content: object):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, json.dumps(content), name="tags.json")
    data = Folder(FolderData(tags="tags.json", **ALL_TRAIN), tmp_path)
    assert tags_of(data) == {"a": ["cat", "dog"], "b": []}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,tags"], "no rows"),
        ([""], "no rows"),
        (["shot,tags", "a.jpg,cat"], r"no column 'image'; its columns are 'shot', 'tags'.*data\.image_column"),
        (["image,labels", "a.jpg,cat"], r"no column 'tags'.*data\.tags_column.*0/1"),
        (["image,tags", "a.jpg,"], "at least one class"),
        (["image,tags,split", "a.jpg,cat,test"], r"training split \(1\): 'train' \(found: test\)"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, lines: list[str], message: str):
    paint(tmp_path, "a.jpg")
    table(tmp_path, *lines)
    with pytest.raises(TagmaskError, match=message):
        Folder(FolderData(**ALL_TRAIN), tmp_path)


@pytest.mark.parametrize("content", [b'{"a":', b'"a"', b"[1]", b"\xff"])
def test_json_that_is_no_table(tmp_path: Path, content: bytes):
    paint(tmp_path, "a.jpg")
    (tmp_path / "tags.json").write_bytes(content)
    with pytest.raises(TagmaskError, match=r"tags\.json"):
        Folder(FolderData(tags="tags.json"), tmp_path)


# ── rows, read directly ──────────────────────────────────────────────────────────────────────────────────────────────


def rows(path: Path, *lines: str, **settings) -> tuple[Row, ...]:
    path.write_text("\n".join(lines))
    return read_table(path, FolderData(**settings), Problems()).rows


def test_each_tag_is_listed_once_in_the_order_written(tmp_path: Path):
    assert rows(tmp_path / "t.csv", "image,tags", "a,dog;cat;;dog ; ") == (Row("a", ("dog", "cat")),)


def test_without_separators_a_cell_is_one_tag(tmp_path: Path):
    assert rows(tmp_path / "t.csv", "image,tags", "a,cat; the fat", separators="") == (Row("a", ("cat; the fat",)),)


def test_one_hot_columns_are_those_of_nothing_but_yes_and_no(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("split,image,zebra,count,ant\n1,a,TRUE,2,\n0,b,false,1,1.0\n")
    table = read_table(path, FolderData(), Problems())
    assert table.classes == ("zebra", "ant")
    assert table.rows == (Row("a", ("zebra",), "1"), Row("b", ("ant",), "0"))


def test_written_tags_come_before_one_hot_columns(tmp_path: Path):
    assert rows(tmp_path / "t.csv", "image,tags,zebra", "a,cat,1") == (Row("a", ("cat",)),)


def noted(path: Path, content: str) -> str:
    path.write_text(content)
    problems = Problems()
    read_table(path, FolderData(), problems)
    with pytest.raises(TagmaskError) as raised:
        problems.raise_any(path.parent)
    return str(raised.value)


def test_broken_rows_are_named_as_an_editor_counts_them(tmp_path: Path):
    told = noted(tmp_path / "t.csv", "image,tags,split\na,cat,train\n,cat,train\nb,cat,\nc,cat,val,more\n")
    assert "(3): row 3 of t.csv, row 4 of t.csv, row 5 of t.csv;" in told
    told = noted(tmp_path / "t.json", '[{"image": "a", "tags": []}, {"image": null, "tags": "cat"}]')
    assert "(1): row 2 of t.json;" in told


def test_a_json_cell_of_no_tags_is_a_negative(tmp_path: Path):
    assert rows(tmp_path / "t.json", '{"a": null, "b": "cat;dog", "c": ["cat;dog"]}') == (
        Row("a", ()),
        Row("b", ("cat", "dog")),
        Row("c", ("cat;dog",)),
    )


def test_a_table_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(b"image,tags\na.jpg,\xff\n")
    with pytest.raises(TagmaskError, match=r"cannot read the table .*t\.csv.*save it as CSV in UTF-8"):
        read_table(tmp_path / "t.csv", FolderData(), Problems())


def test_an_object_of_json_without_the_key_of_tags_is_no_negative(tmp_path):
    path = tmp_path / "tags.json"
    path.write_text('[{"image": "a.png", "tags": ["cat"]}, {"image": "b.png"}, {"image": "c.png", "tags": []}]')
    problems = Problems()
    table = read_table(path, FolderData(tags="tags.json"), problems)
    assert [row.image for row in table.rows] == ["a.png", "c.png"]
    with pytest.raises(TagmaskError, match=r"row that does not fit its table \(1\): row 2 of tags\.json"):
        problems.raise_any(tmp_path)
