import pytest

from shared_runs import tiny_recipe
from tagmask.choosing.estimate import Estimate, StageEstimate, estimate, fitted_steps
from tagmask.errors import TagmaskError
from tagmask.stages.run import begin_run

STAGES = (
    StageEstimate("train-method", 100, 2.0, "training"),
    StageEstimate("make-maps", 50, 1.0),
    StageEstimate("train-segmenter", 300, 1.0, "segmenter.training"),
)
WHOLE = Estimate(STAGES, 2048)


def test_an_estimate_adds_up_and_is_said_in_a_line():
    assert WHOLE.seconds == 550
    assert str(WHOLE) == (
        "about 9 min (train-method 3 min, make-maps 50 s, train-segmenter 5 min), 2.0 GiB of memory or a little more"
    )


@pytest.mark.parametrize(
    ("seconds", "floors", "expected"),
    [
        (300, {}, (50, 150)),  # half of what the trainings would take
        (1050, {}, (200, 600)),  # or twice as much
        (300, {"training": 75}, (75, 100)),  # 150 s are held, 100 s are left
        (160, {"training": 40, "segmenter.training": 30}, (40, 30)),
    ],
)
def test_steps_fill_a_time_by_hand(seconds, floors, expected):
    assert tuple(fitted_steps(WHOLE, seconds, floors).values()) == expected


def test_a_time_that_is_too_short_is_told_with_what_is_needed():
    with pytest.raises(
        TagmaskError,
        match=r"budget is 60 s, .* 2 min at least: 70 s for .*, 50 s for maps and masks. Give it more time$",
    ):
        fitted_steps(WHOLE, 60, {"training": 20, "segmenter.training": 30})


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("affinity=null",),
        ("affinity={kind: irn, training: {steps: 3, rate: 0.1, batch_size: 2, augment: {crop: 48}}}",),
        ("method={kind: eps}", "data.saliency=built-in", "masks.background.rule=none", "affinity=null"),
    ],
)
def test_every_stage_that_a_recipe_has_is_measured_and_nothing_is_written(tmp_path, changes):
    run = begin_run(tiny_recipe(*changes), None, tmp_path / "run")
    before = sorted((tmp_path / "run").iterdir())
    found = estimate(run)
    names = [stage.stage for stage in found.stages]
    affinity = ["train-affinity", "labels"] if run.recipe.affinity is not None else []
    assert names == ["train-method", "make-maps", *affinity, "make-masks", "train-segmenter", "predict"]
    assert all(stage.seconds >= 0 for stage in found.stages)
    assert {stage.stage: stage.units for stage in found.stages}["train-method"] == run.recipe.training.steps
    assert found.seconds > 0
    assert sorted((tmp_path / "run").iterdir()) == before
