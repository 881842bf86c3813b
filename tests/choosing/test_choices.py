import pytest

from tagmask.choosing.choices import GPU_MEMORY, DataFacts, choose_recipe, choose_settings
from tagmask.choosing.machine import GIB, Machine
from tagmask.choosing.object_size import PoolingTrial
from tagmask.config.recipes import load_recipe

CPU = Machine(2, 8 * GIB)
SMALL, LARGE = PoolingTrial(0.8, 0.9, (0.05, 0.15)), PoolingTrial(0.9, 0.8, (-0.15, -0.05))
OPEN = PoolingTrial(0.8, 0.82, (-0.02, 0.05))


def facts(**changes) -> DataFacts:
    return DataFacts(**{"images": 1600, "negatives": 0, "side": 320, **changes})


def test_the_recipe_follows_the_size_of_objects_and_the_machine():
    assert choose_recipe(facts(trial=SMALL), CPU).value == "folder-cpu-small"
    assert choose_recipe(facts(trial=LARGE), CPU).value == "folder-cpu"
    assert choose_recipe(facts(), CPU).value == "folder-cpu"
    assert choose_recipe(facts(), Machine(8, 8 * GIB, GPU_MEMORY)).value == "folder"
    assert choose_recipe(facts(), Machine(8, 8 * GIB, GPU_MEMORY - 1)).value == "folder-cpu"
    assert "90 and 80 mean average precision" in choose_recipe(facts(trial=SMALL), CPU).reason


def test_where_the_trial_leaves_it_open_images_that_show_nothing_decide():
    assert choose_recipe(facts(trial=OPEN), CPU).value == "folder-cpu"
    found = choose_recipe(facts(trial=OPEN, negatives=800), CPU)
    assert found.value == "folder-cpu-small"
    assert "50% of the images show nothing" in found.reason
    assert choose_recipe(facts(trial=PoolingTrial(), negatives=800), CPU).value == "folder-cpu-small"
    assert choose_recipe(facts(negatives=100), CPU).value == "folder-cpu"
    assert choose_recipe(facts(trial=LARGE, negatives=800), CPU).value == "folder-cpu"


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
    found = load_recipe("folder-cpu", [f"{name}={value}" for name, value in chosen.items()])
    assert found.training.epochs is None
