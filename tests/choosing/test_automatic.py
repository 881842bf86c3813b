import json

import pytest
from PIL import Image

from tagmask.choosing import automatic as module
from tagmask.choosing.automatic import automatic, measured, seconds_of, with_budget
from tagmask.choosing.estimate import Estimate, StageEstimate
from tagmask.choosing.machine import GIB, Machine
from tagmask.choosing.object_size import PoolingTrial
from tagmask.errors import TagmaskError
from typed import call, settings

BARE = ("backbone.model=test_resnet", "backbone.weights=none")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(module, "this_machine", lambda: Machine(2, 8 * GIB))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(24):
        Image.new("RGB", (96, 64), (10 * i, 9, 0)).save(folder / f"{i}.png")
    rows = "".join(f"{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(24))
    (folder / "tags.csv").write_text(f"image,tags\n{rows}")
    return folder


def test_what_a_person_has_set_is_not_chosen(photos):
    found = automatic(photos, (*BARE, "training.augment={crop: 64}", "training.steps=3"))
    assert found.recipe.training.augment.crop == 64
    assert found.recipe.training.steps == 3
    assert not any(choice.setting.startswith("training.") for choice in found.choices)
    assert found.recipe.name == "folder-cpu"  # under whose name the run can be repeated
    assert found.recipe.maps.base_long_side == 128  # no smaller: 96 pixels are few


def test_the_same_data_on_the_same_machine_give_the_same_recipe(photos):
    assert automatic(photos, BARE).recipe == automatic(photos, BARE).recipe


def test_small_objects_have_their_own_recipe(photos, monkeypatch):
    monkeypatch.setattr(module, "_trial", lambda *_: PoolingTrial(0.5, 0.9, (0.3, 0.5)))
    assert automatic(photos, BARE).recipe.method.kind == "pyramid"


@pytest.mark.parametrize("text", ["", "soon", "30", "1h 30m x", "-5m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(TagmaskError, match="no time; expected"):
        seconds_of(text)


def test_a_budget_sets_the_steps(photos, tmp_path):
    recipe = automatic(photos, (*BARE, "affinity=null")).recipe
    run, _ = measured(recipe, photos, tmp_path / "run")
    stages = (StageEstimate("m", 400, 1.0, "training"), StageEstimate("s", 400, 1.0, "segmenter.training"))
    fitted, estimate, choices = with_budget(run, Estimate(stages, None), 600)
    assert estimate.seconds == 600
    assert (fitted.training.steps, fitted.segmenter.training.steps) == (300, 300)
    assert fitted.training.epochs is None
    assert all("a budget of 10 min." in choice.reason for choice in choices)
    with pytest.raises(TagmaskError, match="fewest steps"):
        with_budget(run, Estimate(stages, None), 300)
    kept, _, choices = with_budget(run, Estimate(stages, None), 600, {"training.steps"})
    assert kept.training == recipe.training  # set by hand: the other training gets what is left
    assert kept.segmenter.training.steps == 200
    assert {choice.setting.rpartition(".")[0] for choice in choices} == {"segmenter.training"}


def test_a_folder_alone_is_enough_and_the_same_command_goes_on(photos, tmp_path, capsys, monkeypatch):
    short = settings(affinity="null", segmenter__training__steps="1")
    command = ("run", photos, "--out", tmp_path / "x", "--until", "seed", *short)
    code, text = call(capsys, monkeypatch, *command)
    assert code == 0, text
    assert "this machine: 2 cores" in text
    assert 'chosen: recipe = "folder-cpu"' in text
    assert "estimate: about" in text
    chosen = json.loads((tmp_path / "x" / "choices.json").read_text())
    assert {"setting": "recipe", "value": "folder-cpu"}.items() <= chosen["choices"][0].items()
    assert chosen["machine"] == "2 cores, 8 GiB of memory, no GPU"
    assert chosen["estimate"]["seconds"] > 0
    page = (tmp_path / "x" / "report.html").read_text()
    assert "What was chosen" in page
    assert "there is no GPU with 8 GB." in page
    assert f"tagmask run folder-cpu --data {photos}" in page
    before = (tmp_path / "x" / "method.safetensors").read_bytes()
    monkeypatch.setattr(module, "automatic", lambda *_: pytest.fail("chosen again"))
    code, text = call(capsys, monkeypatch, *command, "--budget", "9m")
    assert code == 2
    assert "has begun, with the steps it has" in text
    code, text = call(capsys, monkeypatch, *command)
    assert code == 0, text
    assert (tmp_path / "x" / "method.safetensors").read_bytes() == before


def test_nothing_is_chosen_without_data(tmp_path, capsys, monkeypatch):
    code, text = call(capsys, monkeypatch, "run", "auto", "--out", tmp_path / "x")
    assert code == 2
    assert "name their folder: tagmask run FOLDER" in text


def test_a_budget_goes_with_what_is_chosen(photos, tmp_path, capsys, monkeypatch):
    code, text = call(
        capsys, monkeypatch, "run", "folder-cpu", "--data", photos, "--out", tmp_path / "x", "--budget", "30m"
    )
    assert code == 2
    assert "--budget goes with `auto`" in text


def test_a_folder_that_is_not_there_is_no_misspelt_recipe(tmp_path, capsys, monkeypatch):
    code, text = call(capsys, monkeypatch, "run", tmp_path / "nowhere", "--out", tmp_path / "x")
    assert code == 2
    assert f"there is no data folder '{tmp_path / 'nowhere'}'. As a recipe: no recipe" in text


def test_a_folder_may_be_named_twice_but_not_two_folders(photos, tmp_path, capsys, monkeypatch):
    code, text = call(capsys, monkeypatch, "run", photos, "--data", tmp_path, "--out", tmp_path / "x")
    assert code == 2
    assert "are two folders of data; name one of them" in text
    code, text = call(
        capsys, monkeypatch, "run", photos, "--data", photos, "--out", tmp_path / "x", "--set", "training.steps=no"
    )
    assert code == 2
    assert "training.steps" in text


def test_a_comparison_takes_what_fits_once(photos, tmp_path, capsys, monkeypatch):
    short = settings(affinity="null", segmenter__training__steps="1", training__steps="1")
    command = ("compare", "auto", "--data", photos, "--out", tmp_path / "x", "--until", "mask", *short)
    code, text = call(capsys, monkeypatch, *command)
    assert code == 0, text
    assert 'chosen for auto: recipe = "folder-cpu"' in text
    assert (tmp_path / "x" / "auto" / "seed-0" / "scores.json").exists()
    monkeypatch.setattr(module, "automatic", lambda *_: pytest.fail("chosen again"))
    code, text = call(capsys, monkeypatch, *command)
    assert code == 0, text
