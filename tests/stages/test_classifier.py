import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from shared_runs import TinyBackbone, tiny_recipe
from tagmask.config import MapsConfig
from tagmask.contracts import Activation, Method, Record
from tagmask.errors import TagmaskError
from tagmask.networks.saved import read_facts
from tagmask.stages import classifier, saliency
from tagmask.stages.classifier import MapMaker, calibrate, make_maps, make_seed_maps, train_method
from tagmask.stages.run import begin_run, new_method, trained_method
from tagmask.system.storage import read_json, read_maps
from tagmask.training.samples import TagSamples

SIZE = (16, 24)
GRID = (2, 3)
RECORD = Record(id="deep/a", tags=(2, 0), split="train")


class Drawn(Method):
    """Yields given logits and maps, whatever the image; a mirrored pass sees the mirrored maps."""

    num_classes, num_views = 3, 1

    def __init__(self, maps, logits=(0.0, 0.0, 0.0), background=None, normalization="max") -> None:
        super().__init__()
        self.backbone = TinyBackbone()
        self.maps, self.logits, self.background = maps, torch.tensor(logits), background
        self.map_normalization = normalization
        self.known: list = []

    def views(self, images):
        return [images]

    def forward(self, images):
        pair = torch.stack([self.maps, self.maps.flip(-1)])[: len(images)]
        background = None if self.background is None else torch.full_like(pair[:, :1], self.background)
        return Activation(self.logits.expand(len(images), -1), pair, background, pair)

    def finish(self, activation, tags=None, valid=None):
        self.known.append(tags)
        return activation

    def view_losses(self, activations, batch):
        return {}

    def parameter_groups(self):
        return []


def three_maps() -> torch.Tensor:
    """Class c has the value c + 1 in its column, else 0."""
    return torch.diag(torch.tensor([1.0, 2, 3]))[:, None].expand(3, *GRID)


def made(method: Method, tags_given: bool = True, record: Record = RECORD, **settings):
    config = MapsConfig(**{"scales": (1.0,), "size": "feature"} | settings)
    images = [torch.zeros(3, *(int(side * scale) for side in SIZE)) for scale in config.scales]
    return MapMaker(config, method)(SIZE, images, record.tags if tags_given else None)


# ── one image ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_maps_of_the_tags_come_in_their_order_divided_by_their_maximum():
    found = made(Drawn(three_maps()))
    assert found.classes.tolist() == [3, 1]
    assert found.size == SIZE
    np.testing.assert_allclose(found.maps, [[[0, 0, 1]] * 2, [[1, 0, 0]] * 2], atol=1e-3)


def test_a_mirrored_pass_is_turned_back_before_it_is_added():
    both, one = (made(Drawn(three_maps()), flip=flip) for flip in (True, False))
    np.testing.assert_allclose(both.maps, one.maps, atol=1e-3)


def test_maps_may_lie_on_the_grid_of_the_image():
    found = made(Drawn(three_maps()), size="image")
    assert found.maps.shape == (2, *SIZE)
    assert found.maps[0].argmax() % SIZE[1] >= 16  # in the third column of the grid


def test_maps_resized_twice_reach_the_corners_of_the_image():
    # Corners aligned on 24 columns, the three cells lie at 0, 11.5 and 23: class 2 rises from there on.
    once, twice = (made(Drawn(three_maps()), size="image", resizing=how) for how in ("once", "twice"))
    np.testing.assert_allclose(twice.maps[0, 0], np.clip((np.arange(24) - 11.5) / 11.5, 0, 1), atol=1e-3)
    np.testing.assert_allclose(once.maps[0, 0], np.clip((np.arange(24) - 11.5) / 8, 0, 1), atol=1e-3)


def test_scales_are_summed_before_they_are_normalised():
    class SeesSize(Drawn):
        """At scale 2 all maps are 3 everywhere."""

        def forward(self, images):
            found = super().forward(images)
            return found if images.shape[-1] == SIZE[1] else replace(found, maps=torch.full_like(found.maps, 3.0))

    found = made(SeesSize(three_maps()), scales=(1.0, 2.0), flip=False)
    np.testing.assert_allclose(found.maps, [[[3 / 6, 3 / 6, 1]] * 2, [[1, 3 / 4, 3 / 4]] * 2], atol=1e-3)


def test_a_learnt_background_comes_first_as_class_0():
    found = made(Drawn(three_maps(), background=4.0))
    assert found.classes.tolist() == [0, 3, 1]
    assert found.has_background
    np.testing.assert_allclose(found.maps[0], 1, atol=1e-3)


def test_maps_are_stretched_where_the_method_says_so():
    raw = 1 + three_maps()
    found = made(Drawn(raw, normalization="min_max"))
    assert found.maps.min() <= 0 < made(Drawn(raw)).maps.min()
    np.testing.assert_allclose(found.maps.max(axis=(1, 2)), 1, atol=1e-3)


def test_the_method_is_told_the_tags_before_it_finishes():
    method = Drawn(three_maps())
    made(method)
    assert [known.tolist() for known in method.known] == [[[1, 0, 1]]]


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, [2]), (0.4, [1, 2]), (0.9, [])])
def test_without_tags_those_of_sufficient_probability_are_taken(threshold, expected):
    logits = np.log([0.45 / 0.55, 0.8 / 0.2, 0.1 / 0.9])
    method = Drawn(three_maps(), logits=logits.tolist())
    assert made(method, tags_given=False, tag_threshold=threshold).classes.tolist() == expected
    assert method.known[0].nonzero()[:, 1].tolist() == [number - 1 for number in expected]


