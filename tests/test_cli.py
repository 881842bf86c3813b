"""The command line: what it prints, and that bad input ends in one message, exit code 2, and nothing lost."""

import errno
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pytest
import typer.main
from PIL import Image
from safetensors.numpy import save_file

from tagmask import cli
from tagmask.config.affinity import AFFINITY_KINDS
from tagmask.config.methods import METHOD_KINDS
from tagmask.config.recipes import recipe_names, recipe_text
from tagmask.stages.pipeline import COMMANDS
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.table import STAGES
from tagmask.system import storage

TINY = {
    "backbone.model": "test_resnet",
    "backbone.weights": "none",
    "training.epochs": "null",
    "training.steps": "2",
    "training.batch_size": "2",
    "training.augment.crop": "64",
    "training.augment.long_side": "null",
    "training.workers": "0",
    "maps.workers": "0",
}


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    """Exit code and everything printed."""
    monkeypatch.setattr(sys, "argv", ["tagmask", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out + printed.err


@pytest.fixture
def run(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, *arguments)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photographs of cats and dogs with a table of tags."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["image,tags,split"]
    for i in range(6):
        Image.fromarray(random.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{'cat' if i % 2 else 'dog'},{'val' if i > 3 else 'train'}")
    (folder / "tags.csv").write_text("\n".join(rows))
    return folder


def settings(**changes: str) -> list[str]:
    """Settings that make folder-cpu a matter of seconds."""
    merged = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return [part for key, value in merged.items() for part in ("--set", f"{key}={value}")]


def refused(code: int, text: str, *expected: str) -> None:
    """Exit code 2, one message that names all that is expected, no traceback."""
    assert code == 2, text
    assert "Traceback" not in text
    flat = " ".join(text.split())
    for part in expected:
        assert part in flat, f"{part!r} is not in: {flat}"


# ── help and lists ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_recipes_are_listed_and_shown(run):
    code, text = run("recipes")
    assert code == 0
    assert all(name in text for name in recipe_names())
    code, text = run("recipes", "toy")
    assert (code, text) == (0, recipe_text("toy"))  # as it is, to be piped into a file
    code, text = run("recipes", "toy+ppc")
    assert text == recipe_text("toy") + "# +ppc: all of `method` is the base of a method of kind ppc\n"


def commands() -> dict[str, click.Command]:
    return typer.main.get_command(cli.app).commands


def test_help_names_every_command_and_says_all_of_what_it_does(run):
    code, text = run("--help")
    flat = " ".join(text.split())
    assert code == 0
    for name, command in commands().items():
        assert f"{name} {command.help}" in flat


@pytest.mark.parametrize("name", commands())
def test_help_of_a_command_ends_with_an_example_of_it(run, name):
    code, text = run(name, "--help")
    assert code == 0
    example = text.strip().splitlines()[-1].strip()
    assert example.startswith(f"Example:  tagmask {name}")


def test_every_stage_that_has_a_command_is_one():
    assert {stage.name for stage in STAGES if stage.has_command} == set(COMMANDS)
    assert set(COMMANDS) < set(commands())


def test_the_version_is_the_installed_one(run):
    assert run("--version") == (0, f"tagmask {version('tagmask')}\n")


def test_methods_of_the_package_are_listed(run):
    code, text = run("methods")
    assert code == 0
    for kind in (*METHOD_KINDS.own, *AFFINITY_KINDS.own):
        assert re.search(rf"^{kind} +\S", text, re.MULTILINE), kind


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_saliency_that_nobody_asks_for_or_brings(run, tmp_path):
    assert run("begin", "toy", "--out", tmp_path / "x")[0] == 0
    refused(*run("make-saliency", tmp_path / "x"), "nothing to make: method 'cam'")
    lacking = run("run", "toy-eps", "--out", tmp_path / "y", "--set", "data.saliency=null")
    refused(*lacking, "`--set data.saliency=built-in`", "`--set data.saliency=FOLDER`")
    assert not (tmp_path / "y").exists()


def test_unknown_recipe(run, tmp_path):
    refused(*run("run", "toi", "--out", tmp_path / "x"), "no recipe 'toi'", "Did you mean 'toy'")


def test_unknown_key_names_the_nearest(run, tmp_path):
    refused(
        *run("run", "toy", "--out", tmp_path / "x", "--set", "training.rat=1"), "training.rat", "did you mean 'rate'"
    )
    assert not (tmp_path / "x").exists()


def test_value_that_does_not_fit(run, tmp_path):
    refused(*run("run", "toy", "--out", tmp_path / "x", "--set", "training.rate=fast"), "training.rate", "'fast'")


def test_setting_without_value(run, tmp_path):
    refused(*run("run", "toy", "--out", tmp_path / "x", "--set", "training.rate"), "key=value")


def test_missing_data_folder(run, tmp_path):
    refused(*run("run", "folder-cpu", "--data", tmp_path / "nowhere", "--out", tmp_path / "x"), "nowhere", "--data")
    assert not (tmp_path / "x").exists()


def test_data_not_named(run, tmp_path):
    refused(*run("run", "folder-cpu", "--out", tmp_path / "x"), "--data")


def test_empty_folder(run, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(*run("run", "folder-cpu", "--data", tmp_path / "empty", "--out", tmp_path / "x"), "empty", "no image files")


def test_column_that_is_not_there(run, tmp_path, photos):
    code, text = run("run", "folder-cpu", "--data", photos, "--out", tmp_path / "x", "--set", "data.image_column=file")
    refused(code, text, "'file'", "image")


def test_all_that_is_wrong_with_the_data_is_told_at_once(run, tmp_path, photos):
    (photos / "5.png").write_bytes(b"not an image")
    table = (photos / "tags.csv").read_text().replace("1.png,cat", "1.png,bird")
    (photos / "tags.csv").write_text(f"{table}\nmissing.png,cat,train\n0.png,dog,train")
    arguments = ("run", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    code, text = run(*arguments, "--set", "data.classes=[cat, dog, fish]")
    refused(code, text, "5", "missing.png", "0.png", "bird", "fish")
    assert not (tmp_path / "x").exists()


def test_split_that_does_not_exist(run, tmp_path, photos):
    arguments = ("run", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    refused(*run(*arguments, "--set", "data.train_split=training"), "training", "train")


def test_weights_that_are_missing_or_do_not_fit(run, tmp_path, photos):
    wanted = settings(backbone__weights=str(tmp_path / "w.safetensors"))
    arguments = ("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    refused(*run(*arguments, *wanted), "no weights file at", "w.safetensors")
    assert not (tmp_path / "x").exists()
    save_file({"other.weight": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    assert run(*arguments, *wanted)[0] == 0
    refused(*run("train-method", tmp_path / "x"), "w.safetensors", "other.weight")
    assert run(*arguments, *settings())[0] == 0  # nothing has been learned: other settings may take the folder


def test_a_level_the_backbone_lacks(run, tmp_path, photos):
    wrong = settings(affinity__levels="[1, 2, 40]")
    refused(*run("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x", *wrong), "affinity.levels", "40")
    assert not (tmp_path / "x").exists()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_of_another_recipe_keeps_its_results(run, tmp_path, photos):
    arguments = ("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    assert run(*arguments, *settings())[0] == 0
    assert run("train-method", tmp_path / "x")[0] == 0
    before = contents(tmp_path / "x")
    refused(*run(*arguments, *settings(training__steps="3")), "training.steps", "--out")
    refused(*run("resume", tmp_path / "x", "--set", "training.steps=3"), "training.steps", "--out")
    assert contents(tmp_path / "x") == before


def test_folder_of_something_else(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    refused(*run("run", "toy", "--out", tmp_path), str(tmp_path), "--out")
    assert (tmp_path / "thesis.txt").read_text() == "chapter 1"


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

    monkeypatch.setattr(storage, "_flush", full)
    refused(*run("make-maps", begun), "No space left on device", "free some space")
    assert (begun / "method.safetensors").read_bytes() == before
    assert not list((begun / "maps").glob("*"))
    monkeypatch.undo()


# ── going on with a run ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def begun(run, tmp_path, photos) -> Path:
    """A run whose classifier is trained."""
    assert run("begin", "folder-cpu-cam", "--data", photos, "--out", tmp_path / "x", *settings())[0] == 0
    assert run("train-method", tmp_path / "x")[0] == 0
    return tmp_path / "x"


def test_a_run_goes_on_with_other_workers_and_both_are_noted(run, begun):
    code, text = run("make-maps", begun, "--set", "maps.workers=1", "--set", "training.log_every=3")
    assert code == 0, text
    manifest = RunFolder(begun).manifest()
    assert manifest["train-method"]["execution"]["maps"]["workers"] == 0
    assert manifest["make-maps"]["execution"]["maps"]["workers"] == 1
    assert RunFolder(begun).recipe().training.log_every == 3  # the next call keeps it


def test_a_run_goes_on_where_its_data_have_moved(run, begun, photos):
    moved = photos.rename(photos.with_name("elsewhere"))
    refused(*run("make-maps", begun), "photos")
    assert run("make-maps", begun, "--data", moved)[0] == 0
    assert RunFolder(begun).manifest()["make-maps"]["data"] == str(moved)
    assert run("evaluate", begun)[0] == 0  # knows the new place


def test_changed_data_are_refused(run, begun, photos):
    (photos / "tags.csv").write_text((photos / "tags.csv").read_text().replace("0.png,dog", "0.png,cat"))
    refused(*run("make-maps", begun), "the data have changed", "1 image(s) have other tags", "0")


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


def test_a_second_call_in_the_folder_of_a_running_one_is_refused(run, begun, monkeypatch):
    hold = "import sys, pathlib; from tagmask.system.lock import lock_for; lock_for(sys, pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"{hold}; print(flush=True); sys.stdin.read()", str(begun)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        refused(*run("make-maps", begun), f"in use by process {other.pid}")
        assert run("report", begun)[0] == 0  # looking is allowed
        other.kill()
    assert run("make-maps", begun)[0] == 0


def test_a_report_and_scores_need_the_folder_alone(run, begun):
    for command in ("report", "evaluate"):
        code, text = run(command, begun)
        assert code == 0, text
        assert f"report: {begun / 'report.html'}" in text
    assert RunFolder(begun).scores.exists()


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_predict_without_a_model_or_images(run, tmp_path, photos):
    refused(*run("predict", photos, "--model", tmp_path / "no", "--out", tmp_path / "out"), "no trained segmenter")
    refused(*run("predict", tmp_path / "no", "--model", tmp_path, "--out", tmp_path / "out"), "no such image or folder")
