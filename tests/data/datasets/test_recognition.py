import json

import pytest

from data.datasets.tar_content import pack, packed_scenes, picture
from tagmask.config.recipes import load_recipe
from tagmask.data.datasets.recognition import recognised
from tagmask.errors import TagmaskError


def test_a_table_needs_no_words_and_folders_are_classes(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "tags.csv").write_text("image,tags\n")
    assert recognised(tmp_path / "photos") is None
    (tmp_path / "other" / "cat").mkdir(parents=True)
    assert recognised(tmp_path / "other").change == "data.tags=null"
    assert recognised(tmp_path / "other", ("data.tags=mine.csv",)) is None
    assert recognised(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["labels.csv", "My photos.TSV"])
def test_the_only_table_is_that_of_the_tags_whatever_its_name(tmp_path, name):
    (tmp_path / "images").mkdir()
    mark = "\t" if name.endswith("TSV") else ","
    (tmp_path / name).write_text(f"Filename{mark}tags\n1.jpg{mark}cat\n")
    found = recognised(tmp_path)
    assert (found.setting, found.value) == ("data.tags", name)
    assert load_recipe("folder-cpu", [found.change]).data.tags == name
    assert recognised(tmp_path, ("data.tags=null",)) is None


TABLES = {"colours.csv": "class,colour\ncat,red\n", "notes.json": "{}"}


@pytest.mark.parametrize(
    "tables",
    [
        *(("labels.csv", "more.csv"), ("tags.tsv", "tags.json"), ("Tags.csv", "tags.json")),
        *(("colours.csv",), (".hidden.csv",), ("notes.json",)),
    ],
)
def test_other_tables_are_not_taken_for_that_of_the_tags(tmp_path, tables):
    for name in tables:
        (tmp_path / name).write_text(TABLES.get(name, "image,tags\n1.jpg,cat\n"))
    assert recognised(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"image,tags\n\xff\xfe.jpg,cat\n"])
def test_an_only_table_that_cannot_be_read_is_named_unless_tar_files_may_be_the_data(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(TagmaskError, match=r"labels\.csv"):
        recognised(tmp_path)
    (tmp_path / "train.tar.zst").write_bytes(b"")
    assert recognised(tmp_path).value == {"kind": "tar"}


def test_beside_folders_a_table_may_say_anything_and_the_folders_are_classes(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "metadata.csv").write_text("filename,tags,is_valid\ncat/1.jpg,canon,1\n")
    assert recognised(tmp_path).change == "data.tags=null"


@pytest.mark.parametrize("place", ["JPEGImages/x", "VOC2012/JPEGImages/x", "VOCdevkit/VOC2012/JPEGImages/x"])
def test_voc_is_known_by_its_folder_of_images(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True)
    assert recognised(tmp_path).value == {"kind": "voc"}


@pytest.mark.parametrize("place", ["annotations/a.json", "_annotations.coco.json"])
def test_coco_is_known_by_its_annotations(tmp_path, place):
    (tmp_path / "photos").mkdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps({"info": {}, "images": [], "annotations": []}))
    assert recognised(tmp_path).value == {"kind": "coco"}


@pytest.mark.parametrize(
    ("years", "value"),
    [((2017,), {"kind": "coco", "year": 2017}), ((2014,), {"kind": "coco"}), ((2014, 2017), {"kind": "coco"})],
)
def test_the_year_of_coco_is_that_of_its_files(tmp_path, years, value):
    (tmp_path / "annotations").mkdir()
    for year in years:
        (tmp_path / "annotations" / f"instances_train{year}.json").write_text("{}")
    assert recognised(tmp_path).value == value
    assert load_recipe("folder-cpu", [recognised(tmp_path).change, "data.year=2014"]).data.year == 2014


@pytest.mark.parametrize("content", ['[{"images": 1}]', "{}", "", "nothing"])
def test_other_json_files_are_not_taken_for_coco(tmp_path, content):
    (tmp_path / "cat").mkdir()
    (tmp_path / "more.json").write_text(content)
    assert recognised(tmp_path).change == "data.tags=null"


def test_tar_files_are_known_by_the_tags_within(tmp_path):
    assert recognised(packed_scenes(tmp_path / "packed")).value == {"kind": "tar"}
    (tmp_path / "archives" / "cats").mkdir(parents=True)
    pack(tmp_path / "archives" / "photos.tar", [("a.png", picture(0))])
    assert recognised(tmp_path / "archives").change == "data.tags=null"


def test_tar_files_are_known_in_folders_of_splits(tmp_path):
    packed_scenes(tmp_path / "train")
    assert recognised(tmp_path).value == {"kind": "tar", "shards": "*/*.tar"}
    (tmp_path / "train" / "._train-000000.tar").write_bytes(b"x")
    assert recognised(tmp_path / "train").value == {"kind": "tar"}


@pytest.mark.parametrize("name", ["photos.tar", "photos.TAR", "photos.tar.gz", "photos.tgz"])
def test_tar_files_that_cannot_be_read_are_no_folder_of_images(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert recognised(tmp_path).value == {"kind": "tar"}
    (tmp_path / "a.JPG").write_bytes(b"x")
    assert recognised(tmp_path) is None
