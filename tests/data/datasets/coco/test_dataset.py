import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.datasets.coco_content import SIZE, content, paint, write
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
    "segmentation", [{"size": [5, 6], "counts": [3]}, {"size": [9, 9], "counts": [81]}, "x", [[1]], None]
)
def test_a_damaged_region_is_named_before_training_and_its_image_is_not_scored(tmp_path: Path, segmentation: object):
    data = Coco(CocoData(), coco(tmp_path, [*usual(), box(3, 12, segmentation, 1)]))
    assert data.records[1].tags == (0,)
    assert [record.has_mask for record in data.records] == [True, False, True]
    assert data.read_mask(data.records[1]) is None
    assert "instances_train2014.json" in data.notes[0]


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


# ── own data ─────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMED = {"annotations": "a.json", "val_annotations": "b.json"}


def own(root: Path, training: dict[str, Any], validation: dict[str, Any] | None = None, **settings: Any) -> Coco:
    """Annotations in ``a.json`` and ``b.json``, photographs in ``images``."""
    write(root / "a.json", training)
    if validation is not None:
        write(root / "b.json", validation)
    names = {entry.get("file_name") for each in (training, validation or {"images": []}) for entry in each["images"]}
    paint(root / "images", *(name for name in names if name))
    named = NAMED if validation is not None else {"annotations": "a.json"}
    return Coco(CocoData.model_validate({**named, **settings}), root)


def masks(data: Coco) -> list[dict[int, int] | None]:
    """How many pixels of each number the masks hold."""
    found = [data.read_mask(record) for record in data.records]
    return [None if mask is None else dict(zip(*np.unique(mask, return_counts=True), strict=True)) for mask in found]


def test_one_named_file_is_split_by_a_share(tmp_path):
    data = own(tmp_path, content(40), val_fraction=0.25)
    assert data.name == tmp_path.name
    assert 2 <= len(data.split("val")) <= 20
    assert len(data.split("train")) + len(data.split("val")) == 40
    assert data.records[0].id == "p0"
    assert masks(data)[:2] == [{0: 64, 1: 16}, {0: 64, 2: 16}]


def test_equal_names_in_subfolders_are_different_images(tmp_path):
    given = content()
    for entry, name in zip(given["images"], ("t0/a.jpg", "t1/a.jpg", "t0/b.jpg", "t1/b.jpg"), strict=True):
        entry["file_name"] = name
    data = own(tmp_path, given)
    assert [record.id for record in data.records] == ["t0/a", "t1/a", "t0/b", "t1/b"]
    assert data.image_path(data.records[1]) == tmp_path / "images/t1/a.jpg"


def test_classes_of_the_other_file_are_matched_by_name(tmp_path):
    given = content(2, first=4)
    given["categories"] = [{"id": 1, "name": "DOG "}, {"id": 2, "name": "cat"}]
    data = own(tmp_path, content(), given)
    assert data.classes == ("cat", "dog")
    assert [record.tags for record in data.split("val")] == [(1,), (0,)]
    assert masks(data)[4:] == [{0: 64, 2: 16}, {0: 64, 1: 16}]
    assert any("'DOG' of b.json is taken as 'dog'" in note for note in data.notes)
    assert any("other ids" in note for note in data.notes)


def test_classes_that_are_not_learned_have_no_label(tmp_path):
    given = content(2, first=4)
    given["categories"].append({"id": 3, "name": "cow"})
    given["annotations"][0]["category_id"] = 3
    data = own(tmp_path, content(), given)
    assert data.classes == ("cat", "dog")
    assert data.split("val")[0].tags == ()
    assert masks(data)[4] == {IGNORE: 16, 0: 64}
    assert any("not learned" in note and "cow" in note for note in data.notes)


def test_files_without_a_common_category_are_refused(tmp_path):
    given = content(2, first=4)
    given["categories"] = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    with pytest.raises(TagmaskError, match="no category in common"):
        own(tmp_path, content(), given)


def test_a_category_that_only_heads_others_is_no_class(tmp_path):
    given = content()
    given["categories"].insert(0, {"id": 0, "name": "animal", "supercategory": "none"})
    data = own(tmp_path, given)
    assert data.classes == ("cat", "dog")
    assert masks(data)[0] == {0: 64, 1: 16}
    assert any("categories animal" in note for note in data.notes)
    given["annotations"][0]["category_id"] = 0  # it has an image
    given["annotations"][2]["category_id"] = 1
    assert own(tmp_path, given, val_split=None).classes == ("animal", "cat", "dog")


def test_an_unused_category_that_heads_nothing_is_a_problem(tmp_path):
    given = content()
    given["categories"].append({"id": 9, "name": "cow"})
    with pytest.raises(TagmaskError, match=r"without a training image \(1\): cow"):
        own(tmp_path, given)


