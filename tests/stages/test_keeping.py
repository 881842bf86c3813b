"""What stays in a run folder beside the masks, and that nothing else depends on it."""

import shutil

import pytest

from shared_runs import tiny_recipe
from tagmask.config.recipes import changed_recipe, load_recipe
from tagmask.errors import TagmaskError
from tagmask.report import run_report
from tagmask.scoring.evaluation import evaluate
from tagmask.stages.keeping import SHOWN, background_images, images_to_look_at, keeping
from tagmask.stages.pipeline import COMMANDS, carry_out_shard, run_all
from tagmask.stages.run import Run, begin_run, open_run, open_shard
from tagmask.system.shards.shard import shard_named

SCORED = "train/00002"


@pytest.fixture(scope="module")
def all_kept(tmp_path_factory) -> Run:
    """A run of four scenes, one of which is scored, with all it has made."""
    place = tmp_path_factory.mktemp("runs")
    (place / "ids.txt").write_text(f"{SCORED}\n")
    run = begin_run(tiny_recipe(f"data.score_ids={place / 'ids.txt'}", "report.num_images=1"), None, place / "run")
    run_all(run)
    evaluate(run)
    return run


def begun_again(run: Run, folder, keep: str, *stages: str) -> Run:
    """The same run in a folder of its own with another setting, some stages of it to be made again."""
    shutil.copytree(run.folder.path, folder)
    again = begin_run(changed_recipe(run.recipe, [f"masks.keep={keep}"]), None, folder)
    for stage in stages:
        again.folder.forget(stage)
    return again


def names(run: Run, folder: str) -> set[str]:
    whole = run.folder.path / folder
    return {str(path.relative_to(whole).with_suffix("")) for path in whole.rglob("*.*")}


def pixels(run: Run) -> dict[str, bytes]:
    made = [run.folder.path / name for name in ("masks", "confidence", "predictions")]
    return {str(path.relative_to(run.folder.path)): path.read_bytes() for each in made for path in each.rglob("*.png")}


def everything(run: Run) -> set[str]:
    return {record.id for record in run.training_records}


def test_one_of_the_scenes_is_scored(all_kept):
    assert len(everything(all_kept)) == 4
    assert [record.id for record in images_to_look_at(all_kept)] == [SCORED]
    assert names(all_kept, "maps") == names(all_kept, "walks") == everything(all_kept)


@pytest.mark.parametrize(("keep", "left_out", "kept"), [("maps", "walks", "maps"), ("walks", "maps", "walks")])
def test_only_what_is_looked_at_is_kept_of_what_is_not_wanted(all_kept, tmp_path, keep, left_out, kept):
    run = begun_again(all_kept, tmp_path / "run", keep, "make-masks")
    run_all(run)
    assert names(run, left_out) == {SCORED}
    assert names(run, kept) == everything(run)
    assert pixels(run) == pixels(all_kept)


@pytest.mark.parametrize("keep", ["maps", "walks"])
def test_scores_are_those_of_a_run_that_keeps_all(all_kept, tmp_path, keep):
    run = begun_again(all_kept, tmp_path / "run", keep, "make-masks")
    run_all(run)
    assert evaluate(run) == evaluate(all_kept)
    assert SCORED in run_report.write(run).read_text()


@pytest.mark.parametrize("keep", ["maps", "walks"])
def test_a_second_call_makes_nothing_again(all_kept, tmp_path, keep):
    run = begun_again(all_kept, tmp_path / "run", keep, "make-masks")
    run_all(run)
    before = {
        path: path.stat().st_mtime_ns
        for path in run.folder.path.rglob("*")
        if path.is_file() and path.name != "lock.json"
    }
    run_all(open_run(run.folder.path))
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert len(before) == sum(path.is_file() for path in run.folder.path.rglob("*")) - 1


def test_maps_are_removed_from_a_finished_run_and_come_back(all_kept, tmp_path):
    run = begun_again(all_kept, tmp_path / "run", "walks")
    run_all(run)
    assert names(run, "maps") == {SCORED}
    back = begin_run(changed_recipe(run.recipe, ["masks.keep=all"]), None, run.folder.path)
    run_all(back)
    assert names(back, "maps") == everything(back)
    assert all(
        back.folder.maps(name).read_bytes() == all_kept.folder.maps(name).read_bytes() for name in names(back, "maps")
    )


def test_a_mask_that_is_lost_is_made_of_maps_that_are_made_again(all_kept, tmp_path):
    run = begun_again(all_kept, tmp_path / "run", "maps", "make-masks")
    run_all(run)
    lost = next(run.folder.mask(name) for name in sorted(everything(run)) if name != SCORED)
    lost.unlink()
    run_all(run)
    assert pixels(run) == pixels(all_kept)


def test_a_walk_that_is_lost_is_made_of_maps_that_are_made_again(all_kept, tmp_path):
    run = begun_again(all_kept, tmp_path / "run", "walks", "make-masks")
    run_all(run)
    lost = next(run.folder.walks(name) for name in sorted(everything(run)) if name != SCORED)
    content = lost.read_bytes()
    lost.unlink()
    run_all(run)
    assert lost.read_bytes() == content
    assert names(run, "maps") == {SCORED}


def test_walks_are_removed_from_a_finished_run_as_well(all_kept, tmp_path):
    run = begun_again(all_kept, tmp_path / "run", "maps")
    run_all(run)
    assert names(run, "walks") == {SCORED}
    assert names(run, "maps") == everything(run)


