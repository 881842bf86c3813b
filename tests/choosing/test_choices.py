import pytest

from tagmask.choosing.choices import GPU_MEMORY, Choice, DataFacts, choose_recipe, choose_settings
from tagmask.choosing.machine import GIB, Machine
from tagmask.choosing.object_size import PoolingTrial
from tagmask.config.recipes import load_recipe

CPU = Machine(2, 8 * GIB)
SMALL, LARGE = PoolingTrial(0.8, 0.9), PoolingTrial(0.9, 0.8)


def facts(**changes) -> DataFacts:
    return DataFacts(**{"images": 1600, "negatives": 0, "fewest": 200, "side": 320, **changes})


def test_the_recipe_follows_the_size_of_objects_and_the_machine():
    assert choose_recipe(facts(trial=SMALL), CPU).value == "folder-cpu-small"
    assert choose_recipe(facts(trial=LARGE), CPU).value == "folder-cpu"
    assert choose_recipe(facts(), CPU).value == "folder-cpu"
    assert choose_recipe(facts(), Machine(8, 8 * GIB, GPU_MEMORY)).value == "folder"
    assert choose_recipe(facts(), Machine(8, 8 * GIB, GPU_MEMORY - 1)).value == "folder-cpu"
    assert "90 mean average precision" in choose_recipe(facts(trial=SMALL), CPU).reason


@pytest.mark.parametrize("recipe", ["folder-cpu", "folder-cpu-small", "folder"])
@pytest.mark.parametrize("side", [100, 200, 320, 500, 1024])
@pytest.mark.parametrize("images", [20, 1600, 100_000])
def test_every_choice_is_one_that_the_recipe_takes(recipe, side, images):
    choices = choose_settings(recipe, facts(side=side, images=images), CPU)
    found = load_recipe(recipe, [choice.change for choice in choices])
    assert found.training.workers == 1
    if recipe != "folder":
        assert found.training.augment.crop >= 0.8 * min(side, 320) - 32
    assert all(choice.reason.endswith(".") for choice in choices)


def test_a_recipe_made_for_such_images_stays_as_it_is():
    assert [choice.setting for choice in choose_settings("folder-cpu", facts(), CPU)] == ["workers"]


def test_sizes_follow_the_images():
    chosen = {c.setting: c.value for c in choose_settings("folder-cpu", facts(side=200), CPU)}
    assert chosen["training.augment.long_side"] == [160, 240]
    assert chosen["training.augment.crop"] == chosen["segmenter.training.augment.crop"] == 161
    assert chosen["maps.base_long_side"] == 200


def test_many_images_are_not_gone_through_as_often():
    chosen = {c.setting: c.value for c in choose_settings("folder-cpu", facts(images=20_000), CPU)}
    assert chosen["training.steps"] == chosen["segmenter.training.steps"] == 2000
    assert chosen["training.epochs"] is None


def test_a_choice_is_a_line_with_its_reason_and_a_setting():
    choice = Choice("data.tags", None, "there is no table.")
    assert str(choice) == "data.tags = null: there is no table."
    assert choice.change == "data.tags=null"