def test_boxes_give_tags_and_nothing_to_score(tmp_path):
    given = content()
    for entry in given["annotations"]:
        del entry["segmentation"], entry["area"]
    del given["annotations"][3]  # nothing on it: an empty mask would score, and mean nothing
    data = own(tmp_path, given)
    assert [record.tags for record in data.records] == [(0,), (1,), (0,), ()]
    assert masks(data) == [None] * 4
    assert any("no masks to score on" in note for note in data.notes)


def test_an_image_without_a_file_name_is_a_problem_or_left_out(tmp_path):
    given = content()
    del given["images"][2]["file_name"]
    with pytest.raises(TagmaskError, match=r"image with id 2 in a\.json \(no file_name\)"):
        own(tmp_path, given)
    data = own(tmp_path, given, on_bad_image="skip")
    assert [record.id for record in data.records] == ["p0", "p1", "p3"]
    assert any("1 images of a.json have no file_name" in note for note in data.notes)


@pytest.mark.parametrize(
    ("name", "words"), [("p0.jpg", "listed more than once"), ("p0.png", "only in their extension")]
)
def test_a_file_of_two_entries_is_a_problem(tmp_path, name, words):
    given = content()
    given["images"].append({**given["images"][0], "id": 50, "file_name": name})
    with pytest.raises(TagmaskError, match=rf"{words} \(1\): {name}"):
        own(tmp_path, given)


def test_an_image_of_both_files_is_a_training_image(tmp_path):
    data = own(tmp_path, content(4), content(4, first=2))
    assert [(record.id, record.split) for record in data.records][2:] == [
        *(("p2", "train"), ("p3", "train"), ("p4", "val"), ("p5", "val"))
    ]
    assert any("2 images are listed for training and for validation" in note for note in data.notes)


@pytest.mark.parametrize(
    ("size", "pixels"), [((16, 20), {0: 76, 1: 4}), ((4, 5), {0: 32, 1: 48}), (None, {0: 64, 1: 16})]
)
def test_masks_have_the_size_of_the_photograph(tmp_path, size, pixels):
    given = content(2)
    for entry in given["images"]:
        entry["height"], entry["width"] = size or (None, None)
    data = own(tmp_path, given)
    assert data.read_mask(data.records[0]).shape == SIZE
    assert masks(data)[0] == pixels
    assert any("another size" in note and "(20 x 16, the file 10 x 8)" in note for note in data.notes) == (
        size == (16, 20)
    )


def test_an_image_that_is_turned_against_its_annotations_is_not_scored(tmp_path):
    given = content(2)
    given["images"][0] |= {"height": 10, "width": 8}
    data = own(tmp_path, given)
    assert [mask is None for mask in masks(data)] == [True, False]
    assert any("another shape" in note and "p0.jpg (8 x 10, the file 10 x 8)" in note for note in data.notes)


def test_ids_never_lead_out_of_the_run_folder(tmp_path):
    write(tmp_path / "d/a.json", content())
    paint(tmp_path / "pictures", *(f"p{i}.jpg" for i in range(4)))
    for images in ("../pictures", str(tmp_path / "pictures")):
        data = Coco(CocoData(annotations="a.json", images=images), tmp_path / "d")
        assert [record.id for record in data.records] == ["p0", "p1", "p2", "p3"]


def test_the_annotations_are_read_once_whatever_is_asked_and_wherever(tmp_path):
    data = own(tmp_path, content())
    (tmp_path / "a.json").unlink()  # nobody reads it again
    again = pickle.loads(pickle.dumps(data))
    assert [again.read_mask(record).tolist() for record in again.records] == [
        data.read_mask(record).tolist() for record in data.records
    ]


def test_no_other_error_leaves_reading_a_mask(tmp_path):
    data = own(tmp_path, content())
    data._regions.paint = lambda *_: 1 / 0
    with pytest.raises(TagmaskError, match="annotations of p0 cannot be drawn"):
        data.read_mask(data.records[0])


def test_bands_are_chosen_for_every_image(tmp_path):
    given = content(2)
    for entry in given["images"]:
        entry["file_name"] = f"{entry['id']}.png"
    paint(tmp_path / "images", "0.png", "1.png")
    data = own(tmp_path, given, bands=[2, 1, 0])
    assert data.read_image(data.records[0])[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(TagmaskError, match=r"unreadable image \(2\): 0\.png \(.*bands"):
        own(tmp_path, given, bands=[0, 1, 7])


def test_a_class_that_is_called_background_is_pointed_out(tmp_path):
    given = content()
    given["categories"][0]["name"] = "background"
    assert any("'background' is learned like any other" in note for note in own(tmp_path, given).notes)
