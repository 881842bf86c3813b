from dataclasses import replace

import pytest

from shared_runs import tiny_recipe
from tagmask.contracts import Dataset, Record
from tagmask.report.advice import advice
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder


class Data(Dataset):
    """Eight tagged training images, one without a tag, and some of validation."""

    read_image = read_mask = image_path = None

    def __init__(self, validation: int) -> None:
        tagged = [Record(str(i), (0,), "train") for i in range(8)]
        held_out = [replace(tagged[0], id=f"v{i}", split="val") for i in range(validation)]
        self.records, self.classes, self.name = (*tagged, Record("empty", (), "train"), *held_out), ("cat",), "data"
        self.notes = ("a note of the data",)


def run(tmp_path, validation: int = 30) -> Run:
    return Run(tiny_recipe(), RunFolder(tmp_path), Data(validation), None)


def tags(mean: float, **classes: float) -> dict:
    return {"tags": {"mean_average_precision": mean, "average_precision": classes}}


def qualities(*zero: int) -> list[tuple[str, float]]:
    return [("empty", 0.0), *((str(i), 0.0 if i in zero else 0.8) for i in range(8))]


def test_a_good_run_has_no_advice_but_its_precision(tmp_path):
    assert advice(run(tmp_path), tags(0.95, cat=0.95), qualities()) == [
        "a note of the data",
        "The classifier reaches 95.0 mean average precision on the validation tags.",
    ]


def test_precision_on_few_images_may_be_chance_and_weak_classes_are_named(tmp_path):
    found = advice(run(tmp_path, 5), tags(0.4, cat=0.4), [])
    assert found[1].endswith("on the validation tags of 5 images only: that may be chance.")
    assert found[2].startswith("It hardly recognises cat: maps")
    assert len(found) == 3


def test_a_class_of_few_validation_images_is_not_called_weak(tmp_path):
    found = advice(run(tmp_path, 4), tags(0.4, cat=0.4, dog=0.9), [])
    assert [line.split(":")[0] for line in found[2:]] == ["It may hardly recognise cat (4)"]
    found = advice(run(tmp_path, 30), tags(0.4, cat=0.4, dog=0.3), [])
    assert [line.split(":")[0] for line in found[2:]] == ["It hardly recognises cat", "It may hardly recognise dog (0)"]


@pytest.mark.parametrize(("zero", "expected"), [((), 0), ((0,), 0), ((0, 1), 1)])
def test_masks_without_their_tags_are_counted_and_negatives_are_none_of_them(tmp_path, zero, expected):
    found = advice(run(tmp_path), {}, qualities(*zero))[1:]
    assert len(found) == expected
    assert all(
        line.startswith("2 of 8 tagged training images have a mask that shows none of their tags, or") for line in found
    )


@pytest.mark.parametrize(("cat", "expected"), [(0.0, 1), (0.1, 0)])
def test_a_network_that_finds_nothing_is_said_to_find_nothing(tmp_path, cat, expected):
    found = advice(run(tmp_path), {"prediction": {"iou": {"background": 0.9, "cat": cat, "dog": None}}}, [])[1:]
    assert found == ["The segmentation network finds none of the classes: it calls everything background."] * expected
