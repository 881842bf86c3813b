import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tagmask.config import CocoData
from tagmask.conventions import IGNORE
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.datasets.coco import Coco
from tagmask.errors import TagmaskError
from tagmask.system.rle import (
    decode_counts,
    encode_counts,
    pixel_runs,
    polygon_pixels,
    region_pixels,
    run_pixels,
)

SQUARE = [[1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0]]
BIG = [[0.0, 0.0, 5.0, 0.0, 5.0, 5.0, 0.0, 5.0]]


def box(category: int, image: int, segmentation: object, area: float, crowd: int = 0) -> dict[str, Any]:
    return {
        "image_id": image, "category_id": category, "segmentation": segmentation, "area": area, "iscrowd": crowd
    }  # fmt: skip


def coco(root: Path, annotations: list[dict[str, Any]], year: int = 2014, nested: bool = False) -> Path:
    """Two training images and one of validation, 5 rows by 6 columns; categories 3, 7 and 90."""
    categories = [{"id": 90, "name": "cup"}, {"id": 3, "name": "car"}, {"id": 7, "name": "train"}]
    (root / "annotations").mkdir(parents=True)
    for split, numbers in (("train", (11, 12)), ("val", (21,))):
        folder = root / ("images" if nested else "") / f"{split}{year}"
        folder.mkdir(parents=True)
        images = [{"id": n, "file_name": f"COCO_{split}_{n}.jpg", "height": 5, "width": 6} for n in numbers]
        for image in images:
            Image.new("RGB", (6, 5)).save(folder / image["file_name"])
        content = {
            "images": images,
            "categories": categories,
            "annotations": [entry for entry in annotations if entry["image_id"] in numbers],
        }
        (root / "annotations" / f"instances_{split}{year}.json").write_text(json.dumps(content))
    return root


def usual() -> list[dict[str, Any]]:
    """Image 11: a car over a train over a crowd of cups; image 12: nothing; image 21: a cup."""
    crowd = {"size": [5, 6], "counts": [0, 30]}
    return [box(3, 11, SQUARE, 9), box(7, 11, BIG, 25), box(90, 11, crowd, 30, crowd=1), box(90, 21, SQUARE, 9)]


def read(data: Coco, number: int) -> list[list[int]]:
    mask = data.read_mask(data.records[number])
    assert mask.dtype == np.int32
    return mask.tolist()


@pytest.mark.parametrize(("year", "nested"), [(2014, False), (2017, True)])
def test_tags_are_contiguous_and_crowds_count(tmp_path: Path, year: int, nested: bool):
    coco(tmp_path, usual(), year, nested)
    config = CocoData.model_validate({"year": year})
    data = open_dataset(config, tmp_path)
    assert data.classes == ("car", "train", "cup")
    assert [record.tags for record in data.records] == [(0, 1, 2), (), (2,)]
    assert [record.split for record in data.records] == ["train", "train", "val"]
    assert data.records[0].id == f"train{year}/COCO_train_11"
    assert data.read_image(data.records[0]).shape == (5, 6, 3)
    assert len(score_records(data, config, tmp_path)) == 2


def test_small_objects_lie_over_large_ones_and_crowds_below(tmp_path: Path):
    data = pickle.loads(pickle.dumps(Coco(CocoData(), coco(tmp_path, usual()))))
    assert read(data, 0) == [
        [2, 2, 2, 2, 2, IGNORE],
        [2, 1, 1, 1, 2, IGNORE],
        [2, 1, 1, 1, 2, IGNORE],
        [2, 1, 1, 1, 2, IGNORE],
        [2, 2, 2, 2, 2, IGNORE],
    ]
    assert read(data, 1) == [[0] * 6] * 5


def test_other_classes_are_unlabelled(tmp_path: Path):
    data = Coco(CocoData(classes=("cup", "car")), coco(tmp_path, usual()))
    assert [record.tags for record in data.records] == [(0, 1), (), (0,)]
    assert read(data, 0)[1] == [IGNORE, 2, 2, 2, IGNORE, IGNORE]


def test_faults_are_named(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"instances_train2014\.json"):
        Coco(CocoData(), tmp_path)
    coco(tmp_path, [box(3, 11, SQUARE, 9)])
    (tmp_path / "train2014" / "COCO_train_12.jpg").unlink()
    with pytest.raises(TagmaskError) as raised:
        Coco(CocoData(), tmp_path)
    assert "without a training image (2): train, cup" in str(raised.value)
    assert "without a file (1): COCO_train_12.jpg" in str(raised.value)


def test_a_folder_without_annotations_is_told_what_it_should_hold(tmp_path):
    with pytest.raises(
        TagmaskError, match=r"instances_train2014\.json does not exist; give the folder that holds annot"
    ):
        Coco(CocoData(), tmp_path)


