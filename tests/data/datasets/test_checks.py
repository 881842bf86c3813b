from pathlib import Path

import pytest

from data.datasets.photo_folder import ALL_TRAIN, paint, table
from tagmask.config import FolderData
from tagmask.data.datasets.folder import Folder
from tagmask.errors import TagmaskError


def test_long_lists_are_cut(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", *[f"gone{number:02d}.jpg,cat" for number in range(25)])
    with pytest.raises(TagmaskError, match=r"\(25\): .*gone09\.jpg, \.\.\.;") as raised:
        Folder(FolderData(**ALL_TRAIN), tmp_path)
    assert "gone10" not in str(raised.value)


@pytest.mark.parametrize("classes", [(), ("cat", "cat"), ("cat", "")])
def test_class_lists_that_are_none(tmp_path: Path, classes: tuple[str, ...]):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    with pytest.raises(TagmaskError, match=r"data\.classes"):
        Folder(FolderData(classes=classes), tmp_path)


def test_a_class_whose_only_image_is_left_out_is_told(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "gone.jpg,dog")
    with pytest.raises(TagmaskError, match=r"class without a training image \(1\): dog"):
        Folder(FolderData(on_bad_image="skip", **ALL_TRAIN), tmp_path)


def test_a_limited_number_of_each_split(tmp_path: Path):
    names = [f"{number}.jpg" for number in range(9)]
    paint(tmp_path, *names)
    split = ["train", "val", "test"]
    rows = [f"{name},{'cat' if k < 6 else 'dog'},{split[k % 3]}" for k, name in enumerate(names)]
    table(tmp_path, "image,tags,split", *rows)
    data = Folder(FolderData(max_images=2), tmp_path)
    assert [record.id for record in data.records] == ["0", "1", "2", "3", "4", "5"]
    assert data.classes == ("cat", "dog")