def test_what_a_link_leads_to_is_not_ours_to_remove(all_kept, tmp_path):
    run = begun_again(all_kept, tmp_path / "run", "walks")
    (run.folder.path / "maps").rename(tmp_path / "shared")
    (run.folder.path / "maps").symlink_to(tmp_path / "shared")
    run_all(run)
    assert names(run, "maps") == everything(run)


@pytest.mark.parametrize("stage", ["make-masks", "train-affinity"])
def test_a_stage_that_is_done_again_makes_the_maps_that_it_needs(all_kept, tmp_path, stage):
    run = begun_again(all_kept, tmp_path / "run", "walks", "make-masks")
    run_all(run)
    run.folder.forget(stage)
    COMMANDS[stage](run)
    assert run.folder.is_done(stage)
    run_all(run)
    assert names(run, "maps") == {SCORED}
    assert pixels(run) == pixels(all_kept)


def test_a_lost_network_and_a_lost_label_are_made_again(all_kept, tmp_path):
    run = begun_again(all_kept, tmp_path / "run", "walks", "make-masks")
    run_all(run)
    run.folder.weights("affinity").unlink()
    kind = run.recipe.affinity.labels.kind
    lost = next(run.folder.affinity_labels(r.id, kind) for r in run.training_records if r.tags and r.id != SCORED)
    content = lost.read_bytes()
    lost.unlink()
    run_all(run)
    assert run.folder.weights("affinity").exists()
    assert lost.read_bytes() == content


@pytest.mark.parametrize("keep", ["maps", "walks"])
def test_other_images_that_are_to_be_scored_are_named_and_made(all_kept, tmp_path, keep):
    run = begun_again(all_kept, tmp_path / "run", keep, "make-masks")
    run_all(run)
    other = sorted(everything(run) - {SCORED})[0]
    (tmp_path / "ids.txt").write_text(f"{other}\n")
    scored = [f"data.score_ids={tmp_path / 'ids.txt'}"]
    again = begin_run(changed_recipe(run.recipe, scored), None, run.folder.path)
    with pytest.raises(TagmaskError, match=rf"1 of 1 images .* no maps or walks yet, such as {other}; `tagmask resume"):
        evaluate(again)
    run_all(again)
    assert evaluate(again)["mask"]["mean_iou"] >= 0


def test_a_shard_keeps_what_the_run_keeps(all_kept):
    with pytest.raises(TagmaskError, match=r"masks.keep=walks for one shard of a run that keeps all"):
        open_shard(all_kept.folder.path, settings=["masks.keep=walks"])


@pytest.mark.parametrize("keep", ["maps", "walks"])
def test_shards_keep_the_same(all_kept, tmp_path, keep):
    run = begun_again(all_kept, tmp_path / "run", keep, "make-masks")
    for name in ("2/2", "1/2"):
        carry_out_shard(open_shard(run.folder.path), "make-masks", shard_named(name))
    assert run.folder.is_done("make-masks")
    assert {kept: names(run, kept) for kept in ("maps", "walks")} == {
        keep: everything(run),
        "walks" if keep == "maps" else "maps": {SCORED},
    }
    run_all(open_run(run.folder.path))
    assert pixels(run) == pixels(all_kept)


def test_the_reported_ones_are_kept_where_nothing_is_scored(all_kept, tmp_path, monkeypatch):
    run = begun_again(all_kept, tmp_path / "run", "maps", "make-masks")
    monkeypatch.setattr("tagmask.stages.keeping.score_records", lambda *_: ())
    shown = images_to_look_at(run)
    assert [record.id for record in shown] == [next(r.id for r in run.training_records if r.tags)]
    assert keeping(run).walk(shown[0].id)
    assert [*images_to_look_at(all_kept)] == shown


def test_those_on_which_the_background_is_found_are_kept(all_kept):
    found = changed_recipe(all_kept.recipe, ["masks.background.factor=outlines", "masks.keep=maps"])
    run = Run(found, all_kept.folder, all_kept.dataset, None)
    tagged = {record.id for record in run.training_records if record.tags}
    assert {record.id for record in background_images(run)} == tagged
    assert all(map(keeping(run).walk, tagged))
    assert len(tagged) < SHOWN
    assert background_images(all_kept) == []


# ── what later stages read ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["masks.keep=maps", "segmenter.revision={}"], "segmenter.revision reads the walks of all images"),
        (["masks.keep=walks", "affinity=null"], "without an affinity network .* maps do not walk"),
        (
            ["masks.keep=walks", "masks.confident={kind: thresholds}", "segmenter.revision={}"],
            "segmenter.revision reads the maps",
        ),
    ],
)
def test_what_a_later_stage_reads_is_not_to_be_left_out(settings, message):
    with pytest.raises(TagmaskError, match=message):
        tiny_recipe(*settings)


def test_instances_need_the_maps():
    with pytest.raises(TagmaskError, match=r"instances reads the maps of all images .* \(instances=null\)"):
        load_recipe("folder-cpu", ["masks.keep=walks", "affinity.displacements=true", "instances={}"])


@pytest.mark.parametrize(
    "settings",
    [
        ["masks.keep=walks", "segmenter.revision={}"],
        ["masks.keep=maps", "segmenter.revision={}", "segmenter.learn_from=masks"],
        ["masks.keep=maps", "affinity=null", "segmenter.revision={}"],
        ["masks.keep=maps", "masks.confident={kind: thresholds}", "segmenter.revision={}"],
    ],
)
def test_what_no_later_stage_reads_may_be_left_out(settings):
    assert tiny_recipe(*settings).masks.keep in ("maps", "walks")
