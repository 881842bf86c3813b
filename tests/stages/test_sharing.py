import json
import os
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from shared_runs import TinyBackbone, tiny_recipe
from tagmask.config import CRF_PRESETS, TrainingConfig, settings_of
from tagmask.contracts import Record, Trainable
from tagmask.errors import TagmaskError
from tagmask.networks.saved import load_network, read_facts
from tagmask.stages import sharing
from tagmask.stages.run import Run, begin_run, new_method
from tagmask.stages.sharing import (
    crf_device,
    files_of,
    forget,
    is_finished,
    make_of_each,
    missing,
    side_by_side,
    spread_evenly,
    train,
)
from tagmask.system.storage import write_json
from tagmask.system.workers import in_order as workers_in_order
from tagmask.training import engine
from tagmask.training.samples import TagSamples

RECORDS = tuple(Record(id=f"deep/{i}", tags=(), split="train") for i in range(5))


@pytest.fixture
def run(tmp_path) -> Run:
    return begin_run(tiny_recipe(), None, tmp_path / "run")


@pytest.fixture
def be_process(monkeypatch):
    """This process is told to be one of several; returns what happened in order."""

    def become(index: int, number: int) -> list[str]:
        events: list[str] = []
        state = SimpleNamespace(
            process_index=index,
            num_processes=number,
            is_main_process=index == 0,
            wait_for_everyone=lambda: events.append("wait"),
        )
        monkeypatch.setattr(sharing, "this_process", lambda: state)
        return events

    return become


def ids(records) -> list[str]:
    return [record.id.removeprefix("deep/") for record in records]


# ── what is finished ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_is_finished_if_it_is_noted_and_its_files_are_whole(run):
    path = run.folder.quality.with_suffix(".json")
    assert not is_finished(run, "make-masks")
    run.folder.note("make-masks", done=False)
    assert not is_finished(run, "make-masks")
    run.folder.note("make-masks", done=True)
    assert is_finished(run, "make-masks")
    assert not is_finished(run, "make-masks", [path])
    write_json(path, {"a": 1})
    assert is_finished(run, "make-masks", [path])
    path.write_text('{"a": ')
    assert not is_finished(run, "make-masks", [path])


def test_no_process_goes_on_before_each_has_looked(run, be_process):
    events = be_process(1, 2)

    def files():
        events.append("look")
        yield run.folder.quality

    run.folder.note("make-masks", done=True)
    assert not is_finished(run, "make-masks", files())
    assert events == ["look", "wait"]


def test_every_record_has_its_files(run):
    found = list(files_of(RECORDS[:2], run.folder.mask, run.folder.confidence))
    assert [str(path.relative_to(run.folder.path)) for path in found] == [
        "masks/deep/0.png", "confidence/deep/0.png", "masks/deep/1.png", "confidence/deep/1.png"
    ]  # fmt: skip
    assert list(files_of([], run.folder.mask)) == []


# ── what is missing ──────────────────────────────────────────────────────────────────────────────────────────────────


def finish(run: Run, *indices: int) -> None:
    for index in indices:
        write_json(run.folder.image_instances(RECORDS[index].id), [])


def test_records_that_lack_a_file_or_have_a_damaged_one_are_missing(run):
    assert missing(RECORDS, run.folder.image_instances) == list(RECORDS)
    finish(run, 0, 2, 3)
    run.folder.image_instances(RECORDS[2].id).write_text("")
    assert ids(missing(RECORDS, run.folder.image_instances)) == ["1", "2", "4"]


def test_a_record_is_missing_if_one_of_its_files_is(run):
    finish(run, 0, 1)
    other = run.folder.path / "other"
    write_json(other / f"{RECORDS[1].id}.json", [])
    assert ids(missing(RECORDS[:2], run.folder.image_instances, lambda name: other / f"{name}.json")) == ["0"]


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_processes_share_what_is_missing_evenly_and_completely(run, be_process, number):
    finish(run, 1)
    shares = []
    for index in range(number):
        be_process(index, number)
        shares.append(ids(missing(RECORDS, run.folder.image_instances)))
    assert sorted(name for share in shares for name in share) == ["0", "2", "3", "4"]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_all_processes_look_before_any_of_them_writes(run, be_process):
    events = be_process(0, 2)

    def path(name: str):
        events.append("look")
        return run.folder.image_instances(name)

    missing(RECORDS[:2], path)
    assert events == ["wait", "look", "look", "wait"]


# ── work on each ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def in_this_process(monkeypatch):
    """Worker processes are left out, so that one can see what they would do."""
    monkeypatch.setattr(sharing, "in_order", lambda function, items, workers: workers_in_order(function, items, 0))


def test_only_what_is_missing_is_made_in_order_and_all_wait_at_the_end(run, be_process, in_this_process):
    events = be_process(0, 1)
    finish(run, 1, 3)
    make_of_each(run, lambda record: events.append(record.id), RECORDS, "things", run.folder.image_instances)
    assert events == ["wait", "wait", "deep/0", "deep/2", "deep/4", "wait"]


def test_a_process_makes_its_share(run, be_process, in_this_process):
    be_process(1, 2)
    made = []
    make_of_each(run, made.append, RECORDS, "things", run.folder.image_instances)
    assert ids(made) == ["1", "3"]


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def samples(run: Run) -> TagSamples:
    return TagSamples(run.dataset, run.training_records, CONFIG.augment, TinyBackbone.normalization)


