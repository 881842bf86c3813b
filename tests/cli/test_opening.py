"""Runs as commands open them: those of others are kept, those of the same are gone on with."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tagmask.cli.opening import named_after
from tagmask.stages.run_folder import RunFolder
from typed import contents, refused, settings


def test_folder_of_another_recipe_keeps_its_results(run, tmp_path, photos):
    arguments = ("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    assert run(*arguments, *settings())[0] == 0
    assert run("train-method", tmp_path / "x")[0] == 0
    before = contents(tmp_path / "x")
    refused(*run(*arguments, *settings(training__steps="3")), "training.steps", "--out")
    refused(*run("resume", tmp_path / "x", "--set", "training.steps=3"), "training.steps", "--out")
    assert contents(tmp_path / "x") == before


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("toy+ppc", "toy+ppc"),
        ("photos/", "photos"),
        ("../data", "data"),
        ("recipes/mine.yaml", "mine"),
        ("s3://bucket/photos/", "photos"),
    ],
)
def test_a_run_without_a_named_folder_has_one_by_its_recipe_or_data(recipe, name, tmp_path, monkeypatch, capsys):
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")
    assert named_after(recipe) == Path("runs", name)
    assert f"runs/{name}" in capsys.readouterr().out


def test_folder_of_something_else(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    refused(*run("run", "toy", "--out", tmp_path), str(tmp_path), "--out")
    assert (tmp_path / "thesis.txt").read_text() == "chapter 1"


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


def test_a_second_call_in_the_folder_of_a_running_one_is_refused(run, begun, monkeypatch):
    hold = "import sys, pathlib; from tagmask.system.lock import lock_for; lock_for(sys, pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"{hold}; print(flush=True); sys.stdin.read()", str(begun)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        refused(*run("make-maps", begun), f"in use by process {other.pid}")
        assert run("report", begun)[0] == 0  # looking is allowed
        other.kill()
    assert run("make-maps", begun)[0] == 0


def test_a_finished_run_says_what_comes_next(run, run_copy, tmp_path):
    folder = tmp_path / "my run"
    shutil.copytree(run_copy.folder.path, folder, ignore=shutil.ignore_patterns("lock*"))
    code, text = run("resume", folder)
    assert code == 0, text
    flat = " ".join(text.split())
    assert f"tagmask review '{folder}'" in flat
    assert f"tagmask predict FOLDER --model '{folder}' --out MASKS" in flat
    assert "tagmask review" not in run("resume", folder, "--until", "seed")[1]