@pytest.mark.parametrize("size", ["image", "feature"])
def test_an_image_without_tags_has_an_archive_without_maps(size):
    found = made(Drawn(three_maps()), record=replace(RECORD, tags=()), size=size)
    assert found.classes.tolist() == []
    assert found.maps.shape == (0, *(SIZE if size == "image" else GRID))


# ── the stages ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_image_has_maps_of_its_tags(tiny_run):
    for record in tiny_run.training_records:
        found = read_maps(tiny_run.folder.maps(record.id))
        assert found.classes.tolist() == [tag + 1 for tag in record.tags]


def test_validation_images_have_maps_of_their_predicted_tags_alone(tiny_run):
    predicted = read_json(tiny_run.folder.predicted_tags)
    for record in tiny_run.validation_records:
        probable = [i + 1 for i, name in enumerate(tiny_run.dataset.classes) if predicted[record.id][name] >= 0.5]
        assert read_maps(tiny_run.folder.maps(record.id)).classes.tolist() == probable


def test_the_probability_of_every_class_is_noted_for_every_validation_image(tiny_run):
    found = read_json(tiny_run.folder.predicted_tags)
    assert set(found) == {record.id for record in tiny_run.validation_records}
    record = tiny_run.validation_records[0]
    method = trained_method(tiny_run)
    image = method.backbone.normalization.apply(tiny_run.dataset.read_image(record))
    with torch.no_grad():
        logits = method(torch.stack([image, image.flip(-1)])).logits.mean(dim=0)
    assert list(found[record.id]) == list(tiny_run.dataset.classes)
    np.testing.assert_allclose(list(found[record.id].values()), logits.sigmoid(), atol=1e-5)


def test_a_lost_map_is_made_again_and_no_other(run_copy):
    paths = [run_copy.folder.maps(record.id) for record in run_copy.training_records]
    before, times = paths[1].read_bytes(), [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    make_maps(run_copy)
    assert paths[1].read_bytes() == before
    assert [path.stat().st_mtime_ns == time for path, time in zip(paths, times, strict=True)] == [
        True,
        False,
        True,
        True,
    ]


def test_a_lost_table_of_tags_is_made_again(run_copy):
    before = run_copy.folder.predicted_tags.read_bytes()
    run_copy.folder.predicted_tags.unlink()
    make_maps(run_copy)
    assert run_copy.folder.predicted_tags.read_bytes() == before


def test_maps_need_a_trained_method(run_copy):
    run_copy.folder.forget("train-method")
    with pytest.raises(TagmaskError, match="stage `train-method` has not finished"):
        make_maps(run_copy)
    with pytest.raises(TagmaskError, match="stage `train-method` has not finished"):
        make_seed_maps(run_copy, run_copy.training_records)


def test_seeds_need_the_maps_of_the_images_that_are_scored_alone(run_copy):
    whole = read_maps(run_copy.folder.maps(run_copy.training_records[2].id))
    run_copy.folder.forget("make-maps")
    shutil.rmtree(run_copy.folder.path / "maps", ignore_errors=True)
    chosen = run_copy.training_records[2:3]
    make_seed_maps(run_copy, chosen)
    assert [path.stem for path in (run_copy.folder.path / "maps").rglob("*.npz")] == [chosen[0].id.split("/")[-1]]
    assert run_copy.folder.manifest()["make-seed-maps"]["images"] == 1
    np.testing.assert_array_equal(read_maps(run_copy.folder.maps(chosen[0].id)).maps, whole.maps)
    assert not run_copy.folder.is_done("make-maps")


def test_maps_of_all_images_serve_for_seeds_too(tiny_run, monkeypatch):
    monkeypatch.setattr(classifier, "trained_method", lambda run: pytest.fail("made again"))
    make_seed_maps(tiny_run, tiny_run.training_records)
    make_maps(tiny_run)
    assert "make-seed-maps" not in tiny_run.folder.manifest()


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────

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


def test_tagged_training_images_are_shown_once_in_batches_in_evaluation_mode_and_then_the_others(tmp_path, shown):
    run = begin_run(tiny_recipe("data.num_train=8", "training.batch_size=4"), None, tmp_path / "run")
    records = list(run.dataset.records)
    records[1] = replace(records[1], tags=())
    run.dataset.records = tuple(records)
    assert len(tagged(run)) == 7
    calibrate(run, new_method(run).train(), samples(run))
    assert [name for ids, _ in shown for name in ids] == [*tagged(run), records[1].id]
    assert [len(ids) for ids, _ in shown] == [4, 3, 1]
    assert not any(training for _, training in shown)


def test_batches_are_no_larger_than_those_of_a_pass_in_training(tmp_path, shown):
    run = begin_run(tiny_recipe("training.batch_size=4", "training.accumulation=2"), None, tmp_path / "run")
    calibrate(run, new_method(run), samples(run))
    assert max(len(ids) for ids, _ in shown) == 2


def test_a_limited_number_of_images_is_enough(tmp_path, shown, monkeypatch):
    for name, number in {"NUM_CALIBRATION_IMAGES": 3, "NUM_OF_EACH_CLASS": 0, "NUM_NEGATIVES": 0}.items():
        monkeypatch.setattr(classifier, name, number)
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
    monkeypatch.setattr(classifier, "train", lambda *_: pytest.fail("trained again"))
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
    monkeypatch.setattr(classifier, "train", lambda *_: events.append("train"))
    train_method(begin_run(tiny_recipe(*settings), None, tmp_path / "run"))
    assert events == ["saliency", "train"][not made :]
