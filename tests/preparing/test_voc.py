"""VOC and SBD of sixty drawn photographs; that all is well with archives is tested with the recipes."""

import numpy as np
import pytest
from PIL import Image

import published_trees as published
from published_trees import voc_id, voc_scene
from tagmask.config import VocData
from tagmask.data.datasets.voc import Voc
from tagmask.errors import TagmaskError
from tagmask.preparing.voc import prepare_voc
from typed import contents


@pytest.fixture
def given(tmp_path):
    """VOC2012 and SBD's data set, unpacked."""
    return published.voc(tmp_path / "in"), published.sbd(tmp_path / "in")


def numbers(path):
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)


def test_lists_and_masks_of_both(tmp_path, given):
    before = contents(tmp_path / "in")
    made = prepare_voc(*given, tmp_path / "out", "any")
    assert (made.is_new, made.counts) == (True, ("12 train", "12 val", "48 train_aug", "60 masks"))
    lines = (tmp_path / "out/ImageSets/Segmentation/train_aug.txt").read_text().split()
    assert lines == [voc_id(number) for number in published.TRAIN_AUG]
    masks = tmp_path / "out/SegmentationClassAug"
    for number in (0, 5, 12, 24, 59):  # of VOC alone, of both, of its validation, of SBD alone
        mask = voc_scene(number)[1]
        expected = published.with_border(mask) if number < 24 else mask
        assert np.array_equal(numbers(masks / f"{voc_id(number)}.png"), expected)
    assert (tmp_path / f"out/JPEGImages/{voc_id(0)}.jpg").samefile(given[0] / f"JPEGImages/{voc_id(0)}.jpg")
    assert contents(tmp_path / "in") == before
    data = Voc(VocData(masks="SegmentationClassAug"), tmp_path / "out")  # every file is decoded
    assert data.notes == ()


def test_a_second_call_does_nothing_and_another_one_is_refused(tmp_path, given):
    prepare_voc(*given, tmp_path / "out", "any")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert not prepare_voc(*given, tmp_path / "out", "any").is_new
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    with pytest.raises(TagmaskError, match="prepared from something else"):
        prepare_voc(given[0], None, tmp_path / "out", "any")
    (tmp_path / f"out/JPEGImages/{voc_id(0)}.jpg").unlink()
    with pytest.raises(TagmaskError, match=rf"(?s)without a file \(1\): {voc_id(0)}.*remove the folder"):
        prepare_voc(*given, tmp_path / "out", "any")


def test_other_numbers_than_those_published_are_an_error(tmp_path, given):
    with pytest.raises(TagmaskError) as raised:
        prepare_voc(*given, tmp_path / "out")
    for words in ("12 images in train, published 1464", "12 images in val, published 1449", "48 images in train_aug"):
        assert words in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_everything_that_is_wrong_is_told_at_once(tmp_path, given):
    voc, sbd = given
    published.indexed(voc / f"SegmentationClass/{voc_id(0)}.png", np.full((56, 64), 30, np.uint8))
    turned = Image.new("P", (64, 56))
    turned.putpalette([255, 0, 0, 0, 0, 0])
    turned.save(voc / f"SegmentationClass/{voc_id(1)}.png")
    (voc / f"SegmentationClass/{voc_id(2)}.png").unlink()
    published.sbd_mask(sbd / f"cls/{voc_id(30)}.mat", np.zeros((9, 9), np.uint8))
    (sbd / f"cls/{voc_id(31)}.mat").write_bytes(b"x")
    (voc / f"JPEGImages/{voc_id(32)}.jpg").unlink()
    (voc / f"Annotations/{voc_id(33)}.xml").unlink()
    with pytest.raises(TagmaskError) as raised:
        prepare_voc(voc, sbd, tmp_path / "out", "any")
    text = str(raised.value)
    for words in (
        f"numbers other than 0 to 20 and 255 (1): {voc_id(0)} (30)",
        f"palette that is not VOC's; fetch them again (1): {voc_id(1)}",
        f"masks that cannot be read (2): {voc_id(2)}",
        f"another size than their photographs (1): {voc_id(30)} (mask 9 x 9, photograph 56 x 64",
        f"without a photograph in JPEGImages (1): {voc_id(32)}",
        f"without an annotation in Annotations (1): {voc_id(33)}",
    ):
        assert words in text
    assert not (tmp_path / "out").exists()


def test_lists_and_masks_that_are_there_need_no_sbd(tmp_path, given):
    voc, _ = given
    with pytest.raises(TagmaskError, match=r"no list .*train_aug\.txt; name SBD"):
        prepare_voc(voc, None, tmp_path / "out", "any")
    published.lines(voc / "ImageSets/Segmentation/trainaug.txt", map(voc_id, published.TRAIN_AUG))
    with pytest.raises(TagmaskError, match=rf"without a mask in SegmentationClassAug.* \(36\): {voc_id(24)}"):
        prepare_voc(voc, None, tmp_path / "out", "any")
    (voc / "SegmentationClassAug").mkdir()
    for number in published.TRAIN_AUG:  # grey and without borders, as they are passed around
        Image.fromarray(voc_scene(number)[1]).save(voc / f"SegmentationClassAug/{voc_id(number)}.png")
    before = contents(voc)
    assert prepare_voc(voc, None, tmp_path / "out", "any").counts[2:] == ("48 train_aug", "60 masks")
    masks = tmp_path / "out/SegmentationClassAug"
    assert 255 in numbers(masks / f"{voc_id(0)}.png")  # VOC's own
    assert np.array_equal(numbers(masks / f"{voc_id(24)}.png"), voc_scene(24)[1])
    assert contents(voc) == before


def test_images_of_both_lists_are_named(tmp_path, given):
    voc, sbd = given
    published.lines(voc / "ImageSets/Segmentation/val.txt", map(voc_id, range(11, 24)))
    with pytest.raises(TagmaskError, match=rf"that are validation images \(1\): {voc_id(11)}"):
        prepare_voc(voc, sbd, tmp_path / "out", "any")
    (voc / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(TagmaskError, match=r"no list ImageSets/Segmentation/val\.txt"):
        prepare_voc(voc, sbd, tmp_path / "out", "any")
