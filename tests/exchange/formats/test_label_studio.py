import json

import numpy as np
import pytest

from exchange.conftest import CLASSES, drawn_mask
from tagmask.exchange.formats import brush, label_studio
from tagmask.exchange.formats.label_studio import read, write


def strokes(region, name="cat", **more):
    height, width = region.shape
    value = {"format": "rle", "rle": brush.encode(region), "brushlabels": [name]}
    return {"type": "brushlabels", "original_width": width, "original_height": height, "value": value} | more


def tasks_in(tmp_path, *tasks):
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    return path


ALL = np.ones((2, 3), bool)
FIRST = np.arange(6).reshape(2, 3) == 0


def test_reviewed_masks_are_annotations_and_others_predictions(parcel):
    assert write(parcel) == []
    tasks = json.loads((parcel.folder / "tasks.json").read_text())
    assert [sorted(task) for task in tasks] == [*[["data", "predictions"]] * 2, ["annotations", "data"]]
    assert tasks[0]["data"] == {"image": "/data/local-files/?d=a__1.jpg", "tagmask_id": "a__1"}
    [cat, dog, none] = tasks[0]["predictions"][0]["result"]
    assert [layer["value"]["brushlabels"] for layer in (cat, dog, none)] == [["cat"], ["big dog"], ["unlabelled"]]
    assert (cat["original_height"], cat["original_width"]) == (12, 16)
    assert np.array_equal(brush.decode(cat["value"]["rle"], 12, 16), drawn_mask(0) == 1)


def test_the_setup_names_every_label(parcel):
    write(parcel)
    text = (parcel.folder / "label_config.xml").read_text()
    assert '<Label value="cat" background="#800000"/>' in text
    assert '<Label value="unlabelled"' in text
    assert label_studio._setup(('a "b" <c>',)).count("<c>") == 0


def test_the_last_annotation_that_was_not_skipped_counts(tmp_path):
    first = {"result": [strokes(ALL)], "updated_at": "2026-01-02"}
    second = {"result": [strokes(FIRST)], "updated_at": "2026-01-01"}
    skipped = {"result": [], "was_cancelled": True, "updated_at": "2026-01-03"}
    path = tasks_in(tmp_path, {"data": {"image": "a/1.jpg"}, "annotations": [first, second, skipped]})
    [arrival] = read(path, CLASSES).masks
    assert arrival.read((2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_tasks_that_nobody_has_annotated_are_left_as_they_are(tmp_path):
    told = [{"result": [strokes(ALL)]}]
    path = tasks_in(tmp_path, {"data": {}, "annotations": [], "predictions": told}, {"data": {}})
    found = read(path, CLASSES)
    assert found.masks == []
    assert found.notes[0].startswith("2 tasks have no annotation")


def test_predictions_are_numbers_in_an_export(tmp_path):
    task = {"data": {}, "annotations": [{"result": [strokes(FIRST)]}], "predictions": [7], "drafts": []}
    never_annotated = {"data": {}, "predictions": [8]}
    [arrival] = read(tasks_in(tmp_path, task, never_annotated), CLASSES).masks
    assert arrival.read((2, 3)).tolist() == [[1, 0, 0], [0, 0, 0]]


def test_smaller_layers_lie_over_larger_ones_and_answers_to_questions_are_passed_over(tmp_path):
    layers = [strokes(FIRST, "big dog"), strokes(ALL), {"type": "choices", "value": {"choices": ["good"]}}]
    [arrival] = read(tasks_in(tmp_path, {"data": {}, "annotations": [{"result": layers}]}), CLASSES).masks
    assert arrival.read((2, 3)).tolist() == [[2, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/local-files/?d=my%20photos/a/1.jpg", "my photos/a/1"),
        ("/data/upload/3/5f2ab1c0-cat-1.jpg", "data/upload/3/cat-1"),
        ("s3://bucket/a/1.png", "a/1"),
        ("https://example.org/a/1.png?x=3", "a/1"),
        ("/data/local-files/?d=../../etc/passwd", "../../etc/passwd"),
    ],
)
def test_the_name_is_that_of_the_shown_image(address, name, tmp_path):
    task = {"data": {"tagmask_id": "x/y", "image": address}, "annotations": [{"result": []}]}
    [arrival] = read(tasks_in(tmp_path, task), CLASSES).masks
    assert (arrival.name, arrival.image_id) == (name, "x/y")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"type": "polygonlabels", "value": {}}, "it has polygonlabels; expected brush strokes"),
        (strokes(ALL, original_width=4), "2 x 4 rows x columns"),
        (strokes(ALL, image_rotation=90), "as it lies"),
        (strokes(ALL, value={"format": "rle", "brushlabels": ["cat"]}), "no run lengths"),
        (strokes(ALL, value={"format": "rle", "rle": brush.encode(ALL), "brushlabels": []}), r"the labels \[\]"),
        (strokes(ALL, value={"format": "rle", "rle": [255] * 60, "brushlabels": ["cat"]}), "4294967295 values"),
    ],
)
def test_other_shapes_are_refused(layer, words, tmp_path):
    [arrival] = read(tasks_in(tmp_path, {"data": {}, "annotations": [{"result": [layer]}]}), CLASSES).masks
    with pytest.raises(ValueError, match=words):
        arrival.read((2, 3))
