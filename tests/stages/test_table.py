import itertools

import pytest

from tagmask.errors import TagmaskError
from tagmask.stages.pipeline import COMMANDS
from tagmask.stages.table import STAGES, beyond, following, in_order, reaches, stage_named

LAST = ("train-segmenter", "predict", "revise-masks")


def names(stages) -> list[str]:
    return [stage.name for stage in stages]


def test_a_stage_reads_what_earlier_stages_write():
    written: set[str] = set()
    for stage in STAGES:
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


def test_stages_and_networks_have_names_of_their_own():
    assert len(set(names(STAGES))) == len(STAGES)
    networks = [stage.network for stage in STAGES if stage.network]
    assert len(set(networks)) == len(networks)
    assert all(f"{stage.network}.safetensors" in stage.writes for stage in STAGES if stage.network)


def test_every_stage_is_a_command_or_says_which_one_carries_it_out():
    assert {stage.name for stage in STAGES if stage.has_command} == set(COMMANDS)
    assert all(stage.command.split()[0] in {*COMMANDS, "run"} for stage in STAGES if not stage.has_command)


def test_goals_come_one_after_the_other():
    assert all(reaches(later.goal, earlier.goal) for earlier, later in itertools.pairwise(STAGES))


def test_a_stage_is_found_by_its_name():
    assert stage_named("make-maps").writes == ("maps/", "tags.json")


def test_an_unknown_stage_is_told_with_all_that_there_are():
    with pytest.raises(TagmaskError, match=r"no stage 'make-mask'; the stages are make-saliency, .*, predict"):
        stage_named("make-mask")


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("predict", ["predict"]),
        ("make-instances", ["make-instances"]),
        ("train-segmenter", [*LAST]),
        ("make-masks", ["make-masks", *LAST]),
        ("train-affinity", ["train-affinity", "make-masks", "make-instances", *LAST]),
        ("make-maps", ["make-maps", *names(STAGES[4:])]),
        ("train-method", names(STAGES[1:])),
        ("make-saliency", names(STAGES)),
    ],
)
def test_what_builds_on_a_stage_follows_it_directly_or_not(stage, expected):
    assert names(following(stage)) == expected


def test_maps_for_seeds_are_maps_that_others_build_on():
    assert "make-maps" not in names(following("make-seed-maps"))
    assert "make-masks" in names(following("make-seed-maps"))


def test_nothing_follows_a_stage_that_does_not_exist():
    with pytest.raises(TagmaskError, match="no stage 'sleep'"):
        following("sleep")


@pytest.mark.parametrize(
    ("goal", "reached"),
    [("seed", {"seed"}), ("mask", {"seed", "mask"}), ("prediction", {"seed", "mask", "prediction"})],
)
def test_a_goal_reaches_itself_and_those_before(goal, reached):
    assert {other for other in ("seed", "mask", "prediction") if reaches(goal, other)} == reached


def test_a_run_does_without_what_lies_beyond_its_goal():
    assert names(beyond("prediction")) == []
    assert names(beyond("mask")) == ["make-instances", *LAST]
    assert names(beyond("seed")) == ["make-maps", "train-affinity", "make-masks", *names(beyond("mask"))]


def test_names_come_in_the_order_of_the_pipeline_and_unknown_ones_last_as_they_came():
    shuffled = ["predict", "zebra", "make-maps", "ant", "train-method"]
    assert in_order(shuffled) == ["train-method", "make-maps", "predict", "zebra", "ant"]
    assert in_order([]) == []


def test_a_finished_run_has_all_that_its_stages_write(tiny_run):
    manifest = tiny_run.folder.manifest()
    optional = ("make-saliency", "make-seed-maps", "make-instances", "revise-masks", "background.json")
    expected = [name for name in names(STAGES) if name not in optional]
    assert in_order(manifest) == expected
    for name in manifest:
        for result in set(stage_named(name).writes) - set(optional):
            assert (tiny_run.folder.path / result).exists(), result
