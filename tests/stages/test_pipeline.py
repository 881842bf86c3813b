"""The whole way on drawn scenes, small enough for a test: every stage helps, nothing is done twice, all can be used."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import tagmask
from shared_runs import tiny_recipe
from tagmask.config.recipes import load_recipe
from tagmask.errors import TagmaskError
from tagmask.report import run_report
from tagmask.scoring import evaluation
from tagmask.serving.predict_folder import predict_images
from tagmask.stages import pipeline
from tagmask.stages.masks import make_masks
from tagmask.stages.pipeline import COMMANDS, EACH_IMAGE, carry_out_shard, run_all
from tagmask.stages.run import Run, begin_run, open_run, open_shard
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import EachImage
from tagmask.stages.table import STAGES, stage_named
from tagmask.system.lock import CLAIMS
from tagmask.system.shards import shard
from tagmask.system.shards.claims import Owner, claimed
from tagmask.system.shards.shard import shard_named
from tagmask.system.storage import HOST

SETTINGS = (
    *("data.num_train=96", "data.num_val=16", "data.num_classes=2", "data.size=64", "maps.validation=true"),
    *("training.steps=90", "affinity.training.steps=50", "segmenter.training.steps=70", "maps.scales=[1.0]"),
    *(f"{name}.augment.crop=64" for name in ("training", "affinity.training", "segmenter.training")),
)
FLOORS = {"seed_fixed": 35, "walk": 50, "mask": 60, "prediction": 55}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    run = begin_run(load_recipe("toy", SETTINGS), None, tmp_path_factory.mktemp("runs") / "toy")
    run_all(run)
    evaluation.evaluate(run)
    return run


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_every_stage_improves_on_the_one_before(finished):
    scores = json.loads(finished.folder.scores.read_text())
    means = {name: 100 * scores[name]["mean_iou"] for name in FLOORS}
    assert all(means[name] >= floor for name, floor in FLOORS.items()), means
    assert means["seed_fixed"] < means["walk"] < means["mask"], means
    assert 100 * scores["tags"]["mean_average_precision"] > 85


@pytest.mark.slow
def test_every_score_has_its_protocol(finished):
    scores = json.loads(finished.folder.scores.read_text())
    assert "all 96 images; background threshold 0.2, fixed beforehand; tags given" in scores["seed_fixed"]["protocol"]
    assert "chosen on these very masks" in scores["seed_best"]["protocol"]
    assert "all 16 images; tags not given" in scores["prediction"]["protocol"]


@pytest.mark.slow
def test_a_second_call_does_nothing(finished):
    before = files(finished.folder.path)
    run_all(finished)
    assert files(finished.folder.path) == before


@pytest.mark.slow
def test_validation_images_get_maps_of_their_predicted_tags(finished):
    assert all(finished.folder.maps(record.id).exists() for record in finished.validation_records)


@pytest.mark.slow
def test_the_report_is_one_file_with_all_sections(finished):
    page = run_report.write(finished).read_text()
    for part in ("Pseudo masks", "Segmentation network", "Review queue", "train-method", "kind: affinitynet", "<svg"):
        assert part in page, part
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_new_images_are_segmented(finished, tmp_path):
    record = finished.validation_records[0]
    image = finished.dataset.read_image(record)
    Image.fromarray(image).save(tmp_path / "new.png")
    mask = tagmask.load(finished.folder.path)(tmp_path / "new.png")
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.int32
    outcome = predict_images(tmp_path / "new.png", finished.folder.path, tmp_path / "out", overlays=True)
    assert (outcome.done, list(outcome.failed)) == (1, [])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "new.png.png")), mask)
    assert np.array_equal(np.asarray(Image.open(finished.folder.prediction(record.id))), mask)


@pytest.mark.slow
def test_quality_is_listed_worst_first(finished):
    lines = finished.folder.quality.read_text().splitlines()
    values = [float(line.rsplit(",", 1)[1]) for line in lines[1:]]
    assert lines[0] == "image,quality"
    assert len(values) == 96
    assert values == sorted(values)
    assert all(0 <= value <= 1 for value in values)


# ── another method ───────────────────────────────────────────────────────────────────────────────────────────────────

SIPE_GAIN = 6  # points of the seed over that of the plain classifier, each by its own rule set beforehand


@pytest.mark.slow
def test_sipe_finds_more_of_the_objects_than_the_plain_classifier(finished, tmp_path):
    run = begin_run(load_recipe("toy-sipe", SETTINGS), None, tmp_path / "sipe")
    run_all(run, until="mask")
    found, plain = evaluation.evaluate(run), json.loads(finished.folder.scores.read_text())
    means = {name: 100 * found[name]["mean_iou"] for name in ("seed_own", "walk", "mask")}
    assert means["seed_own"] >= 100 * plain["seed_fixed"]["mean_iou"] + SIPE_GAIN, means
    assert means["seed_own"] < means["walk"] < means["mask"], means
    assert "background learnt by the method" in found["seed_own"]["protocol"]


# ── many machines ────────────────────────────────────────────────────────────────────────────────────────────────────


def made(run: Run, stage: str) -> dict[str, bytes]:
    """Everything that a stage writes."""
    paths = [path for name in stage_named(stage).writes for path in [run.folder.path / name, *_below(run, name)]]
    return {str(path.relative_to(run.folder.path)): path.read_bytes() for path in paths if path.is_file()}


def _below(run: Run, name: str) -> list[Path]:
    return sorted((run.folder.path / name).rglob("*")) if name.endswith("/") else []


def do(run: Run, stage: str, name: str) -> str:
    """A shard as a process of its own would do it."""
    return carry_out_shard(open_shard(run.folder.path), stage, shard_named(name))


def test_the_table_says_which_stages_have_shards():
    assert {stage.name for stage in STAGES if stage.is_per_image} == set(EACH_IMAGE)
    assert set(EACH_IMAGE) < set(COMMANDS)


@pytest.mark.parametrize("stage", ["make-maps", "make-masks"])
@pytest.mark.parametrize("names", [("2/2", "1/2"), ("3/3", "1/3", "2/3"), ("auto",)], ids=" ".join)
def test_shards_in_any_order_make_what_one_process_makes(tiny_run, run_copy, stage, names):
    expected = made(tiny_run, stage)
    run_copy.folder.forget(stage)
    before = {path.name for path in run_copy.folder.path.iterdir()}
    for name in names[:-1]:
        assert "others are not" in do(run_copy, stage, name)
        assert not run_copy.folder.is_done(stage)
        assert 0 < len(made(run_copy, stage)) < len(expected)
    assert do(run_copy, stage, names[-1]) == f"all shards are done, and so is {stage}."
    assert made(run_copy, stage) == expected
    assert run_copy.folder.is_done(stage)
    written = {name.rstrip("/") for name in stage_named(stage).writes}
    assert {path.name for path in run_copy.folder.path.iterdir()} - before <= written | {"lock", "lock.json"}


def test_the_last_shard_removes_what_a_killed_one_was_writing(tiny_run, run_copy):
    run_copy.folder.forget("make-masks")
    do(run_copy, "make-masks", "1/2")
    written = run_copy.folder.mask(run_copy.training_records[0].id)
    ended = subprocess.Popen(["true"])
    ended.wait()
    (written.parent / f".{HOST}-{ended.pid}-0a1b2c.tmp.png").write_bytes(b"half")
    do(run_copy, "make-masks", "2/2")
    assert made(run_copy, "make-masks") == made(tiny_run, "make-masks")


def test_a_call_without_shard_finishes_what_shards_have_left(tiny_run, run_copy):
    run_copy.folder.forget("make-masks")
    do(run_copy, "make-masks", "2/3")
    kept = run_copy.folder.mask(run_copy.training_records[1].id)
    time_of_it = kept.stat().st_mtime_ns
    make_masks(open_run(run_copy.folder.path))
    assert made(run_copy, "make-masks") == made(tiny_run, "make-masks")
    assert kept.stat().st_mtime_ns == time_of_it


def test_labels_are_made_by_shards_and_the_training_is_left_to_one_call(tiny_run, run_copy):
    run_copy.folder.forget("train-affinity")
    for name in ("2/2", "1/2"):
        said = do(run_copy, "train-affinity", name)
    assert said.endswith(f"Next: `tagmask train-affinity {run_copy.folder.path}`, which trains.")
    assert not run_copy.folder.weights("affinity").exists()
    labels = {name: content for name, content in made(tiny_run, "train-affinity").items() if "labels" in name}
    assert made(run_copy, "train-affinity") == labels
    assert len(labels) == 4


def test_a_shard_that_is_killed_and_restarted_goes_on(tiny_run, run_copy, monkeypatch):
    run_copy.folder.forget("make-maps")
    write = pipeline.EACH_IMAGE["make-maps"]

    def interrupted(run: Run) -> EachImage:
        each = write(run)

        def maker():
            make = each.maker()

            def one_only(records):
                make(records[:1])
                raise KeyboardInterrupt

            return one_only

        return replace(each, maker=maker)

    with monkeypatch.context() as patched:
        patched.setitem(pipeline.EACH_IMAGE, "make-maps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            do(run_copy, "make-maps", "1/2")
    first = run_copy.folder.maps(run_copy.training_records[0].id)
    time_of_it = first.stat().st_mtime_ns
    do(run_copy, "make-maps", "2/2")
    do(run_copy, "make-maps", "1/2")
    assert made(run_copy, "make-maps") == made(tiny_run, "make-maps")
    assert first.stat().st_mtime_ns == time_of_it


def test_shards_of_different_counts_overlap_without_harm(tiny_run, run_copy):
    run_copy.folder.forget("make-masks")
    for name in ("1/2", "3/3", "auto"):
        do(run_copy, "make-masks", name)
    assert made(run_copy, "make-masks") == made(tiny_run, "make-masks")


def elsewhere(run: Run, name: str, seconds_ago: float = 0) -> None:
    """A claim of a process of another machine."""
    path = run.folder.path / CLAIMS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    owner = Owner(work=name, host="node7", space=1, process=12, since="2026-01-02 03:04:05")
    path.write_text(owner.model_dump_json())
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_who_is_not_the_last_leaves_the_stage_to_the_last(tiny_run, run_copy):
    run_copy.folder.forget("make-masks")
    elsewhere(run_copy, "make-masks-2-of-2")
    assert "at work: make-masks-2-of-2 (process 12 on node7" in do(run_copy, "make-masks", "1/2")
    with pytest.raises(TagmaskError, match="this shard is being done"):
        do(run_copy, "make-masks", "2/2")
    with pytest.raises(TagmaskError, match="shards are at work in"):
        open_run(run_copy.folder.path)
    elsewhere(run_copy, "make-masks-2-of-2", seconds_ago=3600)
    do(run_copy, "make-masks", "2/2")
    assert made(run_copy, "make-masks") == made(tiny_run, "make-masks")


def test_chunks_that_others_have_are_left_to_them(tiny_run, run_copy, monkeypatch):
    monkeypatch.setattr(shard, "CHUNK", 1)
    run_copy.folder.forget("make-masks")
    with claimed(run_copy.folder.path / CLAIMS / "make-masks-3-of-4.json", "a chunk"):
        assert "at work: a chunk" in do(run_copy, "make-masks", "auto")
    lacking = [record.id for record in run_copy.training_records if not run_copy.folder.mask(record.id).exists()]
    assert lacking == [run_copy.training_records[2].id]
    do(run_copy, "make-masks", "auto")
    assert made(run_copy, "make-masks") == made(tiny_run, "make-masks")


def test_the_strength_of_the_background_is_found_once_for_all_shards(run_copy, tmp_path):
    recipe = tiny_recipe("maps.validation=true", "masks.background.factor=outlines")
    run_copy.folder.forget("make-masks")
    copy = shutil.copytree(run_copy.folder.path, tmp_path / "other")
    one, several = (replace(run_copy, recipe=recipe, folder=RunFolder(path)) for path in (tmp_path / "copy", copy))
    make_masks(one)
    for name in ("3/3", "1/3", "2/3"):
        carry_out_shard(several, "make-masks", shard_named(name))
    assert "background.json" in made(one, "make-masks")
    assert made(several, "make-masks") == made(one, "make-masks")


def test_saliency_is_made_by_shards(tmp_path):
    recipe = tiny_recipe("method={kind: eps}", "data.saliency=built-in")
    one, several = (begin_run(recipe, None, tmp_path / name) for name in ("one", "several"))
    COMMANDS["make-saliency"](one)
    for name in ("2/2", "1/2"):
        do(several, "make-saliency", name)
    assert made(several, "make-saliency") == made(one, "make-saliency")
    assert len(made(one, "make-saliency")) == 4


@pytest.mark.parametrize("stage", ["make-masks", "train-affinity"])
def test_shards_too_say_which_stage_comes_first(run_copy, stage):
    run_copy.folder.forget("make-maps")
    with pytest.raises(TagmaskError, match=r"has not finished; run `tagmask (make-maps|train-affinity) "):
        do(run_copy, stage, "1/2")
    assert not list((run_copy.folder.path / CLAIMS).iterdir())


def test_a_launcher_and_shards_do_not_go_together(run_copy, monkeypatch):
    monkeypatch.setattr(pipeline, "this_process", lambda: SimpleNamespace(num_processes=2))
    with pytest.raises(TagmaskError, match="start each without a launcher"):
        do(run_copy, "make-masks", "1/2")
