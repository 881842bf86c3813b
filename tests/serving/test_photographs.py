import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tagmask.data.class_list import is_class_list
from tagmask.errors import TagmaskError
from tagmask.serving.photographs import Photographs, photographs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint(tmp_path / "photos", "a.png", "a.JPG", "deep/er/b.png")


def paint(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), "red").save(folder / name)
    return folder


def names(found: Photographs, root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in found.files]


def class_list(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.json").write_text(json.dumps([{"index": 0, "name": "background", "color": [0, 0, 0]}]))


def test_images_anywhere_below_are_found(photos):
    (photos / "notes.txt").write_text("no image")
    assert names(photographs(photos), photos) == ["a.JPG", "a.png", "deep/er/b.png"]
    assert photographs(photos / "a.png").files == [photos / "a.png"]


def test_a_folder_can_be_left_out(photos):
    assert names(photographs(photos, without=photos / "deep"), photos) == ["a.JPG", "a.png"]
    for outside in (photos, photos.parent, photos.parent / "out"):
        assert len(photographs(photos, without=outside).files) == 3


def test_hidden_files_and_folders_are_passed_over(photos):
    paint(photos, "._a.jpg", ".x.png", ".cache/c.jpg", "deep/.hidden/d.jpg")
    found = photographs(photos)
    assert len(found.files) == 3
    assert found.broken == []


def test_a_folder_that_is_named_like_an_image_is_a_folder(photos):
    paint(photos, "dir.jpg/in.jpg")
    (photos / "empty.png").mkdir()
    found = photographs(photos)
    assert "dir.jpg/in.jpg" in names(found, photos)
    assert found.broken == []


def test_broken_links_are_named_and_links_out_of_the_folder_too(photos, tmp_path):
    paint(tmp_path, "else.jpg", "other/c.jpg")
    (photos / "broken.jpg").symlink_to("/nowhere.jpg")
    (photos / "out.jpg").symlink_to(tmp_path / "else.jpg")
    (photos / "in.jpg").symlink_to(photos / "a.png")
    (photos / "folder").symlink_to(tmp_path / "other")
    (photos / "loop").symlink_to(photos)
    found = photographs(photos)
    assert found.broken == [f"{photos / 'broken.jpg'} is a link to /nowhere.jpg, which is not there"]
    assert found.linked == [photos / "out.jpg"]
    assert sorted(found.links) == [photos / "folder", photos / "loop"]
    assert names(found, photos) == ["a.JPG", "a.png", "deep/er/b.png", "in.jpg", "out.jpg"]


def test_a_pipe_is_not_waited_for(photos):
    os.mkfifo(photos / "pipe.jpg")
    assert "pipe.jpg is no file" in photographs(photos).broken[0]


def test_pictures_of_other_kinds_are_named(photos):
    for name in ("phone.heic", "photo.JFIF", "Thumbs.db"):
        (photos / name).write_bytes(b"x")
    assert [path.name for path in photographs(photos).others] == ["phone.heic", "photo.JFIF"]


@pytest.mark.parametrize("place", ["masks", "deep/masks", "."])
def test_masks_that_an_earlier_call_wrote_are_known_by_the_class_list_beside_them(photos, place):
    class_list(photos / place)
    written = ("a.png.png", "a.png_overlay.jpg", "deep/er/b.jpg.png", "deep/er/b.jpg_overlay.jpg")
    paint(photos / place, *written)
    found = photographs(photos)
    assert names(found, photos) == ["a.JPG", "a.png", "deep/er/b.png"]
    assert found.masks == 4


def test_masks_with_their_overlays_are_known_without_a_class_list(photos):
    paint(photos / "masks", "a.png.png", "a.png_overlay.jpg", "b.png.png")
    found = photographs(photos)
    assert found.masks == 2
    assert "masks/b.png.png" in names(found, photos)


def test_indexed_masks_beside_their_photographs_are_known_without_a_class_list(photos):
    for name in ("a.JPG.png", "lonely.jpg.png"):
        Image.new("P", (8, 6)).save(photos / name)
    paint(photos, "a.png.png")  # in colours: a photograph, whatever its name
    (photos / "b.png").write_bytes(b"cut")
    (photos / "b.png.png").write_bytes(b"cut")
    found = photographs(photos)
    assert names(found, photos) == [
        "a.JPG", "a.png", "a.png.png", "b.png", "b.png.png", "deep/er/b.png", "lonely.jpg.png",
    ]  # fmt: skip
    assert found.masks == 1


def test_photographs_beside_a_class_list_are_still_photographs(photos):
    class_list(photos)
    paint(photos, "my_overlay.jpg", "x.png")
    assert len(photographs(photos).files) == 5


def test_names_like_those_of_masks_count_where_nobody_wrote_masks(photos):
    paint(photos, "scan.jpg.png")
    (photos / "classes.json").write_text('{"classes": ["mine"]}')
    assert len(photographs(photos).files) == 4


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '[{"index": 0}]', '["a"]'])
def test_other_files_of_that_name_are_no_class_list(tmp_path, text):
    (tmp_path / "classes.json").write_text(text)
    assert not is_class_list(tmp_path / "classes.json")
    assert not is_class_list(tmp_path / "nothing.json")


def test_nothing_to_segment_says_what_is_there_instead(tmp_path):
    with pytest.raises(TagmaskError, match="no such image or folder"):
        photographs(tmp_path / "nowhere")
    with pytest.raises(TagmaskError, match=r"no images below .*\.png"):
        photographs(tmp_path)
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(TagmaskError, match=r"1 of other kinds, such as a\.heic"):
        photographs(tmp_path)
