import json
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from doctor.invented import census
from tagmask.config import FolderData, ToyData, VocData
from tagmask.config.recipes import load_recipe
from tagmask.doctor.expectation import FEW_MEASURED, MEASURED, SMALL_OBJECTS, data_settings, expectation, recommended
from tagmask.doctor.image_findings import Sizes

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = Sizes((10, 10), (240, 320), (320, 320))
LARGE = Sizes((10, 10), (1080, 1920), (1080, 1920))


def images(number: int):
    return census(["cat", "dog"], [(0,)] * (number // 2) + [(1,)] * (number - number // 2))


@pytest.mark.parametrize("measured", [MEASURED, SMALL_OBJECTS])
def test_what_is_called_measured_stands_in_its_record(measured):
    record = BENCHMARKS / "records" / measured.record
    text = (record / "README.md").read_text()
    scores = json.loads((record / "scores.json").read_text())
    assert f"Time: {measured.minutes} min" in text
    assert f"{measured.images:,} training images".replace(",", " ") in text
    assert f"long side {measured.side}" in text or f"long side at most {measured.side}" in text
    for key, said in (("revised", measured.masks), ("prediction", measured.network)):
        assert round(100 * fmean(seed[key]["mean_iou"] for seed in scores), 1) == said


def test_what_few_images_gave_stands_in_the_log():
    entry = (BENCHMARKS / "LOG.md").read_text().split("Length of the walk, few photographs")[1].split("\n## ")[0]
    for said in ("revised masks 53.2", "photographs 43.7"):
        assert said in " ".join(entry.split())
        assert said.split()[-1] in FEW_MEASURED


@pytest.mark.parametrize(
    ("number", "said"), [(600, "as many or more"), (200, "somewhat less"), (100, "far fewer. 136 of the measured")]
)
def test_numbers_of_images_are_compared_with_the_measured_ones(number, said):
    assert said in " ".join(expectation(images(number), SMALL, FolderData()))


def test_time_goes_with_the_number_of_images_and_their_size():
    text = " ".join(expectation(images(3200), SMALL, FolderData()))
    assert "about 98 minutes on one core, images read at 320 pixels." in text
    few = " ".join(expectation(images(16), SMALL, FolderData()))
    assert "about 25 minutes on one core" in few  # trainings have a fewest number of steps
    assert "yours have 1920, which takes several times as long" in " ".join(
        expectation(images(3200), LARGE, FolderData())
    )
    assert "none a class" in " ".join(expectation(census(["cat"], []), None, FolderData()))


@pytest.mark.parametrize(("tags", "said"), [([(0,), (1,), (1,)], "1 to 2 a class"), ([(0,), (1,)], "1 a class")])
def test_classes_of_one_size_are_told_with_one_number(tags, said):
    assert f"training images, {said}: far fewer" in " ".join(
        expectation(census(["cat", "dog"], tags), None, FolderData())
    )


def test_images_without_a_background_are_thought_of_where_all_are_tagged():
    tags = [(0,), (1,)]
    assert "masks.background.rule=none" in expectation(census(["cat", "dog"], tags), None, FolderData())[-1]
    said = expectation(census(["cat", "dog"], [*tags, ()]), None, FolderData())
    assert "masks.background.rule" not in " ".join(said)


def test_nothing_measured_is_said_of_drawn_scenes():
    assert expectation(images(240), SMALL, ToyData()) == ()


def test_the_folder_alone_is_recommended_as_the_readme_does():
    assert recommended(FolderData(), ()).command("my photos") == "tagmask run 'my photos' --out 'runs/my photos'"


def test_a_recipe_that_was_asked_for_stays_and_can_be_read():
    found = recommended(VocData(train_split="train"), ["backbone.weights=w.safetensors"], "folder-cpu-cam")
    assert found.settings == ("data.kind=voc", "data.train_split=train", "backbone.weights=w.safetensors")
    assert found.command("photos").startswith("tagmask run folder-cpu-cam --data photos --out runs/photos --set ")
    assert load_recipe(found.recipe, found.settings).data == VocData(train_split="train")


def test_drawn_scenes_have_their_recipe():
    assert recommended(ToyData(), ()).command(None) == "tagmask run toy --out runs/toy"


@pytest.mark.parametrize(
    "config",
    [FolderData(), FolderData(tags=None, classes=("yes", "<b>, x"), mask_values={255: 1}), FolderData(tags="a b.csv"),
     VocData(max_images=3)],
)  # fmt: skip
def test_data_settings_are_read_back_as_they_were(config):
    settings = data_settings(config)
    assert all(yaml.safe_load(setting.partition("=")[2]) is not ... for setting in settings)
    assert load_recipe("folder-cpu", settings).data == config
