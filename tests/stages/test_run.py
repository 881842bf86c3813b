"""A run: what belongs to it, how it begins and goes on, and the networks it makes."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from shared_runs import tiny_recipe
from tagmask.config.recipes import load_recipe
from tagmask.errors import TagmaskError
from tagmask.methods.cam import Cam
from tagmask.methods.ppc import Ppc
from tagmask.networks.saved import load_network, save_weights
from tagmask.stages import run as run_module
from tagmask.stages.run import (
    Run,
    begin_run,
    new_affinity_net,
    new_method,
    new_segmenter,
    open_run,
    open_shard,
    trained_affinity_net,
    trained_method,
)
from tagmask.stages.run_folder import RunFolder


@pytest.fixture
def run(tmp_path) -> Run:
    return begin_run(tiny_recipe(), None, tmp_path / "run")


def with_settings(run: Run, *settings: str) -> Run:
    return replace(run, recipe=tiny_recipe(*settings))


def state(network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ── what belongs to it ───────────────────────────────────────────────────────────────────────────────────────────────


def test_images_are_those_of_the_two_splits(run):
    assert len(run.training_records) == 4
    assert len(run.validation_records) == 2
    assert {record.split for record in run.training_records} == {"train"}
    assert {record.split for record in run.validation_records} == {"val"}


def test_a_run_may_have_no_validation_images(run):
    assert with_settings(run, "data.val_split=null").validation_records == ()


@pytest.mark.parametrize(("classes", "expected"), [(4, 255), (254, 255), (255, 65535), (300, 65535)])
def test_no_label_is_the_largest_number_the_masks_can_hold(run, classes, expected):
    many = copy.copy(run.dataset)
    many.classes = tuple(map(str, range(classes)))
    assert replace(run, dataset=many).mask_ignore_value == expected


@pytest.mark.parametrize("value", [0, 200])
def test_no_label_is_the_number_that_the_recipe_says(run, value):
    assert with_settings(run, f"masks.ignore_value={value}").mask_ignore_value == value


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_notes_how_it_was_carried_out_and_what_it_is_told(run):
    with run.stage("make-maps", images=4):
        assert not run.folder.is_done("make-maps")
    entry = run.folder.manifest()["make-maps"]
    assert entry["done"]
    assert entry["images"] == 4
    assert entry["data"] is None
    assert entry["execution"]["masks"] == {"keep": "all", "workers": 1}
    assert "rate" not in json.dumps(entry["execution"])


def test_a_stage_notes_where_its_data_lie(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replace(run, data=Path("photos")).stage("make-maps"):
        pass
    assert run.folder.manifest()["make-maps"]["data"] == str(tmp_path / "photos")


def test_a_stage_that_fails_is_not_done(run):
    with pytest.raises(RuntimeError, match="power cut"), run.stage("make-maps"):
        raise RuntimeError("power cut")
    assert not run.folder.is_done("make-maps")
    with pytest.raises(TagmaskError, match=r"stage `make-maps` has not finished; run `tagmask make-maps .*/run` first"):
        run.require("make-maps")


def test_what_has_finished_can_be_built_on(run):
    run.folder.note("make-maps", done=True)
    run.require("make-maps")


def test_only_the_first_process_notes_a_stage_and_all_wait_for_the_note(run, monkeypatch):
    events = []
    other = SimpleNamespace(is_main_process=False, device="cpu", wait_for_everyone=lambda: events.append("wait"))
    monkeypatch.setattr(run_module, "this_process", lambda: other)
    with run.stage("make-maps"):
        events.append("work")
    assert run.folder.manifest() == {}
    assert events == ["work", "wait"]


# ── beginning ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_claims_its_folder(run):
    assert RunFolder(run.folder.path).recipe() == run.recipe
    assert begin_run(tiny_recipe(), None, run.folder.path).recipe == run.recipe  # and goes on in it


def test_a_split_without_images_is_refused_with_those_that_there_are_and_nothing_begins(tmp_path, monkeypatch, scenes):
    monkeypatch.setattr(run_module, "open_dataset", lambda *_: scenes)
    with pytest.raises(TagmaskError, match=r"no image in the split 'trian'; the data have \['train', 'val'\]"):
        begin_run(tiny_recipe("data.train_split=trian"), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_the_first_process_claims_the_folder_and_all_wait_for_it(tmp_path, monkeypatch):
    events = []
    other = SimpleNamespace(is_main_process=False, wait_for_everyone=lambda: events.append("wait"))
    monkeypatch.setattr(run_module, "this_process", lambda: other)
    begin_run(tiny_recipe(), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert events == ["wait"]


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_goes_on_from_its_folder_alone(run):
    again = open_run(run.folder.path)
    assert (again.recipe, again.folder, again.data) == (run.recipe, run.folder, None)
    assert again.training_records == run.training_records


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_a_run_is_refused(tmp_path, exists):
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()
    with pytest.raises(TagmaskError, match="empty holds no run; begin one with `tagmask run`"):
        open_run(folder)


def test_how_a_run_is_carried_out_and_scored_may_change(run):
    again = open_run(run.folder.path, settings=["masks.workers=3", "evaluation.threshold=0.4"])
    assert again.recipe.masks.workers == 3
    assert RunFolder(run.folder.path).recipe().evaluation.threshold == 0.4


def test_what_a_run_learns_may_not_change(run):
    run.folder.weights("method").write_bytes(b"1")  # it has learned something
    with pytest.raises(TagmaskError, match=r"with other settings \(training\.rate: 0\.003 there, 0\.5 asked for\)"):
        open_run(run.folder.path, settings=["training.rate=0.5"])
    assert RunFolder(run.folder.path).recipe() == run.recipe


def test_data_may_move(tmp_path):
    for name in ("before", "after"):
        for split in ("cat", "dog"):
            (tmp_path / name / split).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (48, 48)).save(tmp_path / name / split / f"{i}.png")
    recipe = tiny_recipe("data={kind: folder, tags: null}")
    begin_run(recipe, tmp_path / "before", tmp_path / "run")
    shutil.rmtree(tmp_path / "before")
    assert open_run(tmp_path / "run", tmp_path / "after").data == tmp_path / "after"
    assert open_run(tmp_path / "run").data == tmp_path / "after"


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_shard_opens_a_run_without_writing_anything(run):
    before = {path: path.stat().st_mtime_ns for path in run.folder.path.rglob("*")}
    opened = open_shard(run.folder.path, settings=["maps.workers=3"])
    assert opened.recipe.maps.workers == 3
    assert opened.training_records == run.training_records
    assert {path: path.stat().st_mtime_ns for path in run.folder.path.rglob("*")} == before


def test_fresh_networks_are_a_function_of_the_seed(run):
    torch.manual_seed(99)
    first = state(new_method(run))
    assert same(state(new_method(run)), first)
    assert not same(state(new_method(with_settings(run, "seed=1"))), first)


def test_networks_of_one_run_do_not_share_their_random_numbers(run):
    plain = with_settings(run, "affinity.initial=imagenet", "segmenter.initial=imagenet")
    networks = (new_method(plain), new_affinity_net(plain, plain.recipe.affinity), new_segmenter(plain))
    first, second, third = (state(network.backbone) for network in networks)
    assert not same(first, second)
    assert not same(second, third)


def test_a_network_that_will_be_loaded_does_not_read_initial_weights(run):
    missing = with_settings(run, "backbone.weights=nowhere.safetensors")
    with pytest.raises(TagmaskError, match=r"nowhere\.safetensors"):
        new_method(missing)
    assert isinstance(new_method(missing, load_initial=False), Cam)
    assert new_affinity_net(missing, missing.recipe.affinity, load_initial=False)
    assert missing.recipe.backbone.weights == "nowhere.safetensors"


def test_an_affinity_network_may_have_a_backbone_of_its_own(run):
    own = with_settings(run, "affinity.backbone={kind: timm, model: test_convnext, weights: none, output_stride: 32}")
    net = new_affinity_net(own, own.recipe.affinity, load_initial=False)
    assert net.backbone.levels != new_method(own).backbone.levels


def test_nothing_is_loaded_before_it_is_trained(run):
    with pytest.raises(TagmaskError, match="stage `train-method` has not finished"):
        trained_method(run)
    with pytest.raises(TagmaskError, match="stage `train-method` has not finished"):
        new_segmenter(run)  # which starts from the classifier
    with pytest.raises(TagmaskError, match="cannot be loaded"):
        trained_affinity_net(run, run.recipe.affinity)


def test_trained_networks_are_those_that_were_saved_and_ready_for_inference(tiny_run):
    method, net = trained_method(tiny_run), trained_affinity_net(tiny_run, tiny_run.recipe.affinity)
    assert not method.training
    assert not net.training
    for network, name in ((method, "method"), (net, "affinity")):
        before = state(network)
        load_network(tiny_run.folder.weights(name), network)
        assert same(state(network), before)
    assert not same(state(method), state(new_method(tiny_run)))


def test_networks_may_start_from_the_trained_classifier(tiny_run):
    trained = state(trained_method(tiny_run).backbone)
    assert tiny_run.recipe.affinity.initial == tiny_run.recipe.segmenter.initial == "method"
    assert same(state(new_affinity_net(tiny_run, tiny_run.recipe.affinity).backbone), trained)
    assert same(state(new_segmenter(tiny_run).backbone), trained)
    other = with_settings(tiny_run, "affinity.initial=imagenet", "segmenter.initial=imagenet")
    assert not same(state(new_affinity_net(other, other.recipe.affinity).backbone), trained)
    assert not same(state(new_segmenter(other).backbone), trained)


def test_what_is_left_of_a_wrapper_is_the_method_inside(run):
    wrapped = with_settings(run, "method={kind: ppc, base: {kind: cam}}")
    method = new_method(wrapped)
    assert isinstance(method, Ppc)
    save_weights(run.folder.weights("method"), method.for_inference(), {})
    run.folder.note("train-method", done=True)
    left = trained_method(wrapped)
    assert isinstance(left, Cam)
    assert same(state(left), state(method.base))


# ── refused before anything is learned ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0, 1, 4, 65536])
def test_the_number_of_unlabelled_pixels_is_none_of_a_class(tmp_path, value):
    with pytest.raises(TagmaskError, match=rf"masks\.ignore_value is {value}.*from 5 to 65535"):
        begin_run(tiny_recipe(f"masks.ignore_value={value}"), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_may_not_lie_where_folders_are_classes(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (32, 32), (90 * i, 9, 0)).save(tmp_path / name / f"{i}.png")
    recipe = load_recipe("folder-cpu", ["data.tags=null", "backbone.weights=none"])
    with pytest.raises(TagmaskError, match=r"each folder is a class.*--out folder outside"):
        begin_run(recipe, tmp_path, tmp_path / "runs" / "x")
    assert not (tmp_path / "runs").exists()


def test_what_does_not_score_cannot_change_how_a_run_is_scored(run):
    run.folder.scores.write_text("{}")
    run.folder.weights("method").write_bytes(b"1")  # it has learned something
    with pytest.raises(TagmaskError, match=r"evaluation\.threshold=0\.4 changes how the run is scored.*evaluate"):
        open_run(run.folder.path, settings=["evaluation.threshold=0.4"], alone=False, scores=False)
    assert run.folder.scores.exists()
    open_run(run.folder.path, settings=["report.num_images=3"], alone=False, scores=False)
    open_run(run.folder.path, settings=["evaluation.threshold=0.4"], alone=False)
    assert not run.folder.scores.exists()