@pytest.mark.parametrize("content", ["{}", "[]", '{"images": [], "categories": [{"id": 1}], "annotations": []}'])
def test_a_file_that_is_not_coco(tmp_path: Path, content: str):
    coco(tmp_path, usual())
    (tmp_path / "annotations" / "instances_train2014.json").write_text(content)
    with pytest.raises(TagmaskError, match=r"instances_train2014\.json"):
        Coco(CocoData(), tmp_path)


@pytest.mark.parametrize(
    "segmentation", [{"size": [5, 6], "counts": [3]}, {"size": [9, 9], "counts": [81]}, "x", [[1]]]
)
def test_a_damaged_region_is_named_when_it_is_read(tmp_path: Path, segmentation: object):
    data = Coco(CocoData(), coco(tmp_path, [*usual(), box(3, 12, segmentation, 1)]))
    with pytest.raises(TagmaskError, match=r"damaged region in image 12"):
        data.read_mask(data.records[1])


def test_compressed_counts_by_hand():
    assert decode_counts("") == []
    assert decode_counts("5") == [5]
    assert decode_counts("`0") == [16]  # 16 needs a second piece, or its top bit would be a sign
    assert decode_counts("PP1") == [1 << 10]
    assert decode_counts("52203") == [5, 2, 2, 2, 5]
    assert decode_counts("522O") == [5, 2, 2, 1]  # the last is one less than the number two before


@given(st.lists(st.integers(0, 2**40), max_size=12))
def test_compressed_counts_return(counts: list[int]):
    assert decode_counts(encode_counts(counts)) == counts


@pytest.mark.parametrize("text", ["P", "5\n", "é", "o" * 40])
def test_damaged_counts_are_refused(text: str):
    with pytest.raises(ValueError, match="run lengths"):
        decode_counts(text)


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_runs_return(height: int, width: int, data: st.DataObject):
    flat = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)))
    pixels = flat.reshape(width, height).T
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int)))
    counts = np.diff([0, *changes, height * width]).tolist()
    np.testing.assert_array_equal(run_pixels(counts, height, width), pixels)
    compressed = {"size": [height, width], "counts": encode_counts(counts)}
    np.testing.assert_array_equal(region_pixels(compressed, height, width), pixels)


def test_polygons_by_hand():
    triangle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    # centres with x + y < 4; those on the right edge are outside
    assert polygon_pixels(triangle, 4, 4).astype(int).tolist() == [
        [1, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_a_polygon_over_the_border_is_cut():
    far = np.array([[-10.0, -10.0], [2.0, -10.0], [2.0, 20.0], [-10.0, 20.0]])
    assert polygon_pixels(far, 3, 4).astype(int).tolist() == [[1, 1, 0, 0]] * 3


@given(st.integers(3, 9), st.integers(0, 10**6))
def test_polygon_pixels_are_those_whose_centre_is_inside(corners: int, seed: int):
    points = np.random.default_rng(seed).uniform(-2, 12, (corners, 2))
    pixels = polygon_pixels(points, 10, 11)
    for row in range(10):
        for column in range(11):
            assert pixels[row, column] == inside(points, column + 0.5, row + 0.5)


def inside(points: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule, one edge at a time."""
    odd = False
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            odd = not odd
    return odd


def test_regions_of_several_polygons_and_of_none():
    two = [[0, 0, 1, 0, 1, 1, 0, 1], [2, 1, 3, 1, 3, 2, 2, 2], [0, 0, 1, 1]]
    assert region_pixels(two, 2, 3).astype(int).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert not region_pixels([], 2, 3).any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools predates numpy 2
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.integers(0, 10**6))
def test_pixels_survive_run_lengths_and_their_text(rows, columns, share, seed):
    pixels = np.random.default_rng(seed).random((rows, columns)) < share
    runs = pixel_runs(pixels)
    text = encode_counts(runs)
    assert decode_counts(text) == runs
    np.testing.assert_array_equal(run_pixels(runs, rows, columns), pixels)
    assert text.encode() == pycocotools.mask.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]


@pytest.mark.parametrize("below", ["", "train2014"])
def test_saliency_maps_of_a_folder(tmp_path: Path, below: str):
    coco(tmp_path, usual())
    folder = tmp_path / "sal" / below
    folder.mkdir(parents=True)
    Image.new("L", (6, 5), 51).save(folder / "COCO_train_11.png")
    with pytest.raises(TagmaskError, match=r"without a saliency map \(1\): train2014/COCO_train_12;"):
        Coco(CocoData(saliency="sal"), tmp_path)
    Image.new("L", (6, 5), 255).save(folder / "COCO_train_12.png")
    data = Coco(CocoData(saliency="sal"), tmp_path)
    maps = [data.read_saliency(record) for record in data.records]
    assert [None if saliency is None else round(float(saliency.mean()), 4) for saliency in maps] == [0.2, 1.0, None]
