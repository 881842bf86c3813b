import pytest

from shared_runs import tiny_recipe
from tagmask.config.recipes import load_recipe
from tagmask.errors import TagmaskError
from tagmask.scoring.comparison import plan
from tagmask.scoring.comparison_figures import (
    RunFigures,
    collect,
    read_figures,
    recipe_figures,
    settings_side_by_side,
    warnings,
    write_figures,
)
from tagmask.scoring.spreads import spread
from tagmask.system.storage import write_json


def run(seed, finished=True, seconds=None, memory=None, **scores):
    return RunFigures(
        seed=seed,
        folder=f"x/seed-{seed}",
        finished=finished,
        scores=scores,
        seconds=seconds or {"train-method": 10.0 * (seed + 1), "make-maps": 2.0},
        memory=memory,
    )


def figures(runs, first=None):
    return recipe_figures("x", "x", "cam", runs, runs if first is None else first)


# ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mean_and_sample_deviation_by_hand():
    found = figures([run(0, seed_best=0.4), run(1, seed_best=0.5), run(2, seed_best=0.9)])
    assert found.scores["seed_best"].count == 3
    assert found.scores["seed_best"].mean == pytest.approx(0.6)
    assert found.scores["seed_best"].deviation == pytest.approx((0.14 / 2) ** 0.5)  # (0.04 + 0.01 + 0.09) / (3 - 1)
    assert found.seconds.mean == pytest.approx(22)
    assert found.stages["train-method"].deviation == pytest.approx(10)
    assert found.stages["make-maps"].deviation == 0


def test_one_value_has_no_deviation_and_none_no_mean():
    assert spread([0.5]).deviation is None
    assert spread([None]) is None
    assert spread([]) is None


def test_gains_are_those_of_the_same_seed():
    first = [run(0, seed_best=0.4), run(1, seed_best=0.6)]
    found = figures([run(0, seed_best=0.45), run(1, seed_best=0.67)], first)
    assert found.gains["seed_best"].mean == pytest.approx(0.06)
    assert found.gains["seed_best"].deviation == pytest.approx(0.02**0.5 / 10)  # of 0.05 and 0.07
    assert figures(first).gains == {}


def test_gains_need_both_runs_and_both_scores():
    first = [run(0, seed_best=0.4), run(1, finished=False), run(2, seed_best=0.5)]
    found = figures([run(0, finished=False, seed_best=0.9), run(1, seed_best=0.9), run(2, seed_own=0.7)], first)
    assert found.gains == {}
    assert found.scores["seed_best"].count == 1  # the unfinished run does not count


# ── what runs have written ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def compared(tmp_path):
    """Two runs of one recipe, until seeds, with invented results of the first."""
    settings = ("data.num_train=4", "data.num_val=2", "data.size=48")
    found = plan(["toy"], None, tmp_path, 2, "seed", settings)
    folder = found.runs[0].folder
    truth = found.competitors[0].truth["seed_best"]
    entry = {"mean_iou": 0.25, "protocol": "seed on toy scenes.", "truth": truth}
    write_json(folder.scores, {"tags": {"protocol": "x"}, "seed_best": entry, "seed_fixed": entry})
    folder.note("train-method", done=True, seconds=7.5, peak_memory=300)
    folder.note("make-seed-maps", done=True, seconds=2.0, peak_memory=400, peak_device_memory=1000)
    folder.note("train-segmenter", done=True, seconds=100.0, peak_memory=9000)  # beyond the goal
    return found


def test_runs_are_read_up_to_the_goal(compared):
    found = collect(compared, {compared.runs[1].folder.path: "out of luck"})
    first, second = found.recipes[0].runs
    assert first.scores == {"seed_best": 0.25, "seed_fixed": 0.25}
    assert first.seconds == {"train-method": 7.5, "make-seed-maps": 2.0}
    assert (first.memory, first.device_memory, first.finished, first.folder) == (400, 1000, True, "toy/seed-0")
    assert (second.finished, second.error, second.scores, second.memory) == (False, "out of luck", {}, None)
    assert found.recipes[0].seconds.mean == 9.5
    assert found.command.startswith("tagmask compare toy --out ")
    assert "4 training and 2 validation images, 4 classes" in found.data
    assert found.environment["versions"]


def test_figures_survive_their_file(compared, tmp_path):
    found = collect(compared, {})
    write_figures(tmp_path / "comparison.json", found)
    assert read_figures(tmp_path / "comparison.json") == found


@pytest.mark.parametrize("content", [[], {"command": "tagmask"}])
def test_other_files_are_no_comparisons(tmp_path, content):
    write_json(tmp_path / "comparison.json", content)
    with pytest.raises(TagmaskError, match=r"comparison.json holds no comparison"):
        read_figures(tmp_path / "comparison.json")


# ── what is the same ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_budgets_are_shown_without_a_warning():
    settings = settings_side_by_side({"a": tiny_recipe("name=a"), "b": tiny_recipe("name=b", "method.dropout=0.5")})
    assert settings["training.steps"] == {"a": 4, "b": 4}
    assert settings["training.augment.crop"] == {"a": 48, "b": 48}
    assert settings.keys() == {
        *("backbone.model", "backbone.weights", "training.steps", "training.batch_size", "training.augment.crop"),
    }
    assert warnings(settings) == []


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("training.steps=8", "training.steps"),
        ("training.batch_size=1", "training.batch_size"),
        ("backbone.model=resnet18", "backbone.model"),
        ("data.num_train=5", "data.num_train"),
        ("training.augment.flip=0", "training.augment.flip"),
    ],
)
def test_unequal_budgets_are_warned_of(setting, path):
    settings = settings_side_by_side({"a": tiny_recipe(), "b": tiny_recipe(setting)})
    (warning,) = (sentence for sentence in warnings(settings) if path in sentence)
    assert "a has " in warning
    assert "b has " in warning


def test_what_belongs_to_a_method_may_differ_in_silence():
    settings = settings_side_by_side(
        {"a": tiny_recipe(), "b": tiny_recipe("data.saliency=built-in", "training.rate=0.5", "walk.beta=2")}
    )
    assert warnings(settings) == []
    assert settings["training.rate"] == {"a": 0.003, "b": 0.5}
    assert settings["walk.beta"] == {"a": 8, "b": 2}
    assert "data.saliency" not in settings


def test_methods_are_named_with_their_base():
    assert load_recipe("toy").method.label == "cam"
    assert load_recipe("toy+ppc").method.label == "ppc(cam)"
