"""Which file a name in a table means."""

import os
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets.photo_folder import paint
from tagmask.data.datasets.checks import Problem
from tagmask.data.datasets.paths import (
    IMAGE_SUFFIXES,
    Found,
    ImageFiles,
    PathsBelow,
    Unclear,
    any_case,
    image_id,
    listed_ids,
    readable,
)
from tagmask.errors import TagmaskError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "b\u00e4r.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("name", ["./a.jpg", ".\\a.jpg", "a", "images/a.jpg", "images\\a.jpg", "./images/a"])
def test_prefixes_separators_and_missing_extensions(tmp_path: Path, name: str):
    paint(tmp_path / "images", "a.jpg")
    assert ImageFiles(tmp_path / "images", data=tmp_path).find(name) == Found("a.jpg")


def test_paths_may_begin_with_the_name_of_the_data_folder(tmp_path: Path):
    paint(tmp_path / "photos", "deep/a.jpg")
    assert ImageFiles(tmp_path / "photos").find("photos/deep/a.jpg") == Found("deep/a.jpg")


def test_whole_paths_below_the_folder(tmp_path: Path):
    paint(tmp_path / "photos", "deep/a.jpg")
    files = ImageFiles(tmp_path / "photos")
    assert files.find(str(tmp_path / "photos" / "deep" / "a.jpg")) == Found("deep/a.jpg")
    assert files.find(str(tmp_path / "deep" / "a.jpg")) == Unclear(Problem.OUTSIDE, str(tmp_path / "deep" / "a.jpg"))


def test_whole_paths_through_a_link_to_the_folder(tmp_path: Path):
    paint(tmp_path / "photos", "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    assert ImageFiles(tmp_path / "link").find(str(tmp_path / "link" / "a.jpg")) == Found("a.jpg")


@pytest.mark.parametrize(
    "name", ["../a.jpg", "x/../a.jpg", "..\\a.jpg", "C:\\pics\\a.jpg", "\\\\server\\a.jpg", "a\0.jpg"]
)
def test_paths_that_lead_out_or_come_from_another_machine(tmp_path: Path, name: str):
    paint(tmp_path, "a.jpg")
    assert ImageFiles(tmp_path).find(name) == Unclear(Problem.OUTSIDE, name)


def test_another_case_is_found_where_one_file_fits(tmp_path: Path):
    paint(tmp_path, "Garden/IMG_1.JPG", "b.jpg")
    files = ImageFiles(tmp_path)
    assert files.find("garden/img_1.jpg") == Found("Garden/IMG_1.JPG", respelled=True)
    assert files.find("garden/img_1") == Found("Garden/IMG_1.JPG", respelled=True)
    assert files.find("b.jpg") == Found("b.jpg")


def test_where_several_files_fit_all_are_named(tmp_path: Path):
    paint(tmp_path, "IMG.jpg", "Img.JPG")
    files = ImageFiles(tmp_path)
    assert files.find("img.jpg") == Unclear(Problem.AMBIGUOUS, "img.jpg (there are IMG.jpg, Img.JPG)")
    assert files.find("IMG.jpg") == Found("IMG.jpg")


@pytest.mark.parametrize(("stored", "written"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_accents_may_be_written_either_way(tmp_path: Path, stored: str, written: str):
    paint(tmp_path, stored)
    assert ImageFiles(tmp_path).find(written) == Found(stored)


@pytest.mark.parametrize(
    "name", ["a b.jpg", "a,b.jpg", 'a"b.jpg', "a[1].jpg", "a\tb.jpg", "-a.jpg", "\u732b.jpg", "a\\b.jpg", "C:a.jpg"]
)
def test_odd_names_are_found_as_they_are(tmp_path: Path, name: str):
    paint(tmp_path, name)
    assert ImageFiles(tmp_path).find(name) == Found(name)


def test_links_out_of_the_folder_are_refused_and_linked_folders_named(tmp_path: Path):
    paint(tmp_path / "other", "z.jpg")
    paint(tmp_path / "photos", "a.jpg")
    (tmp_path / "photos" / "l.jpg").symlink_to(tmp_path / "other" / "z.jpg")
    (tmp_path / "photos" / "newt").symlink_to(tmp_path / "other")
    files = ImageFiles(tmp_path / "photos")
    assert files.find("l.jpg") == Unclear(Problem.OUTSIDE, "l.jpg")
    assert files.find("newt/z.jpg") == Unclear(Problem.OUTSIDE, "newt/z.jpg")
    assert files.passed_over == ["newt (a linked folder)"]


def test_names_that_are_no_text_are_passed_over_by_name(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    files = ImageFiles(tmp_path)
    assert files.names == ("a.jpg",)
    assert files.passed_over == ["\\xff.jpg (a name that is not UTF-8)"]


def test_a_mask_in_png_goes_before_others(tmp_path: Path):
    paint(tmp_path, "a.png", "a.tif", "B.PNG", "c.tif", "c.bmp")
    files = ImageFiles(tmp_path)
    assert [files.named(key) for key in "abcd"] == [["a.png"], ["B.PNG"], ["c.bmp", "c.tif"], []]


def test_names_in_any_case():
    assert any_case(DECOMPOSED.upper()) == any_case(COMPOSED)
    assert readable("plain.jpg") == "plain.jpg"


def test_ids_in_a_list(tmp_path: Path):
    assert listed_ids(None, tmp_path) is None
    (tmp_path / "ids.txt").write_text("a.jpg\nb\n")
    assert listed_ids("ids.txt", tmp_path) == {"a", "b"}
    with pytest.raises(TagmaskError, match=r"no\.txt"):
        listed_ids("no.txt", tmp_path)


def test_runs_and_predicted_masks_among_the_photographs_are_no_photographs(tmp_path: Path):
    paint(tmp_path / "cat", "a.jpg")
    paint(tmp_path / "run" / "masks", "a.png")
    for name in ("recipe.json", "data.json"):
        (tmp_path / "run" / name).write_text("{}")
    paint(tmp_path / "out" / "cat", "a.jpg.png")
    (tmp_path / "out" / "classes.json").write_text('[{"index": 0, "name": "background", "color": "#000000"}]')
    files = ImageFiles(tmp_path)
    assert files.names == ("cat/a.jpg",)
    assert files.passed_over == ["out (masks with their class list)", "run (a run folder)"]
    assert ImageFiles(tmp_path / "run").names == ("masks/a.png",)  # asked for by name


def test_the_very_name_of_a_file_means_that_file(tmp_path: Path):
    for name in ("a.png", "a.png.png", "b/c.jpg", "b/c.jpg.png"):
        paint(tmp_path / Path(name).parent, Path(name).name)
    files = ImageFiles(tmp_path)
    assert files.find("a.png") == Found("a.png")
    assert files.find("b/c.jpg") == Found("b/c.jpg")


@given(st.text("ab./\\jpgPNG ", max_size=12))
def test_the_quick_way_to_an_id_is_that_of_pathlib(name: str):
    path = PurePosixPath(name)
    assert image_id(name) == (str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path))


def test_paths_of_ids_are_made_when_they_are_asked_for(tmp_path: Path):
    paths = PathsBelow(tmp_path, {"a": "a.jpg", "b/c": "b/c.png"})
    assert dict(paths) == {"a": tmp_path / "a.jpg", "b/c": tmp_path / "b" / "c.png"}
    assert len(paths) == 2
    with pytest.raises(KeyError):
        paths["d"]
