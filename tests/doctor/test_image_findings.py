import numpy as np

from tagmask.contracts import Record
from tagmask.doctor.image_findings import Sizes, image_findings, sizes_of
from tagmask.doctor.looks import Look
from tagmask.doctor.near_duplicates import Twins


def look(name: str, size: tuple[int, int] | None) -> Look:
    return Look(name, size, b"", None if size is None else np.zeros((32, 32), np.uint8), "" if size else "truncated")


def found(looks=(), skipped=(), twins=()):
    return {each.key: each for each in image_findings(looks, skipped, twins)}


def test_sizes_are_those_of_least_middle_and_largest_area():
    looks = [look("a", (100, 300)), look("b", (200, 100)), look("c", (300, 400)), look("bad", None)]
    assert sizes_of(looks) == Sizes((200, 100), (200, 300), (300, 400))
    assert sizes_of([look("bad", None)]) is None


def test_nothing_is_said_of_usual_images():
    assert found([look("a", (240, 320)), look("b", (64, 64))]) == {}


def test_unreadable_images_are_named_those_left_out_as_well():
    said = found([look("a", (240, 320)), look("b", None)], skipped=["c"])["unreadable-images"]
    assert said.about == ("c", "b")
    assert said.severity == "warn"
    assert "They are left out" in said.why
    refused = {each.key: each for each in image_findings([look("b", None)], ["c"], [], are_skipped=False)}
    assert "why a run refuses the data" in refused["unreadable-images"].why


def test_small_and_large_images_are_told():
    said = found([look("a", (63, 500)), look("b", (640, 640)), look("c", (640, 700))])
    assert said["images-small"].about == ("a",)
    assert "640 x 640" in said["images-large"].what
    assert "images-large" not in found([look("b", (639, 639))])


def test_a_picture_that_is_there_more_often_is_told_once_for_each_copy():
    a, b, c = ((name, split, (0,)) for name, split in (("a", "train"), ("b", "train"), ("c", "val")))
    said = found(twins=[pair(a, c), pair(b, c), pair(a, b)])
    assert "of 1 image is in another split as well (train/val): c = a." in said["duplicates-across-splits"].what


def pair(one: tuple[str, str, tuple[int, ...]], other: tuple[str, str, tuple[int, ...]]) -> Twins:
    first, second = (Record(name, tags, split) for name, split, tags in (one, other))
    return Twins(first, second, "same picture")


def test_the_same_picture_is_told_across_splits_with_other_tags_and_within():
    twins = [
        pair(("a", "train", (0,)), ("b", "val", (0,))),
        pair(("a", "train", (0,)), ("c", "val", ())),
        pair(("d", "train", (0,)), ("e", "train", (0,))),
    ]
    said = found(twins=twins)
    assert {key: each.about for key, each in said.items()} == {
        "duplicates-across-splits": ("b", "c"),
        "duplicates-with-other-tags": ("c",),
        "duplicates-within-a-split": ("e",),
    }
    assert "2 images is in another split as well (train/val): b = a, c = a" in said["duplicates-across-splits"].what
    assert said["duplicates-within-a-split"].severity == "note"
