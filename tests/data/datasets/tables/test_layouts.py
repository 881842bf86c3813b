"""Tags in one cell, a column per class, a row per image and tag."""

from pathlib import Path

import pytest

from tagmask.config import FolderData
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.tables import Table, read_table
from tagmask.data.datasets.tables.layouts import Verdict, tags_in, verdict
from tagmask.errors import TagmaskError

# ── cells ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "cell",
    [
        "['cat', 'dog']", '["cat", "dog"]', "['cat' 'dog']", "['cat'\n 'dog']", "[cat, dog]", "{'cat', 'dog'}",
        "('cat', 'dog')", "array(['cat', 'dog'], dtype=object)", "[np.str_('cat'), np.str_('dog')]",
        "['cat', nan, 'dog']", "cat;dog", " cat | dog;cat", ["cat", " dog", None],
    ],
)  # fmt: skip
def test_lists_are_read_as_lists(cell: object):
    assert tags_in(cell, ";,|") == ("cat", "dog")


@pytest.mark.parametrize(
    "cell", ["", None, "[]", "[ ]", "()", "set()", "NaN", "nan", "None", "NULL", "NA", float("nan"), [], "[nan]"]
)
def test_cells_of_no_tags(cell: object):
    assert tags_in(cell, ";,|") == ()


@pytest.mark.parametrize(
    "cell", ["['cat', 'dog'", "dog']", "[['cat']]", "['cat' ... 'dog']", "[1, 0]", [0, 1, 1], True, "cat\ndog"]
)
def test_cells_that_cannot_be_read_are_none(cell: object):
    assert tags_in(cell, ";,|") is None


@pytest.mark.parametrize(
    "cell", ["(other)", "dog's", "cat (big)", "7", "[/red]cat", "[b]dog[/b]", "<b>dog</b> & co", "cat/kitten", "cat]"]
)
def test_names_with_signs_are_names(cell: str):
    assert tags_in(cell, ";,|") == (cell,)


def test_quotes_within_quotes():
    assert tags_in("['a]b']", ";") == ("a]b",)
    assert tags_in('["dog\'s", "a \\"b\\""]', ";") == ("dog's", 'a "b"')


def test_verdicts():
    assert {verdict(cell) for cell in (1, "1", "1.0", "1,0", "True", True)} == {Verdict.PRESENT}
    assert {verdict(cell) for cell in (0, "0.0", "FALSE", "", None, "nan", float("nan"))} == {Verdict.ABSENT}
    assert {verdict(cell) for cell in (-1, "-1.0")} == {Verdict.UNCERTAIN}
    assert {verdict(cell) for cell in (2, "0.5", "yes", "x")} == {None}


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(folder: Path, *lines: str, **settings) -> Table:
    (folder / "t.csv").write_text("\n".join(lines))
    problems = Problems()
    table = read_table(folder / "t.csv", FolderData(**settings), problems)
    problems.raise_any(folder)
    return table


def tags(table: Table) -> dict[str, tuple[str, ...]]:
    return {row.image: row.tags for row in table.rows}


CHEST = ["Path,Sex,Age,Fluid,Nodule,split", "a,Female,60,1.0,,train", "b,Male,61,,-1.0,train", "c,Male,62,0.0,1,val"]


def test_uncertain_labels_are_refused_with_column_and_count(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"-1 in 1 row\(s\) of column 'Nodule'; .*data\.uncertain=negative"):
        read(tmp_path, *CHEST)


@pytest.mark.parametrize(("uncertain", "expected"), [("negative", ()), ("positive", ("Nodule",))])
def test_uncertain_labels_may_be_decided(tmp_path: Path, uncertain: str, expected: tuple[str, ...]):
    table = read(tmp_path, *CHEST, uncertain=uncertain)
    assert table.classes == ("Fluid", "Nodule")
    assert tags(table) == {"a": ("Fluid",), "b": expected, "c": ("Nodule",)}
    assert "Images are named by column 'Path'" in table.notes[0]
    assert "these columns are none: Sex (Female), Age (60)" in table.notes[1]


