"""What all formats promise: every pixel comes back, and damaged folders are refused in words."""

import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from exchange.conftest import CLASSES, drawn_mask
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.errors import TagmaskError
from tagmask.exchange.formats import FORMATS
from tagmask.exchange.items import Item, Parcel
from tagmask.exchange.options import FormatName, Photographs

masks = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda size: arrays(np.int32, size, elements=st.integers(-1, 2))
)


def test_the_formats_are_those_of_the_command_line():
    assert set(FORMATS) == set(get_args(FormatName))
    assert {form.photographs for form in FORMATS.values()} <= set(get_args(Photographs))


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(mask=masks)
def test_every_pixel_comes_back(name, segmentation, mask, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parcel")
    item = Item("x/1", "x__1", "train", False, None, "x/1.jpg", lambda: mask)
    FORMATS[name].write(Parcel(folder, CLASSES, [item], segmentation))
    [arrival] = FORMATS[name].read(folder, CLASSES).masks
    expected = mask if FORMATS[name].keeps_unlabelled else np.where(mask == IGNORE, BACKGROUND, mask)
    assert np.array_equal(arrival.read((mask.shape[0], mask.shape[1])), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_every_image_comes_back_for_classes_in_another_order(name, parcel):
    FORMATS[name].write(parcel)
    found = {a.name.rpartition("/")[2]: a for a in FORMATS[name].read(parcel.folder, ("big dog", "cow", "cat")).masks}
    assert found.keys() == {"a__1", "b_2", "c"}
    expected = np.array([0, 3, 1, -1])[drawn_mask(1)]  # the last is IGNORE's place
    if not FORMATS[name].keeps_unlabelled:
        expected = expected.clip(0)
    assert np.array_equal(found["b_2"].read((12, 16)), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_unknown_classes_are_refused_with_a_list(name, parcel):
    FORMATS[name].write(parcel)
    with pytest.raises(TagmaskError, match=r"names 'big dog', which the run does not know; its classes are 'cat'"):
        FORMATS[name].read(parcel.folder, ("cat",))


@pytest.mark.parametrize("name", FORMATS)
def test_a_mask_of_another_size_is_refused(name, parcel):
    FORMATS[name].write(parcel)
    first = FORMATS[name].read(parcel.folder, CLASSES).masks[0]
    if name == "yolo":  # shares of the image fit any size
        assert first.read((24, 32)).shape == (24, 32)
    else:
        with pytest.raises(ValueError, match="12 x 16"):
            first.read((16, 12))


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_folder_is_refused(name, tmp_path):
    with pytest.raises(TagmaskError, match=r"missing|cannot read|should hold one JSON file"):
        FORMATS[name].read(tmp_path, CLASSES)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("damage", [b"", b"\x00\xff\xfe{[", b"[[[[[", b'{"images": 3}', b"&a [*a]"])
def test_damaged_files_are_refused_in_words(name, damage, parcel):
    FORMATS[name].write(parcel)
    for path in [path for path in parcel.folder.rglob("*") if path.is_file()]:
        before = path.read_bytes()
        path.write_bytes(damage)
        assert ends_well_or_in_words(name, parcel.folder)
        path.write_bytes(before)


def ends_well_or_in_words(name, folder):
    try:
        for arrival in FORMATS[name].read(folder, CLASSES).masks:
            arrival.read((12, 16))
    except (TagmaskError, ValueError) as error:
        return len(str(error)) > 20
    return True


@pytest.mark.parametrize("name", ["cvat", "fiftyone", "ultralytics-semantic", "voc"])
def test_more_classes_than_a_byte_holds_are_refused(name, tmp_path):
    with pytest.raises(TagmaskError, match="at most 254 classes, not 255"):
        FORMATS[name].write(Parcel(tmp_path, tuple(map(str, range(255))), []))


@pytest.mark.parametrize("name", ["coco", "label-studio", "yolo"])
def test_three_hundred_classes_come_back(name, tmp_path):
    mask = np.array([[0, 255, 256, 300]], np.int32)
    classes = tuple(f"class {number}" for number in range(300))
    FORMATS[name].write(Parcel(tmp_path, classes, [Item("1", "1", "train", False, None, "1.jpg", lambda: mask)]))
    [arrival] = FORMATS[name].read(tmp_path, classes).masks
    assert np.array_equal(arrival.read((1, 4)), mask)


@pytest.mark.parametrize("name", FORMATS)
def test_json_of_any_depth_is_refused(name, parcel):
    FORMATS[name].write(parcel)
    for path in parcel.folder.rglob("*.json"):
        path.write_text("[" * 100_000)
        with pytest.raises(TagmaskError, match="cannot read"):
            FORMATS[name].read(parcel.folder, CLASSES)
        path.write_text(json.dumps([]))
