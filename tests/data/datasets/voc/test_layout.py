from pathlib import Path

import pytest
from PIL import Image

from tagmask.config import VocData
from tagmask.data.datasets.voc.layout import VocImages, list_path, splits_of, voc_folder
from tagmask.errors import TagmaskError


def paint(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / "JPEGImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(path)
    return folder


def lines(folder: Path, name: str, *entries: str) -> None:
    path = folder / "ImageSets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(entries))


@pytest.mark.parametrize("place", [".", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/Bridges"])
def test_the_folder_is_found_whatever_its_name(tmp_path, place):
    paint(tmp_path / place, "a.jpg")
    assert voc_folder(tmp_path) == tmp_path / place


def test_several_folders_are_not_guessed_among_but_voc_2012_is(tmp_path):
    for name in ("Mine", "VOC2007"):
        paint(tmp_path / name, "a.jpg")
    with pytest.raises(TagmaskError, match="there are Mine, VOC2007"):
        voc_folder(tmp_path)
    paint(tmp_path / "VOC2012", "a.jpg")
    assert voc_folder(tmp_path) == tmp_path / "VOC2012"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("a", "a"),
        ("a.jpg", "a"),
        ("a  1", "a"),
        ("JPEGImages/a.jpg SegmentationClass/a.png", "a"),
        ("C:\\data\\JPEGImages\\a.jpg", "a"),
        ("my photo 1", "my photo 1"),
        ("v1.2", "v1.2"),
        ("t0/c", "t0/c"),
        ("t0/c.png", "t0/c"),
        ("../../secret/a", "a"),
        ("../../secret/zz.jpg", "zz"),
    ],
)
def test_what_a_line_of_a_list_means(tmp_path, line, key):
    images = VocImages(paint(tmp_path, "a.jpg", "my photo 1.jpg", "v1.2.jpg", "t0/c.PNG"))
    assert images.key(line) == key
    assert images.path(key).is_relative_to(tmp_path / "JPEGImages")


def test_files_of_one_id_are_noticed_and_hidden_ones_passed_over(tmp_path):
    images = VocImages(paint(tmp_path, "a.jpg", "a.png", "b.jpg", ".c.jpg", ".d/e.jpg"))
    assert (set(images.files), images.doubled) == ({"a", "b"}, {"a"})


def test_lists_of_segmentation_come_first_and_those_of_main_will_do(tmp_path):
    lines(tmp_path, "Main/train.txt", "a")
    assert list_path(tmp_path, "train", None) == tmp_path / "ImageSets/Main/train.txt"
    lines(tmp_path, "Segmentation/train.txt", "a")
    assert list_path(tmp_path, "train", None) == tmp_path / "ImageSets/Segmentation/train.txt"
    assert list_path(tmp_path, "val", None) is None
    with pytest.raises(TagmaskError, match=r"mine\.txt is missing.*data\.train_list"):
        list_path(tmp_path, "train", "mine.txt")


def split(folder: Path, **settings):
    notes: list[str] = []
    config = VocData(**{"train_split": "train", **settings})
    return *splits_of(folder, config, VocImages(folder), notes), notes


def test_without_lists_all_images_are_used(tmp_path):
    paint(tmp_path, "b.jpg", "a.jpg")
    splits, is_one_list, notes = split(tmp_path)
    assert (splits, is_one_list) == ({"a": "train", "b": "train"}, True)
    assert "all 2 images" in notes[0]
    assert "data.val_fraction" in notes[1]
    assert split(tmp_path, val_split=None)[1] is False


def test_without_a_validation_list_a_share_is_held_out(tmp_path):
    lines(paint(tmp_path, "a.jpg", "b.jpg"), "Main/default.txt", "a")
    splits, is_one_list, notes = split(tmp_path, train_split="default")
    assert (splits, is_one_list) == ({"a": "default"}, True)
    assert "no list of the split 'val'" in notes[0]


def test_a_missing_list_among_others_is_refused_with_their_names(tmp_path):
    paint(tmp_path, "a.jpg")
    for name in ("Main/default.txt", "Main/crack_train.txt"):
        lines(tmp_path, name, "a")
    with pytest.raises(TagmaskError, match=r"train\.txt is missing.*there are ImageSets/Main/default\.txt\)"):
        split(tmp_path)


def test_an_image_of_both_lists_is_a_training_image(tmp_path):
    lines(paint(tmp_path, "a.jpg", "b.jpg"), "Main/train.txt", "a")
    lines(tmp_path, "Main/val.txt", "a", "b")
    assert split(tmp_path)[:2] == ({"a": "train", "b": "val"}, False)
