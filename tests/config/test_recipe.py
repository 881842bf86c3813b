import json
import re

import pytest
from pydantic import ValidationError

from shared_runs import tiny_recipe
from tagmask.config import EvaluationConfig, Recipe, ReportConfig, Role, settings_of
from tagmask.config.recipes import load_recipe
from tagmask.errors import TagmaskError


def content(**changes) -> dict:
    return {**tiny_recipe().model_dump(mode="json"), **changes}


def test_a_recipe_survives_json():
    recipe = tiny_recipe("instances={}", "affinity={kind: irn, training: {steps: 1, rate: 1, augment: {crop: 48}}}")
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize("name", ["name", "data", "backbone", "method", "training", "segmenter", "affinity"])
def test_what_makes_an_experiment_must_be_said(name):
    whole = content()
    whole.pop(name)
    with pytest.raises(ValidationError, match=f"{name}\n  Field required"):
        Recipe.model_validate(whole)


def test_the_affinity_network_is_left_out_by_saying_so():
    assert Recipe.model_validate(content(affinity=None)).affinity is None


def test_an_unknown_block_is_refused():
    with pytest.raises(ValidationError, match="afinity"):
        Recipe.model_validate(content(afinity=None))


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (EvaluationConfig, {"threshold": 1.1}),
        (EvaluationConfig, {"threshold": -0.1}),
        (EvaluationConfig, {"sweep": (0.0, 0.6)}),
        (ReportConfig, {"num_images": -1}),
    ],
)
def test_settings_out_of_range_are_refused(config, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        config(**wrong)


def test_seeds_count_from_zero():
    with pytest.raises(ValidationError, match="seed"):
        Recipe.model_validate(content(seed=-1))


def test_a_factor_is_refused_without_a_background_that_it_acts_on():
    factor, none = "masks.background.factor=2", "masks.background.rule=none"
    with pytest.raises(TagmaskError, match=r"factor is 2\.0, and with masks\.background\.rule=none there is no"):
        tiny_recipe(factor, none)
    learnt = tiny_recipe(factor, none, "method={kind: sipe}")  # whose background takes part whatever the rule
    assert learnt.masks.background.factor == 2
    with pytest.raises(TagmaskError, match=r"factor is 2\.0, and masks\.confident makes masks of two backgrounds"):
        tiny_recipe(factor, "masks.confident={kind: thresholds}")


# ── what identifies a run ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "setting", ["seed=1", "method.dropout=0.3", "maps.flip=false", "walk.beta=7", "masks.crf=null", "name=other"]
)
def test_what_changes_a_result_makes_another_run(setting):
    assert settings_of(tiny_recipe(setting), None) != settings_of(tiny_recipe(), None)


@pytest.mark.parametrize(
    ("setting", "role"),
    [
        ("evaluation.threshold=0.3", Role.SCORING),
        ("evaluation.sweep=[0.1,0.2,0.05]", Role.SCORING),
        ("data.score_ids=ids.txt", Role.SCORING),
        ("report.num_images=3", Role.EXECUTION),
        ("masks.workers=3", Role.EXECUTION),
        ("segmenter.training.workers=3", Role.EXECUTION),
        ("affinity.training.log_every=3", Role.EXECUTION),
    ],
)
def test_how_a_run_is_carried_out_or_scored_leaves_it_the_same_run(setting, role):
    changed = tiny_recipe(setting)
    assert settings_of(changed, None) == settings_of(tiny_recipe(), None)
    assert settings_of(changed, role) != settings_of(tiny_recipe(), role)


# ── blocks that must fit each other ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("recipe", "setting", "where", "kind"),
    [
        ("folder-cpu", "affinity.labels={kind: learnt}", "affinity.labels", "ppc"),
        ("folder-cpu-eps", "affinity.labels={kind: learnt}", "affinity.labels", "eps"),
        ("folder-cpu-sipe", "method.maps=general", "affinity.labels", "sipe"),
        ("toy", "masks.confident={kind: learnt}", "masks.confident", "cam"),
    ],
)
def test_learnt_labels_need_a_method_that_learns_a_background(recipe, setting, where, kind):
    with pytest.raises(TagmaskError, match=rf"{where} of kind `learnt` need a background in the maps.*\({kind}\)"):
        load_recipe(recipe, [setting])


def test_learnt_labels_go_with_a_method_that_learns_a_background():
    recipe = load_recipe("toy-sipe", ["masks.confident={kind: learnt}", "affinity.labels={kind: learnt}"])
    assert recipe.masks.confident.kind == recipe.affinity.labels.kind == "learnt"


def test_other_labels_go_with_any_method():
    assert load_recipe("toy", ["masks.confident={kind: thresholds}"]).masks.confident.kind == "thresholds"
    assert load_recipe("toy-sipe", ["masks.confident={kind: powers}"]).masks.confident.kind == "powers"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("evaluation.sweep=[0,1,0]", "at most 1000 steps"),
        ("evaluation.sweep=[1,0,0.1]", "0 <= from < to <= 1"),
        ("evaluation.sweep=[0,1,1e-7]", "at most 1000 steps"),
        ("data.val_split=train", "both 'train'"),
        ("training.rate=.inf", "training.rate"),
        ("maps.scales=[0]", "maps.scales"),
        ("seed=99999999999999999999", "seed"),
    ],
)
def test_settings_that_would_fail_late_or_mislead_are_refused_at_once(setting, words):
    with pytest.raises(TagmaskError, match=re.escape(words)):
        load_recipe("toy", [setting])
