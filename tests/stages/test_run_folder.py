import json
import os
import subprocess
from pathlib import Path

import pytest

from conftest import tiny_recipe
from tagmask.errors import TagmaskError
from tagmask.stages.run_folder import RunFolder, environment
from tagmask.system.storage import write_bytes


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


# ── layout ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_image_has_its_own_file_in_every_folder(run):
    paths = [run.maps, run.walks, run.mask, run.confidence, run.prediction]
    files = {path(image_id) for path in paths for image_id in ("a", "deep/a", "a.b", "a.c")}
    assert len(files) == 4 * len(paths)
    assert all(run.path in file.parents for file in files)


def test_the_layout_is_the_documented_one(run):
    found = [
        run.maps("x/1"),
        run.mask("x/1"),
        run.weights("method"),
        run.quality,
        run.predicted_tags,
        run.scores,
        run.log,
    ]
    expected = "maps/x/1.npz masks/x/1.png method.safetensors quality.csv tags.json scores.json log.jsonl"
    assert [str(path.relative_to(run.path)) for path in found] == expected.split()


# ── recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [None, "photos"])
def test_a_claimed_folder_knows_its_recipe_and_data(run, tmp_path, data):
    place = None if data is None else tmp_path / data
    run.claim(tiny_recipe(), place)
    assert run.recipe() == tiny_recipe()
    assert run.data() == place
    run.claim(tiny_recipe(), place)  # once more, to continue


def test_the_same_data_by_another_path_are_the_same(run, tmp_path, monkeypatch):
    run.claim(tiny_recipe(), tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    run.claim(tiny_recipe(), Path("photos"))


def test_another_recipe_is_refused_and_the_difference_named(run):
    run.claim(tiny_recipe(), None)
    before = (run.path / "recipe.json").read_bytes()
    with pytest.raises(TagmaskError, match=r"training.rate: 0.003 there, 0.5 asked for.*another --out"):
        run.claim(tiny_recipe("training.rate=0.5"), None)
    with pytest.raises(TagmaskError, match=r"maps.scales: \[1.0\] there, \[1.0, 2.0\] asked for"):
        run.claim(tiny_recipe("maps.scales=[1.0,2.0]"), None)
    with pytest.raises(TagmaskError, match="affinity"):
        run.claim(tiny_recipe("affinity=null"), None)
    assert (run.path / "recipe.json").read_bytes() == before


def test_other_data_are_refused(run, tmp_path):
    run.claim(tiny_recipe(), tmp_path / "photos")
    with pytest.raises(TagmaskError, match=r"data: .*photos.* there, .*pictures.* asked for"):
        run.claim(tiny_recipe(), tmp_path / "pictures")


def test_somebody_elses_folder_is_left_alone(run):
    run.path.mkdir()
    (run.path / "thesis.txt").write_text("years of work")
    with pytest.raises(TagmaskError, match="not empty and not a run"):
        run.claim(tiny_recipe(), None)
    assert [path.name for path in run.path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TagmaskError, match="not a run of tagmask"):
        RunFolder(tmp_path / "file").claim(tiny_recipe(), None)


@pytest.fixture
def gone():
    """Number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_empty_folders_and_those_of_a_run_killed_at_once_can_be_claimed(run, gone):
    run.path.mkdir()
    (run.path / f".{gone}-0a1b2c.tmp.json").write_text('{"recipe"')
    run.claim(tiny_recipe(), None)
    assert [path.name for path in run.path.iterdir()] == ["recipe.json"]


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(run, gone):
    run.claim(tiny_recipe(), None)
    others = [f".{os.getpid()}-0a1b2c.tmp.npz", ".hidden-file.tmp.npz", f"{gone}-0a.tmp.npz", "x.npz"]
    for name in (f".{gone}-0a1b2c.tmp.npz", f".{gone}-3d4e.tmp", *others):
        write_bytes(run.path / "maps" / "train" / name, b"")
    run.claim(tiny_recipe(), None)
    assert {path.name for path in (run.path / "maps" / "train").iterdir()} == set(others)


@pytest.mark.parametrize("question", [RunFolder.recipe, RunFolder.data])
def test_a_folder_that_is_no_run_says_so(run, question):
    with pytest.raises(TagmaskError, match=r"no recipe.json"):
        question(run)


def test_damaged_recipes_are_named(run):
    run.claim(tiny_recipe(), None)
    (run.path / "recipe.json").write_text("{")
    with pytest.raises(TagmaskError, match=r"recipe.json as JSON"):
        run.claim(tiny_recipe(), None)


@pytest.mark.parametrize("content", [[], {}, {"recipe": {"name": "toy"}, "data": None}, {"recipe": 3, "data": None}])
def test_recipes_of_another_version_are_refused(run, content):
    run.path.mkdir()
    (run.path / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(TagmaskError, match=r"recipe.json"):
        run.recipe()


# ── manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_is_done_when_it_ended(run):
    assert not run.is_done("make-maps")
    with run.stage("make-maps", is_main=True, images=3):
        assert not run.is_done("make-maps")
        run.claim(tiny_recipe(), None)
    assert run.is_done("make-maps")
    assert not run.is_done("make-masks")
    entry = run.manifest()["make-maps"]
    assert entry["images"] == 3
    assert entry["seconds"] >= 0
    assert entry["versions"].startswith("tagmask ")
    assert entry.keys() >= {"done", "commit", "python", "machine", "when"}


def test_a_stage_that_broke_off_is_not_done_and_its_seconds_add_up(run):
    run.claim(tiny_recipe(), None)
    with pytest.raises(KeyError), run.stage("make-maps", is_main=True):
        raise KeyError
    assert not run.is_done("make-maps")
    run.note("make-maps", seconds=100.0)
    with run.stage("make-maps", is_main=True):
        pass
    assert run.manifest()["make-maps"]["seconds"] >= 100
    assert run.is_done("make-maps")


def test_the_largest_memory_of_all_calls_is_kept(run):
    run.claim(tiny_recipe(), None)
    with run.stage("make-maps", is_main=True):
        pass
    assert 10 < run.manifest()["make-maps"]["peak_memory"] < 10**6  # MiB
    run.note("make-maps", peak_memory=10**7)
    with run.stage("make-maps", is_main=True):
        pass
    assert run.manifest()["make-maps"]["peak_memory"] == 10**7


def test_notes_are_added_to_what_is_there(run):
    run.note("make-maps", images=3)
    run.note("make-maps", cost=1)
    run.note("predict", images=2)
    assert run.manifest() == {"make-maps": {"images": 3, "cost": 1}, "predict": {"images": 2}}


def test_only_the_first_process_notes(run):
    run.claim(tiny_recipe(), None)
    with run.stage("make-maps", is_main=False):
        pass
    assert run.manifest() == {}


def test_environments_name_what_results_depend_on():
    facts = environment()
    for name in ("tagmask", "torch", "timm", "numpy"):
        assert f"{name} " in facts["versions"]
    assert facts["commit"]
