import unicodedata
from pathlib import Path

import pytest

from data.datasets.coco_content import paint, write
from tagmask.config import CocoData
from tagmask.data.datasets.coco.layout import annotation_files, image_folders, is_official, located
from tagmask.errors import TagmaskError

YEAR = CocoData(year=2017)


def files(root: Path, config: CocoData = YEAR) -> tuple[dict[str, str], list[str]]:
    notes: list[str] = []
    found = annotation_files(config, root, notes)
    return {split: path.relative_to(root).as_posix() for split, path in found.items()}, notes


# ── annotation files ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_official_files(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / f"annotations/instances_{split}2017.json", {})
    found, notes = files(tmp_path)
    assert found == {"train": "annotations/instances_train2017.json", "val": "annotations/instances_val2017.json"}
    assert notes == []
    assert is_official(YEAR, tmp_path, [tmp_path / name for name in found.values()])


@pytest.mark.parametrize("name", ["annotations/instances_default.json", "labels.json", "train/_annotations.coco.json"])
def test_the_only_file_is_taken_and_that_is_said(tmp_path, name):
    write(tmp_path / name, {})
    found, notes = files(tmp_path)
    assert found == {"train": name}
    assert f"{name} is the only annotation file" in notes[0]
    assert "data.val_fraction" in notes[1]
    assert not is_official(YEAR, tmp_path, [tmp_path / name])


def test_named_files(tmp_path):
    for name in ("a.json", "b.json"):
        write(tmp_path / name, {})
    assert files(tmp_path, CocoData(annotations="a.json", val_annotations="b.json"))[0] == {
        "train": "a.json",
        "val": "b.json",
    }
    found, notes = files(tmp_path, CocoData(annotations="a.json"))
    assert found == {"train": "a.json"}
    assert "about 10% of its images" in notes[0]
    assert files(tmp_path, CocoData(annotations="a.json", val_split=None)) == ({"train": "a.json"}, [])


@pytest.mark.parametrize("wrong", [{"annotations": "c.json"}, {"annotations": "a.json", "val_annotations": "c.json"}])
def test_a_named_file_that_is_missing(tmp_path, wrong):
    write(tmp_path / "a.json", {})
    with pytest.raises(TagmaskError, match=r"c\.json does not exist; correct data\.annotations.*there are a\.json"):
        files(tmp_path, CocoData(**wrong))


def test_several_files_are_not_guessed_among(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"annotations/{name}.json", {})
    with pytest.raises(TagmaskError, match=r"data\.annotations.*annotations/a\.json, annotations/b\.json"):
        files(tmp_path)


def test_the_file_of_the_validation_images_is_not_taken_for_that_of_training(tmp_path):
    write(tmp_path / "annotations/instances_val2017.json", {})
    with pytest.raises(TagmaskError, match=r"instances_train2017\.json does not exist"):
        files(tmp_path)


# ── photographs ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["train2017", "images/train2017", "train", "images", "data", "images/default", "."])
def test_folders_of_images_in_many_layouts(tmp_path, place):
    annotations = write(tmp_path / "annotations/instances_default.json", {})
    paint(tmp_path / place, "sub/a.jpg")
    folders = image_folders(YEAR, tmp_path, "train", annotations)
    assert located(["sub/a.jpg"], folders, []) == [tmp_path / place / "sub/a.jpg"]


def test_images_beside_their_annotations(tmp_path):
    annotations = write(tmp_path / "valid/_annotations.coco.json", {})
    paint(tmp_path / "valid", "a.jpg")
    assert located(["a.jpg"], image_folders(YEAR, tmp_path, "val", annotations), []) == [tmp_path / "valid/a.jpg"]


def test_a_named_folder_of_images(tmp_path):
    paint(tmp_path / "pics", "a.jpg")
    named = CocoData(images="pics")
    assert image_folders(named, tmp_path, "train", tmp_path / "a.json") == [tmp_path / "pics"]
    with pytest.raises(TagmaskError, match=r"photos does not exist.*data\.images"):
        image_folders(CocoData(images="photos"), tmp_path, "train", tmp_path / "a.json")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("t0/a.jpg", "t0/a.jpg"),
        ("t0\\a.jpg", "t0/a.jpg"),
        ("./t0/a.jpg", "t0/a.jpg"),
        ("/home/me/pictures/t0/a.jpg", "t0/a.jpg"),
        ("C:\\me\\t0\\a.jpg", "t0/a.jpg"),
        ("../images/t0/a.jpg", "t0/a.jpg"),
        ("T0/A.JPG", "t0/a.jpg"),
        ("t0/a", "t0/a.jpg"),
    ],
)
def test_names_as_machines_write_them(tmp_path, written, found):
    paint(tmp_path, "t0/a.jpg", "t1/a.jpg")
    assert located([written], [tmp_path], []) == [tmp_path / found]


def test_composed_and_decomposed_letters_are_the_same(tmp_path):
    paint(tmp_path, unicodedata.normalize("NFD", "ü.jpg"))
    notes: list[str] = []
    assert located([unicodedata.normalize("NFC", "ü.jpg")], [tmp_path], notes)[0].is_file()
    assert "written otherwise" in notes[0]


def test_as_many_folders_are_left_out_of_all_names(tmp_path):
    paint(tmp_path, "t0/a.jpg", "a.jpg")
    notes: list[str] = []
    found = located(["pics/t0/a.jpg", "pics/t1/a.jpg"], [tmp_path], notes)
    assert found == [tmp_path / "t0/a.jpg", tmp_path / "t1/a.jpg"]  # the second is missing: a.jpg is another image
    assert "The first 1 folders" in notes[0]


def test_names_that_fit_several_files_in_another_case_are_missing(tmp_path):
    paint(tmp_path, "a.jpg", "A.jpg", "b.jpg")
    assert located(["a.JPG", "b.jpg"], [tmp_path], [])[0] == tmp_path / "a.JPG"


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a\0.jpg", "..", "/", ""])
def test_names_that_no_file_can_have_are_missing(tmp_path, name):
    paint(tmp_path, "b.jpg")
    missing, there = located([name, "b.jpg"], [tmp_path], [])
    assert there == tmp_path / "b.jpg"
    assert missing.is_relative_to(tmp_path)
    assert missing != there


def test_where_no_image_is_found_at_all_it_is_said_where_was_looked(tmp_path):
    with pytest.raises(TagmaskError, match=r"none of the 2 images .*'a\.jpg'.*data\.images") as raised:
        located(["a.jpg", "b.jpg"], [tmp_path], [])
    assert str(tmp_path) in str(raised.value)
    assert located([], [tmp_path], []) == []
