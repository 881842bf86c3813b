import typing

from shared_runs import tiny_recipe
from tagmask.conventions import Goal
from tagmask.scoring.evaluation import evaluate
from tagmask.scoring.table import MASK_SCORES, SCORES, WORDS, in_order


def test_keys_and_words_are_unique():
    assert len({kind.key for kind in SCORES}) == len({kind.words for kind in SCORES}) == len(SCORES)
    assert set(WORDS) == {kind.key for kind in SCORES}


def test_scores_of_masks_are_all_but_that_of_tags():
    assert [kind.key for kind in SCORES if kind not in MASK_SCORES] == ["tags"]


def test_keys_come_in_the_order_of_the_table_once_and_without_those_that_are_no_scores():
    assert in_order(["prediction", "mask", "seconds", "tags", "mask"]) == ["tags", "mask", "prediction"]
    assert in_order(iter(["walk", "seed_fixed"])) == ["seed_fixed", "walk"]
    assert in_order([]) == []


def test_a_score_that_a_run_is_sure_to_have_comes_with_each_goal():
    assert {kind.sure_from for kind in SCORES} - {None} == set(typing.get_args(Goal))


def test_a_whole_run_has_every_score_but_those_of_what_its_recipe_does_not_have(run_copy):
    assert not tiny_recipe().method.learns_background
    assert set(evaluate(run_copy)) == set(WORDS) - {"seed_own", "revised"}