class Scale(Trainable):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def outputs(self, batch):
        return self.factor * batch.images

    def losses_from(self, outputs, batch):
        return {"factor": self.factor.sum()}

    def parameter_groups(self):
        return []


@pytest.fixture
def trained(monkeypatch):
    """Trainings are noted instead of carried out, and leave a checkpoint."""
    calls = []

    def call(network, samples, config, *, seed, folder, stage):
        calls.append((len(samples), config, seed, stage))
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / f"{stage}-000001.pt").write_bytes(b"state")

    monkeypatch.setattr(engine, "train", call)
    return calls


CONFIG = TrainingConfig(steps=1, rate=0.1, augment={"crop": 48})


def test_the_first_process_does_what_is_last_then_writes_the_network_and_drops_checkpoints(run, be_process, trained):
    events, network = be_process(0, 2), Scale()

    def last() -> None:
        assert not run.folder.weights("segmenter").exists()
        with torch.no_grad():
            network.factor.fill_(7)

    train(run, "train-segmenter", network, samples(run), CONFIG, last)
    assert trained == [(4, CONFIG, run.recipe.seed, "segmenter")]
    again = Scale()
    load_network(run.folder.weights("segmenter"), again)
    assert again.factor.item() == 7
    assert list((run.folder.path / "checkpoints").glob("*")) == []
    assert events == ["wait"]


def test_other_processes_write_nothing(run, be_process, trained):
    events = be_process(1, 2)
    train(run, "train-segmenter", Scale(), samples(run), CONFIG, lambda: pytest.fail("not the first process"))
    assert len(trained) == 1
    assert not run.folder.weights("segmenter").exists()
    assert events == ["wait"]


def test_weights_know_the_recipe_that_made_them_and_the_classes(run, trained):
    train(run, "train-segmenter", Scale(), samples(run), CONFIG)
    facts = read_facts(run.folder.weights("segmenter"))
    assert json.loads(facts["recipe"]) == settings_of(run.recipe, None)
    assert json.loads(facts["classes"]) == list(run.dataset.classes)


def test_what_a_method_does_not_need_for_inference_is_not_written(tmp_path, trained):
    run = begin_run(tiny_recipe("method={kind: ppc, base: {kind: cam}}"), None, tmp_path / "ppc")
    method = new_method(run)
    train(run, "train-method", method, samples(run), CONFIG)
    load_network(run.folder.weights("method"), method.base)


@pytest.mark.parametrize(
    ("stage", "until", "message"),
    [
        ("make-saliency", "prediction", "does without stage make-saliency"),
        ("make-instances", "prediction", "does without stage make-instances"),
        ("train-segmenter", "mask", "--until mask ends before stage train-segmenter"),
        ("make-masks", "seed", "--until seed ends before stage make-masks"),
        ("paint", "prediction", "no stage 'paint'"),
    ],
)
def test_nothing_is_forgotten_that_would_not_be_made_again(run_copy, stage, until, message):
    before = run_copy.folder.manifest()
    with pytest.raises(TagmaskError, match=message):
        forget(run_copy, stage, until)
    assert run_copy.folder.manifest() == before
    assert run_copy.folder.weights("segmenter").exists()


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_records_are_spread_from_the_first_to_the_last(count: int, expected: list[int]) -> None:
    records = [Record(str(i), (), "train") for i in range(5)]
    assert [int(record.id) for record in spread_evenly(records, count)] == expected
    assert spread_evenly([], count) == []


# ── side by side ─────────────────────────────────────────────────────────────────────────────────────────────────────


def where(record: Record) -> tuple[str, int, int]:
    """The record, and the process and thread that look at it."""
    time.sleep(0.02 if record.id.endswith("0") else 0)  # the first one is done last
    return record.id, os.getpid(), threading.get_ident()


def test_what_computes_on_a_device_is_done_by_threads_of_this_process_in_order():
    done = list(side_by_side(where, RECORDS, 2, "cuda:0"))
    assert [image_id for image_id, _, _ in done] == [record.id for record in RECORDS]
    assert {process for _, process, _ in done} == {os.getpid()}
    assert 1 <= len({thread for _, _, thread in done} - {threading.get_ident()}) <= 2


def test_without_workers_one_thread_computes_on_the_device():
    assert len({thread for _, _, thread in side_by_side(where, RECORDS, 0, "cuda")}) == 1


def test_what_computes_on_the_processor_is_left_to_worker_processes():
    assert os.getpid() not in {process for _, process, _ in side_by_side(where, RECORDS[:2], 1, "cpu")}


def test_threads_stop_at_an_error():
    seen = []

    def refuse(record: Record) -> None:
        seen.append(record.id)
        time.sleep(0.01)
        raise TagmaskError(f"no {record.id}")

    with pytest.raises(TagmaskError, match="no deep/0"):
        list(side_by_side(refuse, RECORDS * 20, 1, "cuda"))
    assert len(seen) < 20


@pytest.mark.parametrize(("device", "expected"), [("cuda:1", "cuda:1"), ("mps", "cpu"), ("cpu", "cpu")])
def test_a_crf_computes_on_the_device_of_the_run_if_that_can(monkeypatch, device, expected):
    monkeypatch.setattr(sharing, "this_process", lambda: SimpleNamespace(device=torch.device(device)))
    assert crf_device(None, CRF_PRESETS["psa"]) == expected
    assert crf_device(None, None) == "cpu"
