import json

import pytest

from shared_runs import TINY
from tagmask.choosing import equal_budget as module
from tagmask.choosing.equal_budget import Training, equal_budget, shared_steps
from tagmask.errors import TagmaskError

SETTINGS = [*TINY, "training.steps=8"]


def test_seconds_become_steps():
    first = {"training": Training(100, 0.2), "segmenter.training": Training(10, 1.0)}
    own = {
        "training": Training(7, 0.3),
        "affinity.training": Training(5, 9.0),
        "segmenter.training": Training(10, 50.0),
    }
    assert shared_steps(first, own) == {"training": 67, "affinity.training": 5, "segmenter.training": 1}


def test_all_have_the_steps_of_the_first(tmp_path):
    found = equal_budget(["toy", "toy-sipe"], None, tmp_path, SETTINGS, "steps")
    assert found.settings("toy-sipe")[0] == "training.steps=8"
    assert set(found.steps) == {"toy", "toy-sipe"}
    assert found.settings("toy") == tuple(f"{name}.steps={n}" for name, n in found.steps["toy"].items())


def test_seconds_are_measured_once_and_kept(tmp_path, monkeypatch):
    seconds = {"toy": 1.0, "toy-sipe": 4.0, "toy-eps": 2.0}
    asked = []

    def timed(recipe, data, out):
        asked.append(recipe.name)
        return {"training": Training(8, seconds[recipe.name])}

    monkeypatch.setattr(module, "_measured", timed)
    equal_budget(["toy", "toy-sipe"], None, tmp_path, SETTINGS, "seconds")
    assert asked == ["toy", "toy-sipe"]
    seconds["toy-sipe"] = 99
    found = equal_budget(["toy", "toy-sipe", "toy-eps"], None, tmp_path, SETTINGS, "seconds")
    assert found.steps == {"toy": {"training": 8}, "toy-sipe": {"training": 2}, "toy-eps": {"training": 4}}
    assert asked == ["toy", "toy-sipe", "toy", "toy-eps"]  # what is known is not measured again
    assert json.loads((tmp_path / "budget.json").read_text())["equal"] == "seconds"


@pytest.mark.parametrize(("names", "equal"), [(["toy-sipe", "toy"], "steps"), (["toy", "toy-sipe"], "seconds")])
def test_a_comparison_keeps_its_budget(tmp_path, names, equal):
    equal_budget(["toy", "toy-sipe"], None, tmp_path, SETTINGS, "steps")
    with pytest.raises(TagmaskError, match="began with the steps of toy for all"):
        equal_budget(names, None, tmp_path, SETTINGS, equal)


def test_steps_are_really_timed(tmp_path):
    found = equal_budget(["toy", "toy-sipe"], None, tmp_path, SETTINGS, "seconds")
    assert found.steps["toy"]["training"] == 8
    assert all(steps >= 1 for steps in found.steps["toy-sipe"].values())
