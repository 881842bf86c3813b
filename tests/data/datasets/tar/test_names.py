from pathlib import Path

import pytest

from data.datasets.tar_content import pack, picture
from tagmask.config import TarData
from tagmask.data.datasets.tar.names import (
    is_image,
    is_like_image,
    is_possible,
    plain_ending,
    shards_below,
    split_of,
    without_split,
)
from tagmask.data.datasets.tar.shards import Member
from tagmask.errors import TagmaskError


@pytest.mark.parametrize(
    ("ending", "image", "like"),
    [("jpg", True, False), ("1.jpg", False, True), ("mask.png", False, True), ("json", False, False)],
)
def test_images_are_told_by_their_ending(ending, image, like):
    member = Member("a", ending, 0, 1)
    assert (is_image(member), is_like_image(member)) == (image, like)


def test_endings_are_written_with_and_without_their_dot():
    assert [plain_ending(each) for each in (".JSON", "json", ".mask.png")] == ["json", "json", "mask.png"]


@pytest.mark.parametrize(
    ("key", "possible"), [("a/b", True), ("a" * 240, True), ("a" * 241, False), ("ä" * 121, False), ("a\0", False)]
)
def test_ids_are_names_that_files_can_have(key, possible):
    assert is_possible(key) is possible


@pytest.mark.parametrize(
    ("shard", "split"),
    [
        ("train-0.tar", "train"),
        ("trainer.tar", None),
        ("val/0.tar", "val"),
        ("train/val-0.tar", "val"),
        ("x.tar", None),
    ],
)
def test_the_split_is_that_of_the_nearest_name(shard, split):
    assert split_of(Path(shard), TarData()) == split


def test_shards_of_no_split_are_remarked_upon_beside_others():
    shards = [Path("train-0.tar"), Path("more.tar")]
    (remark,) = without_split(shards, TarData())
    assert remark.startswith("The names of 1 tar files begin with none of the splits train or val, such as more.tar")
    assert list(without_split([Path("a.tar"), Path("b.tar")], TarData())) == []
    assert list(without_split([Path("imagenet-val-0.tar")], TarData()))


def test_shards_are_found_in_order_or_what_is_there_is_told(tmp_path):
    for name in ("b.tar", "a.tar", ".hidden.tar"):
        pack(tmp_path / name, [("a.png", picture(0))])
    assert [path.name for path in shards_below(tmp_path, "*.tar")] == ["a.tar", "b.tar"]
    with pytest.raises(TagmaskError, match=r"no tar files c\*\.tar in .*; there are .*a\.tar"):
        shards_below(tmp_path, "c*.tar")
    with pytest.raises(TagmaskError, match="expected a pattern below the data folder"):
        shards_below(tmp_path, "../*.tar")
