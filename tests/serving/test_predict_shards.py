"""Masks of a folder by several calls: byte for byte those of one."""

import numpy as np
import pytest
from PIL import Image

from shared_runs import tiny_recipe
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor
from tagmask.serving import predict_folder
from tagmask.serving.predict_folder import predict_images
from tagmask.system.lock import InUseError, beside_others
from tagmask.system.shards import shard as shards
from tagmask.system.shards.shard import shard_named


class Brightness(Predictor):
    """A predictor that finds class 1 where it is bright, and can be stopped at the n-th image from now."""

    left = 10**9

    def __init__(self):
        self.classes, self.bands, self.as_stored, self.done = ("a", "b"), None, False, 0  # without a network
        self.config = tiny_recipe().segmenter

    def __call__(self, image):
        self.left, self.done = self.left - 1, self.done + 1
        if self.left < 0:
            raise KeyboardInterrupt
        return (image[..., 0] > 127).astype(np.int32)


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    one = Brightness()
    monkeypatch.setattr(predict_folder, "load", lambda model, tiles: one)
    monkeypatch.setattr(predict_folder, "CHUNK", 2)
    monkeypatch.setattr(shards, "CHUNK", 2)
    return one


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for i in range(10):
        file = tmp_path / "photos" / ("deep" if i % 3 else ".") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(file)
    return tmp_path / "photos"


@pytest.fixture
def model(tmp_path):
    (tmp_path / "segmenter.safetensors").write_bytes(b"weights")
    return tmp_path / "segmenter.safetensors"


@pytest.fixture
def by_one(photos, model, tmp_path):
    predict_images(photos, model, tmp_path / "one", overlays=True)
    return results(tmp_path / "one")


def results(out):
    paths = [path for path in out.rglob("*") if path.is_file() and path.parent.name != "shards"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths if path.name != "lock"}


@pytest.mark.parametrize("order", [("1/3", "2/3", "3/3"), ("3/3", "1/3", "2/3"), ("auto",), ("2/2", "auto")])
def test_shards_in_any_order_make_what_one_process_makes(photos, model, tmp_path, by_one, order):
    outcomes = [predict_images(photos, model, tmp_path / "out", True, shard=shard_named(name)) for name in order]
    assert results(tmp_path / "out") == by_one
    assert outcomes[-1].done == 10
    assert all("photographs have no mask yet" in outcome.notes[-1] for outcome in outcomes[:-1])


def test_a_shard_that_was_killed_goes_on_with_the_part_it_was_at(photos, model, tmp_path, by_one, predictor):
    predictor.left = 3
    with pytest.raises(KeyboardInterrupt):
        predict_images(photos, model, tmp_path / "out", True, shard=shard_named("1/2"))
    predictor.left, predictor.done = 10**9, 0
    predict_images(photos, model, tmp_path / "out", True, shard=shard_named("2/2"))
    assert not (tmp_path / "out/classes.csv").exists()
    assert predictor.done == 5
    predict_images(photos, model, tmp_path / "out", True, shard=shard_named("1/2"))
    assert predictor.done == 5 + 3  # a part of two was there already
    assert results(tmp_path / "out") == by_one


def test_a_call_without_shard_makes_what_is_missing(photos, model, tmp_path, by_one, predictor):
    predict_images(photos, model, tmp_path / "out", True, shard=shard_named("2/3"))
    predictor.done = 0
    outcome = predict_images(photos, model, tmp_path / "out", True)
    assert (outcome.done, predictor.done) == (10, 7)
    assert {name for name in results(tmp_path / "out") if name != "lock.json"} == set(by_one)
    assert not (tmp_path / "out/shards").exists()
    assert results(tmp_path / "out")["classes.csv"] == by_one["classes.csv"]
    predict_images(photos, model, tmp_path / "out", True)
    assert predictor.done == 17  # a call for itself makes all anew, as ever


def test_a_late_shard_finds_nothing_to_do(photos, model, tmp_path, by_one, predictor):
    for _ in range(2):
        predict_images(photos, model, tmp_path / "out", True, shard=shard_named("auto"))
    assert predictor.done == 20  # ten by one process, ten by the first shard
    assert results(tmp_path / "out") == by_one


def test_another_network_makes_all_anew(photos, model, tmp_path, predictor):
    predict_images(photos, model, tmp_path / "out", True, shard=shard_named("auto"))
    model.write_bytes(b"other weights")
    predict_images(photos, model, tmp_path / "out", True, shard=shard_named("auto"))
    assert predictor.done == 20


def test_a_bad_photograph_fails_the_call_that_writes_the_table(photos, model, tmp_path):
    (photos / "1bad.png").write_bytes(b"no picture")
    first = predict_images(photos, model, tmp_path / "out", True, shard=shard_named("2/2"))
    last = predict_images(photos, model, tmp_path / "out", True, shard=shard_named("1/2"))
    assert first.failed == ()
    assert [line for line in first.notes if "1bad.png" in line] == list(last.failed)
    assert (len(last.failed), last.done) == (1, 10)


def test_who_wants_the_folder_for_itself_is_refused_while_shards_work(photos, model, tmp_path):
    (tmp_path / "out").mkdir()
    with beside_others(tmp_path / "out", "predict-1-of-2", "shard 1/2 of predict"):
        with pytest.raises(InUseError, match="shards are at work"):
            predict_images(photos, model, tmp_path / "out", True)
        with pytest.raises(TagmaskError, match="this shard is being done"):
            predict_images(photos, model, tmp_path / "out", True, shard=shard_named("1/2"))
        predict_images(photos, model, tmp_path / "out", True, shard=shard_named("2/2"))
