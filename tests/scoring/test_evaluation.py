"""Scores of a run, each against what one finds with the metrics alone."""

import json
from dataclasses import replace

import numpy as np
import pytest

from archives import archive, perfect
from shared_runs import SIZE, tiny_recipe
from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask, write_mask
from tagmask.errors import TagmaskError
from tagmask.scoring import evaluation
from tagmask.scoring.evaluation import evaluate, scored_training_records, summary
from tagmask.scoring.metrics import confusion_matrix
from tagmask.stages.run import Run
from tagmask.system.storage import read_json, write_json, write_maps


@pytest.fixture
def run(run_copy) -> Run:
    """A finished run whose maps, masks and predictions are the truth."""
    for record in run_copy.training_records:
        write_maps(run_copy.folder.maps(record.id), perfect(run_copy.dataset, record))
        truth = run_copy.dataset.read_mask(record)
        write_mask(run_copy.folder.mask(record.id), truth, None, len(run_copy.dataset.classes))
    for record in run_copy.validation_records:
        truth = run_copy.dataset.read_mask(record)
        write_mask(run_copy.folder.prediction(record.id), truth, None, len(run_copy.dataset.classes))
    return run_copy


def with_settings(run: Run, *settings: str) -> Run:
    return replace(run, recipe=tiny_recipe("maps.validation=true", *settings))


def means(scores: dict) -> dict[str, float]:
    return {name: entry["mean_iou"] for name, entry in scores.items() if "mean_iou" in entry}


# ── what is scored ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_agrees_with_the_truth_scores_one(run):
    found = means(evaluate(run))
    assert found.pop("walk") < 1  # the walks are still those of the run
    assert found == {"seed_fixed": 1, "seed_best": 1, "mask": 1, "prediction": 1}


def test_scores_are_written_and_returned(run):
    assert evaluate(run) == read_json(run.folder.scores)


def test_confusions_of_all_images_are_added_before_anything_is_divided(run_copy):
    dataset, k = run_copy.dataset, len(run_copy.dataset.classes) + 1
    total = sum(
        confusion_matrix(dataset.read_mask(record), read_mask(run_copy.folder.prediction(record.id), -1), k)
        for record in run_copy.validation_records
    )
    union = total.sum(axis=1) + total[:, :k].sum(axis=0) - np.diagonal(total)
    expected = (np.diagonal(total)[union > 0] / union[union > 0]).mean()
    assert evaluate(run_copy)["prediction"]["mean_iou"] == pytest.approx(expected)


