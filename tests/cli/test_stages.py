"""Stage by stage: each stage has its command, says what it lacks, and loses nothing."""

import errno
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer.main
from safetensors.numpy import save_file

from tagmask import cli
from tagmask.stages.pipeline import COMMANDS
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.table import STAGES
from tagmask.system import storage
from typed import contents, refused, settings


def test_every_stage_that_has_a_command_is_one():
    assert {stage.name for stage in STAGES if stage.has_command} == set(COMMANDS)
    assert set(COMMANDS) < set(typer.main.get_command(cli.app).commands)


def test_saliency_that_nobody_asks_for_or_brings(run, tmp_path):
    assert run("begin", "toy", "--out", tmp_path / "x")[0] == 0
    refused(*run("make-saliency", tmp_path / "x"), "nothing to make: method 'cam'")
    lacking = run("run", "toy-eps", "--out", tmp_path / "y", "--set", "data.saliency=null")
    refused(*lacking, "`--set data.saliency=built-in`", "`--set data.saliency=FOLDER`")
    assert not (tmp_path / "y").exists()


def test_weights_that_are_missing_or_do_not_fit(run, tmp_path, photos):
    wanted = settings(backbone__weights=str(tmp_path / "w.safetensors"))
    arguments = ("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    refused(*run(*arguments, *wanted), "no weights file at", "w.safetensors")
    assert not (tmp_path / "x").exists()
    save_file({"other.weight": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    refused(*run(*arguments, *wanted), "w.safetensors", "other.weight")
    assert not (tmp_path / "x").exists()
    assert run(*arguments, *settings())[0] == 0


def test_a_level_the_backbone_lacks(run, tmp_path, photos):
    wrong = settings(affinity__levels="[1, 2, 40]")
    refused(*run("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x", *wrong), "affinity.levels", "40")
    assert not (tmp_path / "x").exists()


def test_stages_out_of_order(run, tmp_path, photos):
    for stage in ("make-maps", "train-segmenter", "evaluate", "report", "resume"):
        refused(*run(stage, tmp_path / "x"), "holds no run", "tagmask run")
    assert not (tmp_path / "x").exists()
    code, text = run("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x", *settings())
    assert code == 0
    assert f"next: tagmask train-method {tmp_path / 'x'}" in text
    refused(*run("train-segmenter", tmp_path / "x"), f"tagmask make-masks {tmp_path / 'x'}")


def test_full_disk_leaves_earlier_results(run, begun, monkeypatch):
    before = (begun / "method.safetensors").read_bytes()

    def full(path: Path) -> None:
        if path.suffix == ".npz":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "flush", full)
    refused(*run("make-maps", begun), "No space left on device", "free some space")
    assert (begun / "method.safetensors").read_bytes() == before
    assert not list((begun / "maps").glob("*"))
    monkeypatch.undo()


def test_missing_and_damaged_files_are_made_again(run, begun):
    assert run("make-maps", begun)[0] == 0
    before = contents(begun / "maps")
    lost, cut = sorted(before)[:2]
    lost.unlink()
    cut.write_bytes(before[cut][:-9])
    assert run("make-maps", begun)[0] == 0
    assert contents(begun / "maps") == before
    weights = (begun / "method.safetensors").read_bytes()
    (begun / "method.safetensors").write_bytes(weights[:1000])
    assert run("train-method", begun)[0] == 0
    assert (begun / "method.safetensors").read_bytes() == weights  # the same seed, the same steps


def test_a_stage_can_be_done_again_with_all_that_follows(run, begun):
    assert run("make-maps", begun)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in contents(begun)}
    code, text = run("make-maps", begun, "--redo")
    assert code == 0
    assert "forgotten: make-maps" in text
    after = {path: path.stat().st_mtime_ns for path in contents(begun)}
    assert all((path.parent.name == "maps") == (after[path] > before[path]) for path in before if path.suffix == ".npz")
    assert after[begun / "method.safetensors"] == before[begun / "method.safetensors"]
    code, text = run("resume", begun, "--redo", "train-method", "--until", "seed")
    assert "forgotten: train-method, make-maps" in text
    assert (begun / "method.safetensors").stat().st_mtime_ns > after[begun / "method.safetensors"]
    refused(*run("resume", begun, "--redo", "maps"), "no stage 'maps'", "make-maps")


def test_a_report_and_scores_need_the_folder_alone(run, begun):
    for command in ("report", "evaluate"):
        code, text = run(command, begun)
        assert code == 0, text
        assert f"report: {begun / 'report.html'}" in text
    assert RunFolder(begun).scores.exists()


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shards_make_what_one_call_makes(run, begun, tmp_path):
    alone = shutil.copytree(begun, tmp_path / "alone")
    assert run("make-maps", alone)[0] == 0
    code, text = run("make-maps", begun, "--shard", "2/2", "--set", "maps.workers=1")
    assert (code, "this shard is done; others are not" in text) == (0, True)
    assert (begun / "recipe.json").read_bytes() == (alone / "recipe.json").read_bytes()
    code, text = run("make-maps", begun, "--shard", "1/2")
    assert (code, "all shards are done, and so is make-maps." in text) == (0, True)
    made = [{path.name: content for path, content in contents(folder / "maps").items()} for folder in (begun, alone)]
    assert made[0] == made[1]
    assert len(made[0]) == 4


def test_what_is_no_shard_of_a_stage_is_refused(run, begun):
    refused(*run("make-maps", begun, "--shard", "0/2"), "counted from 1", "1/2 to 2/2", "add 1")
    refused(*run("make-maps", begun, "--shard", "2"), "--shard must be I/N, such as 2/3, or auto; got '2'")
    refused(*run("make-maps", begun, "--shard", "1/2", "--redo"), "--redo and --shard", f"make-maps {begun} --redo")
    refused(*run("make-masks", begun, "--shard", "1/2"), "stage `train-affinity` has not finished")
    refused(*run("make-maps", begun, "--shard", "1/2", "--set", "evaluation.threshold=0.3"), "does not score")
    refused(*run("make-maps", begun.parent / "none", "--shard", "1/2"), "holds no run")
    assert "No such option: --shard" in run("train-method", begun, "--shard", "1/2")[1]
    assert not (begun / "maps").exists()


@pytest.mark.slow
def test_calls_at_the_same_time_one_of_them_killed(run, tmp_path):
    data = (*("--set", "data.num_train=20"), *("--set", "data.num_val=4"), *("--set", "training.steps=2"))
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    run("begin", "toy", "--out", alone, *data)
    run("train-method", alone)
    shutil.copytree(alone, shared)
    assert run("make-maps", alone)[0] == 0
    calls = [tagmask("make-maps", shared, "--shard", "auto") for _ in range(2)]
    while not list((shared / "maps").rglob("*.npz")) and any(call.poll() is None for call in calls):
        time.sleep(0.01)
    for call in calls:  # the one that is at work, and the other if it has not ended
        call.kill()
    assert -9 in {call.wait() for call in calls}
    assert not RunFolder(shared).is_done("make-maps")
    assert run("make-maps", shared, "--shard", "auto")[0] == 0
    made = [{path.name: content for path, content in contents(folder / "maps").items()} for folder in (alone, shared)]
    assert made[0] == made[1]
    assert len(made[0]) == 20
    assert not (shared / "claims").exists()


def tagmask(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tagmask", *map(str, arguments)])
