from dataclasses import replace

import pytest

from conftest import tiny_recipe
from tagmask.networks.saved import read_facts
from tagmask.stages import method, saliency
from tagmask.stages.method import calibrate, train_method
from tagmask.stages.run import begin_run, new_method
from tagmask.training.samples import TagSamples

EPS = ("method={kind: eps}", "affinity.labels={kind: learnt}", "masks.background.rule=none")


def samples(run) -> TagSamples:
    return TagSamples(
        run.dataset, run.training_records, run.recipe.training.augment, new_method(run).backbone.normalization
    )


@pytest.fixture
def shown(monkeypatch):
    """What a method is shown when it is calibrated: ids of each batch, and whether it was in training."""
    batches = []

    def look(self, found) -> None:
        batches.extend((batch.ids, self.training) for batch in found)

    monkeypatch.setattr("tagmask.methods.cam.Cam.calibrate", look)
    return batches


def tagged(run) -> list[str]:
    return [record.id for record in run.training_records if record.tags]


# ── calibration ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tagged_training_images_are_shown_once_in_batches_in_evaluation_mode(tmp_path, shown):
    run = begin_run(tiny_recipe("data.num_train=8", "training.batch_size=4"), None, tmp_path / "run")
    records = list(run.dataset.records)
    records[1] = replace(records[1], tags=())
    run.dataset.records = tuple(records)
    assert len(tagged(run)) == 7
    calibrate(run, new_method(run).train(), samples(run))
    assert [name for ids, _ in shown for name in ids] == tagged(run)
    assert [len(ids) for ids, _ in shown[:-1]] == [4] * (len(shown) - 1)
    assert not any(training for _, training in shown)


def test_batches_are_no_larger_than_those_of_a_pass_in_training(tmp_path, shown):
    run = begin_run(tiny_recipe("training.batch_size=4", "training.accumulation=2"), None, tmp_path / "run")
    calibrate(run, new_method(run), samples(run))
    assert max(len(ids) for ids, _ in shown) == 2


def test_a_limited_number_of_images_is_enough(tmp_path, shown, monkeypatch):
    monkeypatch.setattr(method, "NUM_CALIBRATION_IMAGES", 3)
    run = begin_run(tiny_recipe("data.num_train=8"), None, tmp_path / "run")
    calibrate(run, new_method(run), samples(run))
    assert [name for ids, _ in shown for name in ids] == tagged(run)[:3]


# ── the stage ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_classifier_is_trained_then_calibrated_then_written(tmp_path, shown):
    run = begin_run(tiny_recipe("training.steps=1"), None, tmp_path / "run")
    train_method(run)
    assert [name for ids, _ in shown for name in ids] == tagged(run)
    assert run.folder.is_done("train-method")
    entry = run.folder.manifest()["train-method"]
    assert (entry["images"], entry["left_out"]) == (4, [])
    assert "recipe" in read_facts(run.folder.weights("method"))


def test_a_finished_classifier_is_not_trained_again(tiny_run, monkeypatch):
    monkeypatch.setattr(method, "train", lambda *_: pytest.fail("trained again"))
    before = tiny_run.folder.weights("method").stat().st_mtime_ns
    train_method(tiny_run)
    assert tiny_run.folder.weights("method").stat().st_mtime_ns == before


def test_a_classifier_whose_weights_are_damaged_is_trained_again_to_the_same_weights(run_copy):
    weights = run_copy.folder.weights("method")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    train_method(run_copy)
    assert weights.read_bytes() == whole


@pytest.mark.parametrize(("settings", "made"), [(("data.saliency=built-in", *EPS), True), ((), False)])
def test_saliency_is_made_first_where_the_method_learns_from_it(tmp_path, monkeypatch, settings, made):
    events = []
    monkeypatch.setattr(saliency, "make_saliency", lambda run: events.append("saliency"))
    monkeypatch.setattr(method, "train", lambda *_: events.append("train"))
    train_method(begin_run(tiny_recipe(*settings), None, tmp_path / "run"))
    assert events == ["saliency", "train"][not made :]
