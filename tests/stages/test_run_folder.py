import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from shared_runs import tiny_recipe
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Dataset, Record
from tagmask.errors import TagmaskError
from tagmask.stages import run_folder
from tagmask.stages.run import begin_run
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.table import STAGES, following
from tagmask.system.storage import HOST, write_bytes


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
def test_a_claimed_folder_knows_its_recipe_and_data(run, tmp_path, data, scenes):
    place = None if data is None else tmp_path / data
    run.claim(tiny_recipe(), place, scenes)
    assert run.recipe() == tiny_recipe()
    assert run.data() == place
    run.claim(tiny_recipe(), place, scenes)  # once more, to continue


def test_the_same_data_by_another_path_are_the_same(run, tmp_path, monkeypatch, scenes):
    run.claim(tiny_recipe(), tmp_path / "photos", scenes)
    monkeypatch.chdir(tmp_path)
    run.claim(tiny_recipe(), Path("photos"), scenes)


def learned(run: RunFolder) -> None:
    """Whatever a stage has written is a result that belongs to a recipe and its data."""
    write_bytes(run.weights("method"), b"1")


def test_a_recipe_that_led_to_nothing_may_be_replaced(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    other = Changed(scenes, list(scenes.records)[1:])
    run.claim(tiny_recipe("training.rate=0.5"), None, other)
    assert run.recipe().training.rate == 0.5
    learned(run)
    run.claim(tiny_recipe("training.rate=0.5"), None, other)  # the newest data are those that are remembered


def test_another_recipe_is_refused_and_the_difference_named(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    learned(run)
    before = (run.path / "recipe.json").read_bytes()
    with pytest.raises(TagmaskError, match=r"training.rate: 0.003 there, 0.5 asked for.*another --out"):
        run.claim(tiny_recipe("training.rate=0.5"), None, scenes)
    with pytest.raises(TagmaskError, match=r"maps.scales: \[1.0\] there, \[1.0, 2.0\] asked for"):
        run.claim(tiny_recipe("maps.scales=[1.0,2.0]"), None, scenes)
    with pytest.raises(TagmaskError, match="affinity"):
        run.claim(tiny_recipe("affinity=null"), None, scenes)
    assert (run.path / "recipe.json").read_bytes() == before


def test_the_same_images_in_another_folder_are_the_same_data(run, tmp_path, scenes):
    run.claim(tiny_recipe(), tmp_path / "photos", scenes)
    run.claim(tiny_recipe(), tmp_path / "pictures", scenes)
    assert run.data() == tmp_path / "pictures"


class Changed(Dataset):
    """Scenes with other records or classes."""

    def __init__(self, scenes: Dataset, records: list[Record] | None = None, classes: list[str] | None = None) -> None:
        self.records = scenes.records if records is None else tuple(records)
        self.classes = scenes.classes if classes is None else tuple(classes)

    read_image = read_mask = None

    def image_path(self, record):
        return None


def test_changed_data_are_refused_and_the_change_is_told(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    learned(run)
    first, *others = scenes.records
    swapped = [scenes.classes[1], scenes.classes[0], *scenes.classes[2:]]
    changes = {
        f"the classes were {', '.join(scenes.classes)} and are {', '.join(swapped)}": Changed(scenes, classes=swapped),
        f"1 image(s) are gone: {first.id}": Changed(scenes, others),
        "1 image(s) are new: late": Changed(scenes, [replace(first, id="late"), *scenes.records]),
        f"1 image(s) have other tags or another split: {first.id}": Changed(scenes, [replace(first, tags=()), *others]),
        "the images come in another order": Changed(scenes, list(scenes.records)[::-1]),
        f"another split: {first.id}": Changed(scenes, [replace(first, split="val"), *others]),
    }
    for words, data in changes.items():
        with pytest.raises(TagmaskError, match=re.escape(words)):
            run.claim(tiny_recipe(), None, data)


def test_new_masks_are_no_change_as_nothing_learns_from_them(run, scenes):
    run.claim(tiny_recipe(), None, Changed(scenes, [replace(each, has_mask=False) for each in scenes.records]))
    run.claim(tiny_recipe(), None, scenes)


EXECUTION = ("training.workers=3", "maps.workers=1", "training.checkpoint_every=7", "report.num_images=2")


@pytest.mark.parametrize("setting", EXECUTION)
def test_how_a_run_is_carried_out_may_change(run, scenes, setting):
    run.claim(tiny_recipe(), None, scenes)
    write_bytes(run.scores, b"{}")
    run.claim(tiny_recipe(setting), None, scenes)
    assert run.recipe() == tiny_recipe(setting)
    assert run.scores.exists()


@pytest.mark.parametrize("setting", ["evaluation.threshold=0.3", "data.score_ids=some.txt"])
def test_how_a_run_is_scored_may_change_and_scores_made_otherwise_go(run, scenes, setting):
    run.claim(tiny_recipe(), None, scenes)
    learned(run)
    write_bytes(run.scores, b"{}")
    run.claim(tiny_recipe(setting), None, scenes)
    assert run.recipe() == tiny_recipe(setting)
    assert not run.scores.exists()


def test_somebody_elses_folder_is_left_alone(run, scenes):
    run.path.mkdir()
    (run.path / "thesis.txt").write_text("years of work")
    with pytest.raises(TagmaskError, match="not empty and not a run"):
        run.claim(tiny_recipe(), None, scenes)
    assert [path.name for path in run.path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path, scenes):
    (tmp_path / "file").write_text("")
    with pytest.raises(TagmaskError, match="not a run of tagmask"):
        RunFolder(tmp_path / "file").claim(tiny_recipe(), None, scenes)


@pytest.fixture
def gone():
    """Number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_empty_folders_and_those_of_a_run_killed_at_once_can_be_claimed(run, gone, scenes):
    run.path.mkdir()
    (run.path / f".{HOST}-{gone}-0a1b2c.tmp.json").write_text('{"recipe"')
    run.claim(tiny_recipe(), None, scenes)
    assert sorted(path.name for path in run.path.iterdir()) == ["data.json", "recipe.json"]


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(run, gone, scenes):
    run.claim(tiny_recipe(), None, scenes)
    others = [
        f".{HOST}-{os.getpid()}-0a1b2c.tmp.npz",
        ".hidden-file.tmp.npz",
        f".0a1b2c3d-{gone}-0a1b2c.tmp.npz",
        f"{gone}-0a.tmp.npz",
        "x.npz",
    ]
    for name in (f".{HOST}-{gone}-0a1b2c.tmp.npz", f".{HOST}-{gone}-3d4e.tmp", *others):
        write_bytes(run.path / "maps" / "train" / name, b"")
    run.claim(tiny_recipe(), None, scenes)
    assert {path.name for path in (run.path / "maps" / "train").iterdir()} == set(others)


@pytest.mark.parametrize("question", [RunFolder.recipe, RunFolder.data])
def test_a_folder_that_is_no_run_says_so(run, question):
    with pytest.raises(TagmaskError, match=r"no recipe.json"):
        question(run)


def test_damaged_recipes_are_named(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    (run.path / "recipe.json").write_text("{")
    with pytest.raises(TagmaskError, match=r"recipe.json as JSON"):
        run.claim(tiny_recipe(), None, scenes)


@pytest.mark.parametrize("content", [[], {}, {"recipe": {"name": "toy"}, "data": None}, {"recipe": 3, "data": None}])
def test_recipes_of_another_version_are_refused(run, content):
    run.path.mkdir()
    (run.path / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(TagmaskError, match=r"recipe.json"):
        run.recipe()


# ── manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_is_done_when_it_ended(run, scenes):
    assert not run.is_done("make-maps")
    with run.stage("make-maps", is_main=True, images=3):
        assert not run.is_done("make-maps")
        run.claim(tiny_recipe(), None, scenes)
    assert run.is_done("make-maps")
    assert not run.is_done("make-masks")
    entry = run.manifest()["make-maps"]
    assert entry["images"] == 3
    assert entry["seconds"] >= 0
    assert entry["versions"].startswith("tagmask ")
    assert entry.keys() >= {"done", "commit", "python", "machine", "when"}


def test_a_stage_that_broke_off_is_not_done_and_its_seconds_add_up(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    with pytest.raises(KeyError), run.stage("make-maps", is_main=True):
        raise KeyError
    assert not run.is_done("make-maps")
    run.note("make-maps", seconds=100.0)
    with run.stage("make-maps", is_main=True):
        pass
    assert run.manifest()["make-maps"]["seconds"] >= 100
    assert run.is_done("make-maps")


def test_the_largest_memory_of_all_calls_is_kept(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
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


def test_only_the_first_process_notes(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    with run.stage("make-maps", is_main=False):
        pass
    assert run.manifest() == {}


# ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def finished(run, scenes):
    """A run with a file in every result of every stage."""
    run.claim(tiny_recipe(), None, scenes)
    for stage in STAGES:
        run.note(stage.name, done=True)
        for result in stage.writes:
            write_bytes(run.path / result / "x.png" if result.endswith("/") else run.path / result, b"1")
    write_bytes(run.scores, b"{}")
    write_bytes(run.path / "checkpoints" / "affinity-00000003.pt", b"1")
    write_bytes(run.path / "checkpoints" / "segmenter-00000003.pt", b"1")
    return run


def left(run: RunFolder) -> set[str]:
    return {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}


def test_a_forgotten_stage_takes_all_that_builds_on_it_along(finished):
    names = [stage.name for stage in finished.forget("make-masks")]
    assert names == ["make-masks", "train-segmenter", "predict", "revise-masks"]
    assert finished.manifest().keys() == {stage.name for stage in STAGES} - set(names)
    gone = ("walks/", "masks/", "confidence/", "quality.csv", "segmenter", "predictions/", "scores.json")
    assert not [file for file in left(finished) if file.startswith(gone)]
    kept = ("saliency/x.png", "method.safetensors", "maps/x.png", "tags.json", "affinity.safetensors", "instances.json")
    assert left(finished) >= {*kept, "checkpoints/affinity-00000003.pt", "recipe.json", "data.json"}


def test_forgetting_the_classifier_forgets_everything_but_saliency(finished):
    finished.forget("train-method")
    assert finished.manifest().keys() == {"make-saliency"}
    assert left(finished) == {"saliency/x.png", "recipe.json", "data.json", "manifest.json"}


def test_what_is_made_last_goes_first_so_that_nothing_outlives_what_it_was_made_of(finished, monkeypatch):
    removed = []
    monkeypatch.setattr(run_folder, "_remove", lambda path: removed.append(path.name))
    finished.forget("make-maps")
    expected = [Path(result).name for stage in reversed(following("make-maps")) for result in stage.writes]
    assert removed == expected
    assert removed.index("masks") < removed.index("affinity.safetensors") < removed.index("maps")


def test_stages_that_never_began_are_not_named(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    run.note("make-maps", done=True)
    assert [stage.name for stage in run.forget("make-maps")] == ["make-maps"]


def test_an_unknown_stage_is_refused_with_those_that_are_known(finished):
    before = left(finished)
    with pytest.raises(TagmaskError, match=r"no stage 'make-map'; the stages are make-saliency, train-method"):
        finished.forget("make-map")
    assert left(finished) == before


# ── other pixels ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_other_pixels_under_the_same_names_are_other_data(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        Image.new("RGB", (64, 64), (60 * i, 9, 0)).save(photos / f"{i}.png")
    (photos / "tags.csv").write_text("image,tags\n" + "".join(f"{i}.png,{'cat' if i % 2 else ''}\n" for i in range(4)))
    recipe = load_recipe("folder-cpu", ["backbone.weights=none", "data.val_fraction=0"])
    folder = begin_run(recipe, photos, tmp_path / "run").folder
    folder.weights("method").write_bytes(b"1")  # it has learned something
    moved = shutil.copytree(photos, tmp_path / "elsewhere")
    begin_run(recipe, moved, folder.path)
    first, second = (moved / "0.png").read_bytes(), (moved / "1.png").read_bytes()
    (moved / "0.png").write_bytes(second)
    (moved / "1.png").write_bytes(first)
    with pytest.raises(TagmaskError, match=r"2 image\(s\) have other pixels: 0, 1"):
        begin_run(recipe, moved, folder.path)


def test_what_a_killed_call_has_begun_can_be_begun_again(run, scenes):
    run.claim(tiny_recipe(), None, scenes)
    (run.path / "recipe.json").unlink()  # killed between two files
    run.claim(tiny_recipe(), None, scenes)
    assert run.is_begun


def test_results_that_are_linked_elsewhere_are_forgotten_without_touching_what_is_there(run_copy, tmp_path):
    moved = shutil.move(run_copy.folder.path / "masks", tmp_path / "masks")
    (run_copy.folder.path / "masks").symlink_to(moved)
    count = len(list(moved.rglob("*.png")))
    run_copy.folder.forget("make-masks")
    assert not (run_copy.folder.path / "masks").exists()
    assert len(list(moved.rglob("*.png"))) == count > 0
