"""The command line: what it prints, and that bad input ends in one message, exit code 2, and nothing lost."""

import errno
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tagmask import cli
from tagmask.config.recipes import recipe_names
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


def test_recipes_are_listed_and_shown(run):
    code, text = run("recipes")
    assert code == 0
    assert all(name in text for name in recipe_names())
    code, text = run("recipes", "toy")
    assert code == 0
    assert "kind: toy" in text


def test_help_names_every_command(run):
    code, text = run("--help")
    assert code == 0
    stages = "make-saliency train-method make-maps train-affinity make-masks make-instances train-segmenter"
    assert all(command in text for command in f"run compare demo {stages} evaluate predict recipes".split())


def test_saliency_that_nobody_asks_for_or_brings(run, tmp_path):
    refused(*run("make-saliency", "toy", "--out", tmp_path / "x"), "nothing to make: method 'cam'")
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
    arguments = ("train-method", "folder-cpu", "--data", photos)
    missing = settings(backbone__weights=str(tmp_path / "w.safetensors"))
    refused(*run(*arguments, "--out", tmp_path / "x", *missing), "w.safetensors")
    save_file({"other.weight": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    refused(*run(*arguments, "--out", tmp_path / "y", *missing), "w.safetensors", "other.weight")


def test_a_level_the_backbone_lacks(run, tmp_path, photos):
    arguments = ("train-method", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    assert run(*arguments, *settings(affinity__levels="[1, 2, 40]"))[0] == 0
    made = ("make-maps", "train-affinity")
    codes = [run(stage, *arguments[1:], *settings(affinity__levels="[1, 2, 40]")) for stage in made]
    assert codes[0][0] == 0, codes[0][1]
    refused(*codes[1], "affinity.levels", "40")


def test_folder_of_another_recipe_keeps_its_results(run, tmp_path, photos):
    arguments = ("train-method", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    assert run(*arguments, *settings())[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    refused(*run(*arguments, *settings(training__steps="3")), "training.steps", "--out")
    assert before == {path: path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file()}


def test_folder_of_something_else(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    refused(*run("run", "toy", "--out", tmp_path), str(tmp_path), "--out")
    assert (tmp_path / "thesis.txt").read_text() == "chapter 1"


def test_stages_out_of_order(run, tmp_path, photos):
    arguments = ("folder-cpu", "--data", photos, "--out", tmp_path / "x", *settings())
    for stage in ("make-maps", "train-segmenter", "evaluate"):
        refused(*run(stage, *arguments), "holds no run", "tagmask run", "--out")
    assert not (tmp_path / "x").exists()
    assert run("train-method", *arguments)[0] == 0
    refused(*run("train-segmenter", *arguments), "make-masks")


def test_full_disk_leaves_earlier_results(run, tmp_path, photos, monkeypatch):
    arguments = ("folder-cpu", "--data", photos, "--out", tmp_path / "x", *settings())
    assert run("train-method", *arguments)[0] == 0
    before = (tmp_path / "x" / "method.safetensors").read_bytes()

    def full(path: Path) -> None:
        if path.suffix == ".npz":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_flush", full)
    refused(*run("make-maps", *arguments), "No space left on device", "free some space")
    assert (tmp_path / "x" / "method.safetensors").read_bytes() == before
    assert not list((tmp_path / "x" / "maps").glob("*"))
    monkeypatch.undo()


def test_predict_without_a_model_or_images(run, tmp_path, photos):
    refused(*run("predict", photos, "--model", tmp_path / "no", "--out", tmp_path / "out"), "no trained segmenter")
    refused(*run("predict", tmp_path / "no", "--model", tmp_path, "--out", tmp_path / "out"), "no such image or folder")
