import json

import pytest

from tagmask.data.datasets.recognition import recognised


def test_a_table_needs_no_words_and_folders_are_classes(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "tags.csv").write_text("image,tags\n")
    assert recognised(tmp_path / "photos") is None
    (tmp_path / "other" / "cat").mkdir(parents=True)
    assert recognised(tmp_path / "other").change == "data.tags=null"
    assert recognised(tmp_path / "other", ("data.tags=mine.csv",)) is None
    assert recognised(tmp_path / "nowhere") is None


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


@pytest.mark.parametrize("content", ['[{"images": 1}]', "{}", "", "nothing"])
def test_other_json_files_are_not_taken_for_coco(tmp_path, content):
    (tmp_path / "cat").mkdir()
    (tmp_path / "more.json").write_text(content)
    assert recognised(tmp_path).change == "data.tags=null"
