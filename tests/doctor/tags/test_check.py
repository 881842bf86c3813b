import numpy as np
import pytest

from doctor.invented import dataset
from tagmask.config import TimmBackbone
from tagmask.doctor.census import take_census
from tagmask.doctor.tags import check
from tagmask.doctor.tags.check import TagCheck
from tagmask.errors import TagmaskError
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import write_json

TRAINING = [(0,)] * 30 + [(1,)] * 30 + [(0,)]  # the last one is told from its features as class 1
VALIDATION = [(0,)] * 12 + [(1,)] * 12
DATA = dataset(["cat", "dog", "cow"], TRAINING, VALIDATION)
CENSUS = take_census(DATA, "train", "val")
BACKBONE = TimmBackbone(model="test_resnet")


@pytest.fixture(autouse=True)
def features(monkeypatch):
    """What the backbone would say: the side of each image, and noise."""

    def invented(data, records, config, workers):
        side = [-1.0 if 1 in r.tags or r.id == "train/060" else 1.0 for r in records]
        noise = np.random.default_rng(0).normal(0, 0.1, (len(records), 3))
        return (np.array(side)[:, None] + noise).astype(np.float32)

    monkeypatch.setattr(check, "features_of", invented)


def ask(judge: TagCheck, readable: set[str] | None = None):
    everything = {record.id for record in DATA.records}
    return judge.doubts(DATA, CENSUS, everything if readable is None else readable, (), 0)


def test_training_and_validation_images_are_judged_by_folds():
    doubts, findings = ask(TagCheck(BACKBONE))
    assert {(each.record.id, each.name, each.is_tagged) for each in doubts} == {
        ("train/060", "cat", True),
        ("train/060", "dog", False),
    }
    (said,) = findings
    assert "test_resnet" in said.why
    assert "85 images of train and val in 5 parts" in said.why
    assert "not judged, with fewer than 10 images with or without: cow" in said.why


def test_unreadable_images_are_not_judged():
    readable = {record.id for record in DATA.records} - {"train/060"}
    assert ask(TagCheck(BACKBONE), readable)[0] == ()


def test_a_run_judges_its_validation_images_and_no_others(tmp_path):
    run = RunFolder(tmp_path)
    said = {}
    for record in DATA.split("val"):
        said[record.id] = {name: 0.9 if number in record.tags else 0.1 for number, name in enumerate(DATA.classes)}
    said["val/003"] = {"cat": 0.01, "dog": 0.99, "cow": 0.1}
    said["val/004"] = {"cat": 0.9}  # of another list of classes: no word of it is taken
    write_json(run.predicted_tags, said)
    doubts, (training, validation) = ask(TagCheck(BACKBONE, run))
    assert {(each.record.id, each.name) for each in doubts} >= {
        ("train/060", "cat"),
        ("val/003", "cat"),
        ("val/003", "dog"),
    }
    assert "61 images of train in 5 parts" in training.why
    assert f"the classifier of {tmp_path}, on the 23 validation images" in validation.why
    assert [each.surprise for each in doubts] == sorted((each.surprise for each in doubts), reverse=True)


def test_without_a_pretrained_backbone_the_run_alone_is_asked(tmp_path):
    run = RunFolder(tmp_path)
    write_json(run.predicted_tags, {"val/003": dict.fromkeys(DATA.classes, 0.5)})
    judge = TagCheck(TimmBackbone(model="test_resnet", weights="none"), run)
    judge.check()
    (said,) = ask(judge)[1]
    assert f"the classifier of {tmp_path}, on the 1 validation image" in said.why


def test_what_is_missing_is_told_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(TagmaskError, match="random numbers"):
        TagCheck(TimmBackbone(model="test_resnet", weights="none")).check()
    monkeypatch.setattr(check, "check_backbone", lambda _: None)
    TagCheck(BACKBONE).check()
    with pytest.raises(TagmaskError, match="tagmask make-maps"):
        TagCheck(BACKBONE, RunFolder(tmp_path)).check()
