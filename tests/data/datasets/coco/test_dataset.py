import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagmask.config import CocoData
from tagmask.conventions import IGNORE
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.datasets.coco import Coco
from tagmask.errors import TagmaskError

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
