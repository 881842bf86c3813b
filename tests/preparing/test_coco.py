"""COCO of sixty drawn photographs; that all is well with archives is tested with the recipes."""

import numpy as np
import pytest

import published_trees as published
from tagmask.config import CocoData
from tagmask.conventions import COCO_IMAGES, IGNORE
from tagmask.data.datasets.coco import Coco
from tagmask.errors import TagmaskError
from tagmask.preparing.coco import prepare_coco
from typed import contents

COUNTS = ("44 train (42 with a tag)", "16 val (15 with a tag)")


def test_both_years_have_the_same_photographs():
    assert {sum(images for images, _ in year.values()) for year in COCO_IMAGES.values()} == {123_287}
    assert {sum(tagged for _, tagged in year.values()) for year in COCO_IMAGES.values()} == {122_218}


def test_what_is_unpacked_needs_nothing(tmp_path):
    published.coco(tmp_path)
    before = contents(tmp_path)
    made = prepare_coco(tmp_path, None, 2014, "any")
    assert (made.folder, made.is_new, made.counts) == (tmp_path, False, COUNTS)
    assert "No class masks are written" in made.notes[0]
    assert contents(tmp_path) == before


def test_the_reader_paints_what_was_drawn(tmp_path):
    """Polygons, crowds as run lengths, category ids with gaps, photographs without annotations, names of 2014."""
    data = Coco(CocoData(), published.coco(tmp_path))
    assert len(data.classes) == 80
    assert data.classes[11] == "thing 13"  # there is no category 12
    crowds = 0
    for number, record in enumerate(data.records):
        drawn = published.scene(
            100 + number, () if number in (40, 41, 59) else (2 * number % 80, (2 * number + 1) % 80)
        )[1]
        expected = drawn.astype(np.int32)
        for value in np.unique(drawn[drawn > 0]).tolist():
            if published.is_crowd(number, value):
                expected[drawn == value] = IGNORE
                crowds += 1
        assert np.array_equal(data.read_mask(record), expected)
        assert record.tags == tuple(np.unique(drawn[drawn > 0]) - 1)
        assert record.id.endswith(f"COCO_{record.split}2014_{number:012d}")
    assert crowds == 7


def test_some_of_it_packed_and_some_not(tmp_path):
    source = published.coco(tmp_path / "in", 2017)
    published.packed(source / "val2017", source / "val2017.zip")
    with pytest.raises(TagmaskError, match=r"val2017\.zip must be unpacked; .*--out"):
        prepare_coco(source, None, 2017, "any")
    before = contents(source)
    made = prepare_coco(source, tmp_path / "out", 2017, "any")
    assert (made.folder, made.is_new, made.counts) == (tmp_path / "out", True, COUNTS)
    assert not prepare_coco(source, tmp_path / "out", 2017, "any").is_new
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("annotations", "prepared.json", "train2017", "val2017")
    ]
    assert contents(source) == before


def test_parts_that_are_missing_are_named_together(tmp_path):
    with pytest.raises(TagmaskError) as raised:
        prepare_coco(tmp_path, tmp_path / "out", 2017)
    for words in ("train2017/ or train2017.zip", "val2017/ or", "annotations/ or annotations_trainval2017.zip"):
        assert words in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_other_numbers_and_missing_photographs_are_errors(tmp_path):
    published.coco(tmp_path)
    with pytest.raises(TagmaskError) as raised:
        prepare_coco(tmp_path, None)
    for words in ("44 images in train2014, published 82783", "42 images with a tag in train2014, published 82081"):
        assert words in str(raised.value)
    for number in (3, 7):
        (tmp_path / "train2014" / published.coco_name("train", number, 2014)).unlink()
    with pytest.raises(
        TagmaskError, match=r"without a file \(2\): COCO_train2014_000000000003\.jpg, COCO_train2014_0+7"
    ):
        prepare_coco(tmp_path, None, 2014, "any")


def test_an_archive_of_something_else_is_named(tmp_path):
    source = published.coco(tmp_path / "in")
    published.packed(source / "val2014", source / "val2014.zip")
    (source / "train2014.zip").write_bytes((source / "val2014.zip").read_bytes())
    (source / "train2014").rename(tmp_path / "away")
    with pytest.raises(TagmaskError, match=r"train2014\.zip holds no folder train2014 \(it holds val2014\)"):
        prepare_coco(source, tmp_path / "out", 2014, "any")
    assert not (tmp_path / "out").exists()