def test_numbers_of_rows_and_empty_columns_are_no_classes(tmp_path: Path):
    assert read(tmp_path, ",image,cat,remark", "0,a,1,", "1,b,0,").classes == ("cat",)
    assert read(tmp_path, "Unnamed: 0,image,cat", "0,a,1", "1,b,0").classes == ("cat",)


def test_words_for_nothing_are_said(tmp_path: Path):
    table = read(tmp_path, "image,tags", "a,NaN", "b,cat")
    assert tags(table) == {"a": (), "b": ("cat",)}
    assert "1 cells that say NaN" in table.notes[0]


def test_cells_that_cannot_be_read_are_named(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"cannot be read \(1\): \"\['cat'\" at a;"):
        read(tmp_path, "image;tags", "a;['cat'", "b;dog")


LONG = ["ImageID,Source,LabelName,Confidence", "a,v,cat,1", "a,v,dog,0", "b,v,cat,0", "c,v,dog,1.0", "c,m,dog,1"]


def test_a_zero_in_a_long_table_is_absent(tmp_path: Path):
    table = read(tmp_path, *LONG)
    assert tags(table) == {"a": ("cat",), "b": (), "c": ("dog",)}
    assert any(
        "a row per image and tag" in note and "3 images, 1 of them without a tag" in note for note in table.notes
    )
    assert "Columns that are not used: Source." in table.notes


def test_columns_of_a_long_table_may_be_named(tmp_path: Path):
    settings = {"image_column": "ImageID", "tags_column": "LabelName"}
    assert tags(read(tmp_path, *LONG, **settings)) == {"a": ("cat",), "b": (), "c": ("dog",)}


def test_a_long_table_without_repeated_images(tmp_path: Path):
    assert tags(read(tmp_path, *LONG[:2], LONG[3])) == {"a": ("cat",), "b": ()}


def test_repeated_images_with_labels_are_a_long_table(tmp_path: Path):
    lines = ["image,label,split", "a,cat,train", "a,dog,train", "b,,train"]
    assert tags(read(tmp_path, *lines)) == {"a": ("cat", "dog"), "b": ()}


def test_repeated_images_with_tags_are_one_if_it_is_said(tmp_path: Path):
    lines = ["image,tags", "a,cat", "a,dog"]
    assert len(read(tmp_path, *lines).rows) == 2  # the data set refuses them as listed twice
    assert tags(read(tmp_path, *lines, layout="long")) == {"a": ("cat", "dog")}


def test_fractions_are_uncertain(tmp_path: Path):
    lines = ["image,label,confidence", "a,cat,0.7", "b,cat,1"]
    with pytest.raises(TagmaskError, match=r"neither 0 nor 1 in 1 row\(s\) of column 'confidence'"):
        read(tmp_path, *lines)
    assert tags(read(tmp_path, *lines, uncertain="negative")) == {"a": (), "b": ("cat",)}
    assert tags(read(tmp_path, *lines, uncertain="positive")) == {"a": ("cat",), "b": ("cat",)}
    assert tags(read(tmp_path, *lines, confidence_column=None, tags_column="label")) == {"a": ("cat",), "b": ("cat",)}


def test_rows_that_contradict_each_other_are_named(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"contradict each other \(1\): a \(cat: both present and absent\)"):
        read(tmp_path, "image,label,present", "a,cat,1", "a,cat,0")
    with pytest.raises(TagmaskError, match=r"a \(splits train, val\)"):
        read(tmp_path, "image,label,split", "a,cat,train", "a,dog,val")


def test_a_column_that_may_mean_absent_is_asked_about(tmp_path: Path):
    lines = ["image,label,checked", "a,cat,1", "a,dog,0"]
    with pytest.raises(
        TagmaskError, match=r"data\.confidence_column=checked if 0 means .*data\.confidence_column=null"
    ):
        read(tmp_path, *lines)
    assert tags(read(tmp_path, *lines, confidence_column=None)) == {"a": ("cat", "dog")}
    assert tags(read(tmp_path, *lines, confidence_column="checked")) == {"a": ("cat",)}


def test_tags_that_no_image_has_are_said(tmp_path: Path):
    table = read(tmp_path, "image,label,present", "a,cat,1", "a,newt,0")
    assert "Tags that no image has are no classes: newt." in table.notes