def test_pixels_left_out_of_a_mask_are_misses_of_their_class_alone(run):
    for record in run.training_records:
        mask = run.dataset.read_mask(record)
        mask[: SIZE // 2] = IGNORE
        write_mask(run.folder.mask(record.id), mask, None, len(run.dataset.classes))
    entry = evaluate(run)["mask"]
    truth = np.stack([run.dataset.read_mask(record) for record in run.training_records])
    kept = (truth[:, SIZE // 2 :] == 0).sum() / (truth == 0).sum()
    assert entry["iou"]["background"] == pytest.approx(kept)
    assert entry["pixel_accuracy"] == pytest.approx(0.5)


@pytest.mark.parametrize(("height", "fixed", "best"), [(0.1, 0, 1), (0.9, 1, 1)])
def test_the_best_threshold_is_found_where_the_fixed_one_misses(run, height, fixed, best):
    for record in run.training_records:
        stored = perfect(run.dataset, record)
        write_maps(run.folder.maps(record.id), archive(stored.classes, stored.maps * height))
    found = evaluate(with_settings(run, "evaluation.threshold=0.5", "evaluation.sweep=[0.05,0.6,0.25]"))
    assert found["seed_best"]["threshold"] == pytest.approx(0.05)
    assert found["seed_best"]["mean_iou"] == best
    assert found["seed_fixed"]["threshold"] == 0.5
    assert (found["seed_fixed"]["iou"]["background"] == 1) == bool(fixed)
    assert (found["seed_fixed"]["mean_iou"] == 1) == bool(fixed)


def test_a_learnt_background_has_a_score_of_its_own_and_is_no_class_of_the_others(run):
    for record in run.training_records:
        stored = perfect(run.dataset, record)
        background = np.full((1, SIZE, SIZE), 0.5)
        write_maps(run.folder.maps(record.id), archive([0, *stored.classes], np.concatenate([background, stored.maps])))
    found = evaluate(run)
    assert found["seed_own"]["mean_iou"] == found["seed_fixed"]["mean_iou"] == 1
    assert "background learnt by the method" in found["seed_own"]["protocol"]
    assert "threshold" not in found["seed_own"]


# ── what cannot be scored is left out ────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_has_only_begun_has_no_scores(run):
    run.folder.forget("train-method")
    assert evaluate(run) == {}


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        ("train-segmenter", {"tags", "seed_fixed", "seed_best", "walk", "mask"}),
        ("make-masks", {"tags", "seed_fixed", "seed_best"}),
        ("make-maps", set()),
    ],
)
def test_what_is_not_made_yet_has_no_score(run, stage, left):
    run.folder.forget(stage)
    assert set(evaluate(run)) == left


def test_maps_of_seeds_alone_are_scored_too(run):
    manifest = run.folder.manifest()
    manifest["make-seed-maps"] = manifest.pop("make-maps")
    write_json(run.folder.path / "manifest.json", manifest)
    assert means(evaluate(run))["seed_fixed"] == 1


@pytest.mark.parametrize(
    ("split", "gone"), [("train", {"seed_fixed", "seed_best", "walk", "mask"}), ("val", {"prediction"})]
)
def test_images_without_ground_truth_have_no_scores(run, split, gone):
    everything = set(evaluate(run))
    run.dataset.records = tuple(replace(r, has_mask=r.has_mask and r.split != split) for r in run.dataset.records)
    assert set(evaluate(run)) == everything - gone


def test_images_whose_masks_score_may_be_some_of_them_and_the_protocol_says_so(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = run.training_records[1]
    (tmp_path / "ids.txt").write_text(f"{chosen.id}\n")
    some = with_settings(run, "data.score_ids=ids.txt")
    assert scored_training_records(some) == (chosen,)
    found = evaluate(some)
    assert "1 of 4 images, chosen by a list" in found["mask"]["protocol"]
    assert "all 2 images" in found["prediction"]["protocol"]


def test_a_mask_that_has_vanished_since_is_told(run, monkeypatch):
    monkeypatch.setattr(type(run.dataset), "read_mask", lambda self, record: None)
    with pytest.raises(TagmaskError, match=r"ground-truth mask of train/\d+ has vanished"):
        evaluate(run)


# ── protocols ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_score_says_on_what_and_with_which_knowledge_it_came_about(run):
    found = {name: entry["protocol"] for name, entry in evaluate(run).items()}
    assert "train, all 4 images; background threshold 0.2, fixed beforehand; tags given" in found["seed_fixed"]
    assert "chosen on these very masks" in found["seed_best"]
    assert found["walk"].startswith("walk on ")
    assert found["mask"].startswith("pseudo mask on ")
    assert "val, all 2 images; tags not given" in found["prediction"]
    assert "val, 2 images; average precision" in found["tags"]


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def predicted(run: Run, *rows: list[float]) -> dict:
    """The score of tags with these probabilities for the validation images."""
    table = {
        record.id: dict(zip(run.dataset.classes, row, strict=True))
        for record, row in zip(run.validation_records, rows, strict=True)
    }
    write_json(run.folder.predicted_tags, table)
    return evaluate(run)["tags"]


def test_average_precision_by_hand_and_classes_that_no_image_carries_are_left_out(run):
    records = run.validation_records
    tags = [(0, 1), (1,)]
    changed = dict(zip((r.id for r in records), tags, strict=True))
    run.dataset.records = tuple(replace(r, tags=changed.get(r.id, r.tags)) for r in run.dataset.records)
    found = predicted(run, [0.3, 0.9, 0.5, 0.5], [0.7, 0.8, 0.5, 0.5])
    assert list(found["average_precision"].values()) == [0.5, 1, None, None]  # the first class: second of two
    assert found["mean_average_precision"] == 0.75


def test_without_any_tag_there_is_no_mean(run):
    run.dataset.records = tuple(replace(r, tags=()) if r.split == "val" else r for r in run.dataset.records)
    found = predicted(run, [0.1] * 4, [0.2] * 4)
    assert found["mean_average_precision"] is None
    json.dumps(found, allow_nan=False)


# ── in brief ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_summary_is_in_percent_in_the_order_of_the_table_without_what_has_no_mean():
    scores = {
        "prediction": {"mean_iou": 0.5, "protocol": "p"},
        "seed_fixed": {"mean_iou": 0.25, "protocol": "s"},
        "tags": {"mean_average_precision": 0.75, "protocol": "t"},
    }
    assert summary(scores) == [
        ("classifier", 75, "t"), ("seed, fixed threshold", 25, "s"), ("segmentation network", 50, "p")
    ]  # fmt: skip
    assert summary(scores | {"tags": {"mean_average_precision": None, "protocol": "t"}}) == summary(scores)[1:]
    assert summary({}) == []


def test_ground_truth_that_came_after_the_seeds_asks_for_their_maps(run_copy):
    manifest = run_copy.folder.manifest()
    write_json(run_copy.folder.path / "manifest.json", {"make-seed-maps": manifest["make-maps"]})
    run_copy.folder.maps(run_copy.training_records[0].id).unlink()
    with pytest.raises(TagmaskError, match=r"1 of 4 images with ground truth have no maps yet.*--until seed"):
        evaluate(run_copy)


def test_a_list_of_scored_images_is_said_to_be_a_choice(run, monkeypatch):
    chosen = run.training_records[:2]
    monkeypatch.setattr(evaluation, "score_records", lambda *_: chosen)
    assert "2 of 4 images, chosen by a list" in evaluate(run)["mask"]["protocol"]
