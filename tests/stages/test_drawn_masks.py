"""What people have drawn or decided, and what is learned from it."""

from dataclasses import replace

import numpy as np
import pytest

from shared_runs import tiny_recipe
from tagmask.conventions import IGNORE
from tagmask.reviews.store import Review
from tagmask.scoring.evaluation import evaluate, scored_training_records
from tagmask.stages import affinity, segmenter
from tagmask.stages.pipeline import run_all
from tagmask.stages.results import LearnedMasks, mask_shares, read_pseudo_mask
from tagmask.stages.run import Run, begin_run, open_run
from tagmask.stages.segmenter import learned_records

SIZE = (48, 48)


def reviewed(run: Run, *reviews: Review, mask: np.ndarray | None = None) -> Run:
    """The run opened again after reviews of its first training images."""
    for record, review in zip(run.training_records, reviews, strict=False):
        run.reviews.write(record.id, review, mask if review.has_mask else None)
    return open_run(run.folder.path, alone=False)


@pytest.fixture
def drawn(run_copy) -> np.ndarray:
    mask = np.zeros(SIZE, np.int32)
    mask[:9, 5:] = run_copy.training_records[0].tags[0] + 1
    mask[-3:] = IGNORE
    return mask


def test_a_corrected_mask_is_learned_from_several_times_and_others_once(run_copy, drawn):
    run = reviewed(run_copy, Review(decision="corrected"), mask=drawn)
    first, second = run.training_records[:2]
    learned = LearnedMasks(run)
    assert np.array_equal(learned(first, SIZE), drawn)
    assert np.array_equal(learned(second, SIZE), read_pseudo_mask(run, second, SIZE))
    records = learned_records(run)
    assert [records.count(record) for record in run.training_records] == [4, 1, 1, 1]
    shares = mask_shares(run, records)
    labelled = (drawn != IGNORE).sum()
    assert np.allclose(shares[0], [(drawn == k).sum() / labelled for k in range(shares.shape[1])])


def test_rejected_images_are_left_out_of_both_trainings(run_copy, monkeypatch):
    run = reviewed(run_copy, Review(decision="rejected"))
    rejected = run.training_records[0]
    shown = []
    for module in (affinity, segmenter):
        monkeypatch.setattr(module, "train", lambda run, stage, net, samples, *rest: shown.append(samples.records))
    run.folder.forget("train-affinity")
    run.folder.note("make-masks", done=True)
    affinity.train_affinity(run)
    monkeypatch.setattr(segmenter, "mask_shares", lambda *_: np.ones((3, 1 + len(run.dataset.classes))))
    segmenter._train(run)
    assert len(shown) == 2
    assert all(rejected.id not in {record.id for record in records} for records in shown)
    assert {record.id for record in shown[1]} == {record.id for record in run.training_records[1:]}


def test_corrected_tags_are_those_of_the_run_until_reviews_are_ignored(run_copy):
    names = run_copy.dataset.classes
    run = reviewed(run_copy, Review(tags=(names[2], names[0])), Review(tags=()))
    assert [record.tags for record in run.training_records[:2]] == [(0, 2), ()]
    assert run.training_records[2:] == run_copy.training_records[2:]
    ignoring = run.recipe.model_copy(update={"masks": run.recipe.masks.model_copy(update={"reviews": "ignore"})})
    assert replace(run, recipe=ignoring).training_records == run_copy.training_records


def test_what_is_said_while_a_run_goes_on_counts_from_the_next_call(run_copy, drawn):
    run = open_run(run_copy.folder.path, alone=False)
    assert run.used_reviews == {}
    again = reviewed(run, Review(decision="corrected"), mask=drawn)
    assert run.used_reviews == {}
    assert len(again.used_reviews) == 1


def test_a_network_that_learned_from_drawn_masks_says_so_and_they_score_nothing(run_copy, drawn):
    run = reviewed(run_copy, Review(decision="corrected"), Review(decision="accepted"), mask=drawn)
    run.folder.forget("train-segmenter")
    run_all(run)
    scores = evaluate(run)
    assert "the network has learned from 2 drawn masks" in scores["prediction"]["protocol"]
    assert "2 of 4 images" in scores["mask"]["protocol"]
    assert {record.id for record in scored_training_records(run)} == {r.id for r in run.training_records[2:]}


def test_masks_that_the_data_bring_are_learned_from_where_asked(tmp_path):
    run = begin_run(tiny_recipe("data.learn_from_masks=true", "masks.drawn_times=1"), None, tmp_path / "run")
    record = run.training_records[0]
    assert np.array_equal(LearnedMasks(run)(record, SIZE), run.dataset.read_mask(record))
    assert all(map(run.is_drawn, run.training_records))
    assert learned_records(run) == run.training_records
    assert scored_training_records(run) == ()


def test_a_reviewed_mask_wins_against_one_that_the_data_bring(run_copy, drawn):
    run = reviewed(run_copy, Review(decision="corrected"), mask=drawn)
    data = run.recipe.data.model_copy(update={"learn_from_masks": True})
    run = replace(run, recipe=run.recipe.model_copy(update={"data": data}))
    assert np.array_equal(LearnedMasks(run)(run.training_records[0], SIZE), drawn)
