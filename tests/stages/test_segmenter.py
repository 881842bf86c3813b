import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from noise import Noise
from shared_runs import tiny_recipe
from tagmask.config import RevisionConfig
from tagmask.config.recipes import load_recipe
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.inference.passes import dense_logits, pyramid
from tagmask.inference.predictor import load
from tagmask.scoring.evaluation import evaluate
from tagmask.stages import segmenter
from tagmask.stages.masks import mask_maker
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import begin_run, trained_segmenter
from tagmask.stages.segmenter import predict_validation, train_segmenter


def test_masks_come_before_the_network_that_learns_from_them(run_copy):
    run_copy.folder.forget("make-masks")
    with pytest.raises(TagmaskError, match="stage `make-masks` has not finished; run `tagmask make-masks"):
        train_segmenter(run_copy)


def test_predictions_are_those_of_the_network_that_is_kept(tiny_run):
    predictor = load(tiny_run.folder.path, "cpu")
    for record in tiny_run.validation_records:
        expected = predictor(tiny_run.dataset.read_image(record))
        np.testing.assert_array_equal(read_mask(tiny_run.folder.prediction(record.id), -1), expected)


def test_only_validation_images_are_predicted(tiny_run):
    found = sorted((tiny_run.folder.path / "predictions").rglob("*.png"))
    assert found == sorted(tiny_run.folder.prediction(record.id) for record in tiny_run.validation_records)


def test_a_finished_network_is_neither_trained_nor_asked_again(tiny_run, monkeypatch):
    for name in ("train", "load"):
        monkeypatch.setattr(segmenter, name, lambda *_: pytest.fail("done again"))
    train_segmenter(tiny_run)


def test_a_lost_prediction_is_made_again_without_training(run_copy, monkeypatch):
    monkeypatch.setattr(segmenter, "train", lambda *_: pytest.fail("trained again"))
    first, second = (run_copy.folder.prediction(record.id) for record in run_copy.validation_records)
    before, time = first.read_bytes(), second.stat().st_mtime_ns
    first.write_bytes(before[:-4])
    train_segmenter(run_copy)
    assert first.read_bytes() == before
    assert second.stat().st_mtime_ns == time


def test_lost_weights_are_trained_again_to_the_same_predictions(run_copy):
    weights = run_copy.folder.weights("segmenter")
    before = weights.read_bytes()
    weights.unlink()
    train_segmenter(run_copy)
    assert weights.read_bytes() == before


def test_without_validation_images_there_is_nothing_to_predict(run_copy):
    run_copy.folder.forget("predict")
    predict_validation(replace(run_copy, recipe=tiny_recipe("data.val_split=null")))
    assert run_copy.folder.manifest()["predict"]["images"] == 0
    assert not (run_copy.folder.path / "predictions").exists()


def test_the_network_learns_from_masks_with_the_unlabelled_pixels_that_the_run_wrote(run_copy, monkeypatch):
    given = []
    monkeypatch.setattr(segmenter, "train", lambda run, stage, network, samples, config: given.append(samples))
    monkeypatch.setattr(segmenter, "predict_validation", lambda run: None)
    run_copy.folder.forget("train-segmenter")
    train_segmenter(replace(run_copy, recipe=tiny_recipe("masks.ignore_value=9")))
    record = run_copy.training_records[0]
    mask = read_mask(run_copy.folder.mask(record.id), 9)
    sample = given[0].sample(0, 0, 0)
    assert set(torch.unique(sample.mask).tolist()) <= {-1, *np.unique(mask).tolist()}
    assert len(given[0]) == len(run_copy.training_records)


def test_a_folder_of_masks_that_has_vanished_is_told(run_copy):
    run_copy.folder.forget("train-segmenter")
    shutil.rmtree(run_copy.folder.path / "masks")
    with pytest.raises(TagmaskError, match="masks"):
        train_segmenter(run_copy)
    assert not run_copy.folder.is_done("train-segmenter")


# ── the ceiling ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_network_may_learn_from_ground_truth_for_as_many_steps_and_its_score_says_so(tmp_path):
    run = begin_run(tiny_recipe("segmenter.learn_from=masks", "segmenter.initial=imagenet"), None, tmp_path / "run")
    run_all(run)
    assert not (run.folder.path / "masks").exists()
    assert not run.folder.is_done("train-method")
    assert "the network has learned from 4 drawn masks" in evaluate(run)["prediction"]["protocol"]


