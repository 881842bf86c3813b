"""The doctor at the command line: words, JSON, a page, and an exit code for scripts."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from doctor.invented import picture
from tagmask.config.recipes import load_recipe
from tagmask.doctor.tags import check
from tagmask.doctor.tags.doubtful import require_cleanlab
from typed import refused, settings


@pytest.fixture
def enough(tmp_path):
    """Two classes of fifty small pictures each, and ten for validation: nothing to warn of."""
    folder = tmp_path / "enough"
    folder.mkdir()
    rows = ["image,tags,split"]
    for number in range(120):
        Image.fromarray(picture(number, (96, 128))).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog'},{'val' if number >= 100 else 'train'}")
    (folder / "tags.csv").write_text("\n".join(rows))
    return folder


def test_words_end_with_a_verdict_and_the_next_command(run, photos):
    code, text = run("doctor", photos)
    assert code == 0
    lines = text.splitlines()
    assert f"{photos}:" in lines
    assert "warning: 2 classes with fewer than 20 training images: cat (2), dog (2)." in text
    assert "A run would start, with 1 warning" in text
    assert any(line.startswith(f"next: tagmask run {photos} --out") for line in lines)


def test_the_exit_code_is_the_verdict(run, photos, enough, tmp_path):
    assert run("doctor", enough)[0] == run("doctor", enough, "--strict")[0] == run("doctor", photos)[0] == 0
    assert run("doctor", photos, "--strict")[0] == 1
    (photos / "5.png").write_bytes(b"not an image")
    code, text = run("doctor", photos)
    assert code == 2
    assert "STOP: the data in" in text
    assert "5.png" in text
    assert "next:" not in text
    assert run("doctor", tmp_path / "gone", "--strict")[0] == 2


def test_json_is_all_that_is_printed(photos):
    done = subprocess.run(
        [sys.executable, "-m", "tagmask", "doctor", str(photos), "--json"], capture_output=True, text=True, check=True
    )
    written = json.loads(done.stdout)
    assert written["verdict"] == "warn"
    assert written["findings"][0]["key"] == "classes-too-few"
    assert written["images"]["splits"]["train"]["images"] == 4


def test_a_page_and_a_file_are_written(run, photos, tmp_path):
    code, text = run("doctor", photos, "--out", tmp_path / "looked[/]")
    assert code == 0
    assert f"written: {tmp_path / 'looked[/]' / 'doctor.html'}" in text
    assert "photos" in (tmp_path / "looked[/]" / "doctor.html").read_text()
    assert json.loads((tmp_path / "looked[/]" / "doctor.json").read_text())["version"] == 1


def test_data_settings_hold_and_are_recommended(run, photos):
    code, text = run("doctor", photos, "--set", "data.classes=[dog, cat]", "--set", "data.max_images=3")
    assert code == 0
    assert '--set \'data.classes=["dog", "cat"]\' --set data.max_images=3' in text
    code, text = run("doctor", "--recipe", "toy", "--set", "data.num_train=120", "--set", "data.num_val=20")
    assert code == 0
    assert "next: tagmask run toy --out runs/toy" in text
    refused(*run("doctor", photos, "--set", "data.clases=[dog]"), "did you mean 'classes'")
    refused(*run("doctor", photos, "--recipe", "toi"), "no recipe 'toi'")
    refused(*run("doctor"), "no data folder", "tagmask doctor photos")


def test_a_layout_that_nobody_has_said_is_recognised_and_told(run, photos):
    (photos / "tags.csv").unlink()
    for number in range(6):
        (photos / ("cat" if number % 2 else "dog")).mkdir(exist_ok=True)
        (photos / f"{number}.png").rename(photos / ("cat" if number % 2 else "dog") / f"{number}.png")
    code, text = run("doctor", photos)
    assert code == 0
    assert "the folders are the classes. It is as with --set data.tags=null" in text
    assert "next: tagmask run" in text
    assert "recognised" not in run("doctor", photos, "--set", "data.tags=null")[1]


def test_tags_are_judged_if_asked(run, photos, enough, monkeypatch):
    refused(*run("doctor", enough, "--check-tags", *settings()), "random numbers")
    monkeypatch.setattr(check, "check_backbone", lambda _: None)
    monkeypatch.setattr(check, "features_of", lambda _, records, *__: np.eye(len(records), 8, dtype=np.float32))
    code, text = run("doctor", enough, "--check-tags", *settings(backbone__weights="pretrained"))
    assert "Judged by linear classifiers on a pretrained backbone (test_resnet)" in text
    assert code == 0


def test_a_run_names_its_data_and_its_judge(run, begun, photos):
    refused(*run("doctor", "--run", begun), "tagmask make-maps", "--check-tags")
    assert run("make-maps", begun)[0] == 0
    code, text = run("doctor", "--run", begun)
    assert code == 0
    assert f"{photos}:" in text
    assert f"Judged by the classifier of {begun}, on the 2 validation images" in text
    refused(*run("doctor", photos, "--run", photos), "not a run")


def test_a_missing_package_is_named(run, photos, monkeypatch):
    monkeypatch.setattr("tagmask.doctor.tags.doubtful.find_spec", lambda _: None)
    refused(*run("doctor", photos, "--check-tags"), "tagmask[doctor]")
    monkeypatch.undo()
    require_cleanlab()


def test_a_run_begins_with_the_short_form(run, photos, tmp_path):
    code, text = run("begin", "folder-cpu", "--data", photos, "--out", tmp_path / "x", *settings())
    assert code == 0
    assert "warning: 2 classes with fewer than 20 training images: cat (2), dog (2)." in text
    assert f"tagmask doctor {photos}" in text


def test_the_recipe_that_is_taken_for_granted_is_for_folders():
    assert load_recipe("folder-cpu").data.kind == "folder"