def test_without_ground_truth_nothing_can_learn_from_it(tmp_path):
    for i in range(4):
        Image.new("RGB", (64, 64), (60 * i, 9, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "tags.csv").write_text("image,tags\n0.png,cat\n1.png,\n2.png,cat\n3.png,cat\n")
    recipe = load_recipe("folder-cpu", ["segmenter.learn_from=masks", "backbone.weights=none"])
    with pytest.raises(TagmaskError, match=r"no training image has a ground-truth mask.*data\.masks"):
        begin_run(recipe, tmp_path, tmp_path / "run")


def test_shares_are_those_of_what_the_training_draws(run_copy):
    samples = Noise()  # of two groups, of which the second is the last image alone
    shares = np.array([[1.0, 0.0]] * 7 + [[0.5, 0.5]])
    uniform, balanced = (
        run_copy.recipe.segmenter.model_copy(
            update={"training": run_copy.recipe.segmenter.training.model_copy(update={"sampling": sampling})}
        )
        for sampling in ("uniform", "balanced")
    )
    assert segmenter.expected_shares(shares, samples, uniform).tolist() == [0.9375, 0.0625]
    assert segmenter.expected_shares(shares, samples, balanced).tolist() == [0.75, 0.25]


# ── a revision ───────────────────────────────────────────────────────────────────────────────────────────────────────


def with_revision(run, **settings):
    block = run.recipe.segmenter.model_copy(update={"revision": RevisionConfig(**settings)})
    return replace(run, recipe=run.recipe.model_copy(update={"segmenter": block}))


@pytest.fixture
def revised(run_copy):
    """A run whose network has revised the masks."""
    run = with_revision(run_copy)
    train_segmenter(run)
    return run


def test_the_network_revises_the_masks_it_has_learned_from(revised):
    assert revised.folder.is_done("revise-masks")
    known = len(revised.dataset.classes) + 1
    for record in revised.training_records:
        mask = read_mask(revised.folder.revised(record.id), 255)
        assert set(np.unique(mask)) <= {0, *(tag + 1 for tag in record.tags)}
        assert mask.max() < known
    scores = evaluate(revised)
    assert scores["revised"]["protocol"].startswith("revised mask on")


def test_masks_that_nothing_revised_have_no_score_of_their_own(run_copy):
    assert "revised" not in evaluate(run_copy)


def test_the_revised_masks_are_those_that_scores_and_network_agree_on(revised):
    network, maker = trained_segmenter(revised), mask_maker(revised)
    record = next(record for record in revised.training_records if record.tags)
    image = revised.dataset.read_image(record)
    images = pyramid(image, (1.0,), network.backbone.normalization)
    seen = dense_logits(network, images, image.shape[:2], True, torch.device("cpu")).softmax(dim=0).numpy()
    scores, classes, _ = maker.scores_and_mask(record, image)
    shares = scores / scores.sum(axis=0)
    expected = classes[(shares * np.sqrt(seen[classes])).argmax(axis=0)]
    assert (read_mask(revised.folder.revised(record.id), 255) == expected).mean() > 0.999


def test_a_network_of_little_weight_changes_nothing(run_copy):
    run = with_revision(run_copy, network_weight=1e-6)
    train_segmenter(run)
    for record in run.training_records:
        first, again = (read_mask(path(record.id), 255) for path in (run.folder.mask, run.folder.revised))
        assert (first == again).mean() > 0.99


def test_an_interrupted_revision_goes_on_where_it_was(revised, monkeypatch):
    before = {record.id: revised.folder.revised(record.id).read_bytes() for record in revised.training_records}
    lost, kept = (revised.folder.revised(record.id) for record in revised.training_records[:2])
    time = kept.stat().st_mtime_ns
    lost.unlink()
    monkeypatch.setattr(segmenter, "train", lambda *_: pytest.fail("trained again"))
    train_segmenter(revised)
    assert {record.id: revised.folder.revised(record.id).read_bytes() for record in revised.training_records} == before
    assert kept.stat().st_mtime_ns == time


def test_nothing_is_revised_where_drawn_masks_are_learned_from(run_copy):
    run = with_revision(run_copy)
    block = run.recipe.segmenter.model_copy(update={"learn_from": "masks"})
    run = replace(run, recipe=run.recipe.model_copy(update={"segmenter": block}))
    run.folder.forget("train-segmenter")
    train_segmenter(run)
    assert "revise-masks" not in run.folder.manifest()
    assert not (run.folder.path / "revised").exists()
