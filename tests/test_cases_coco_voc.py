"""COCO and VOC data as tools write them, and anybody's folder of photographs, from the command line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.datasets.coco_content import content, paint, write
from shared_runs import tiny_recipe
from tagmask import cli
from tagmask.data.datasets.coco import dataset
from tagmask.inference.predictor import build_segmenter
from tagmask.networks.saved import save_weights
from typed import TINY


@pytest.fixture
def run(capsys, monkeypatch):
    """Exit code, and everything printed in one line."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tagmask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        text = " ".join((printed.out + printed.err).split())
        assert "Traceback" not in text
        return int(stopped.value.code or 0), text

    return call


@pytest.fixture
def begin(run, tmp_path):
    """Check data without training."""

    def call(kind: str, *settings: str) -> tuple[int, str]:
        chosen = [
            part for setting in (f"data.kind={kind}", "backbone.weights=none", *settings) for part in ("--set", setting)
        ]
        return run("begin", "folder-cpu-cam", "--data", tmp_path / "data", "--out", tmp_path / "out", *chosen)

    return call


def coco(root: Path, training: dict, validation: dict | None = None) -> None:
    """The official layout of 2017."""
    for split, each in (("train", training), ("val", validation)):
        if each is not None:
            write(root / f"data/annotations/instances_{split}2017.json", each)
            paint(root / f"data/{split}2017", *(entry["file_name"] for entry in each["images"]), size=(48, 60))


def sized(count: int, first: int = 0) -> dict:
    """As ``content``, in images of 48 x 60 pixels."""
    found = content(count, first)
    for entry in found["images"]:
        entry["height"], entry["width"] = 48, 60
    for entry in found["annotations"]:
        entry["segmentation"] = [[10, 10, 40, 10, 40, 40, 10, 40]]
    return found


OFFICIAL = "data.year=2017"


# ── COCO ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_annotations_without_area_and_flat_polygons_are_begun_without_a_word(begin, tmp_path):
    given = [sized(8), sized(3, first=8)]
    for each in given:
        for entry in each["annotations"]:
            del entry["area"]
            entry["segmentation"] = entry["segmentation"][0]
    coco(tmp_path, *given)
    code, text = begin("coco", OFFICIAL)
    assert (code, "note:" in text) == (0, False)
    assert "8 training and 3 validation images" in text


def test_boxes_alone_are_trained_on_and_said_to_give_no_scores(begin, tmp_path):
    given = [sized(8), sized(3, first=8)]
    for entry in (entry for each in given for entry in each["annotations"]):
        del entry["segmentation"]
    coco(tmp_path, *given)
    code, text = begin("coco", OFFICIAL)
    assert code == 0
    assert "no masks to score on" in text


def test_what_a_tool_has_left_behind_is_said_and_never_to_be_fetched_again(begin, tmp_path):
    given = sized(8)
    given["annotations"][0]["image_id"] = 77
    given["annotations"][1]["segmentation"] = [[1, float("nan"), 5, 1, 5, 5]]
    given["annotations"][2]["segmentation"] = {"size": [60, 48], "counts": [2880]}
    coco(tmp_path, given, sized(3, first=8))
    code, text = begin("coco", OFFICIAL)
    assert code == 0
    for words in ("image_id 77", "NaN or infinite", "2 annotations of instances_train2017.json have an outline"):
        assert words in text
    assert "fetch it again" not in text


def test_an_image_without_a_file_name_is_named(begin, tmp_path):
    given = sized(8)
    coco(tmp_path, given, sized(3, first=8))
    del given["images"][3]["file_name"]
    write(tmp_path / "data/annotations/instances_train2017.json", given)
    code, text = begin("coco", OFFICIAL)
    assert code == 2
    assert "the image with id 3 in instances_train2017.json (no file_name)" in text
    assert begin("coco", OFFICIAL, "data.on_bad_image=skip")[0] == 0


@pytest.mark.parametrize("named", [(), ("data.annotations=annotations/instances_default.json", "data.images=images")])
def test_one_annotation_file_of_any_name(begin, tmp_path, named):
    write(tmp_path / "data/annotations/instances_default.json", sized(30))
    paint(tmp_path / "data/images", *(f"p{i}.jpg" for i in range(30)), size=(48, 60))
    code, text = begin("coco", *named)
    assert code == 0, text
    assert "about 10% of its images" in text
    assert "0 validation images" not in text


def test_a_wrong_name_is_answered_with_those_that_are_there(begin, tmp_path):
    write(tmp_path / "data/annotations/a.json", sized(8))
    code, text = begin("coco", "data.annotations=annotations/b.json")
    assert code == 2
    assert "there are annotations/a.json" in text
    code, text = begin("coco", "data.annotations=annotations/a.json")
    assert code == 2
    assert "data.images" in text


def test_scoring_reads_the_annotations_once_and_never_in_its_workers(run, begin, tmp_path, monkeypatch):
    coco(tmp_path, sized(8), sized(3, first=8))
    settings = [f"{key}={value}" for key, value in {**TINY, "masks.workers": "2"}.items()]
    assert begin("coco", OFFICIAL, *settings)[0] == 0
    for stage in ("train-method", "make-maps"):
        assert run(stage, tmp_path / "out")[0] == 0
    log = tmp_path / "read.txt"
    read = dataset.read_instances

    def noted(path: Path):
        with log.open("a") as file:  # workers write into it as well
            file.write(f"{path.name}\n")
        return read(path)

    monkeypatch.setattr(dataset, "read_instances", noted)
    assert run("evaluate", tmp_path / "out")[0] == 0
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert "all 8 images" in scores["seed_fixed"]["protocol"]
    assert sorted(log.read_text().split()) == ["instances_train2017.json", "instances_val2017.json"]


# ── VOC ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def voc(root: Path, count: int, lists: dict[str, range]) -> None:
    folder = root / "data/VOC2012"
    for number in range(count):
        paint(folder / "JPEGImages", f"f{number}.jpg")
        (folder / "Annotations").mkdir(exist_ok=True)
        name = "rust" if number % 2 else "crack"
        (folder / f"Annotations/f{number}.xml").write_text(
            f"<annotation><object><name>{name}</name></object></annotation>"
        )
    for name, numbers in lists.items():
        path = folder / "ImageSets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(f"f{number}" for number in numbers))


@pytest.mark.parametrize("place", ["Main", "Segmentation"])
def test_own_classes_in_the_layout_of_voc(begin, tmp_path, place):
    voc(tmp_path, 8, {f"{place}/train.txt": range(6), f"{place}/val.txt": range(6, 8)})
    code, text = begin("voc", "data.train_split=train", "data.classes=[crack,rust]")
    assert code == 0, text
    assert "6 training and 2 validation images" in text
    code, text = begin("voc", "data.train_split=train", "data.classes=[rust,rusty]")
    assert code == 2
    assert "rusty" in text


def test_own_classes_without_lists_or_names(begin, tmp_path):
    voc(tmp_path, 30, {})
    code, text = begin("voc", "data.train_split=train")
    assert code == 0, text
    assert "sorted: crack, rust" in text
    assert "all 30 images" in text


# ── predict ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def model(tmp_path) -> Path:
    recipe = tiny_recipe()
    torch.manual_seed(0)
    facts = {"recipe": recipe.model_dump_json(), "classes": json.dumps("abcd")}
    save_weights(
        tmp_path / "model/segmenter.safetensors",
        build_segmenter(recipe.segmenter, recipe.backbone, 4, load_initial=False),
        facts,
    )
    return tmp_path / "model"


@pytest.fixture
def photos(tmp_path) -> Path:
    random = np.random.default_rng(0)
    (tmp_path / "photos/dir.jpg").mkdir(parents=True)
    for name in ("a.jpg", "dir.jpg/in.png"):
        Image.fromarray(random.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_a_mixed_folder_is_done_as_far_as_it_goes(run, model, photos, tmp_path):
    for name, bytes_ in {"._a.jpg": b"x", "empty.jpg": b"", "page.jpg": b"<html>", "phone.heic": b"x"}.items():
        (photos / name).write_bytes(bytes_)
    (photos / "broken.jpg").symlink_to("/nowhere.jpg")
    code, text = run("predict", photos, "--model", model, "--out", tmp_path / "out")
    assert code == 2
    assert "2 masks written" in text
    assert "3 image(s) could not be segmented" in text
    for words in ("broken.jpg is a link to /nowhere.jpg", "empty.jpg: the file is empty", "page.jpg", "phone.heic"):
        assert words in text
    assert "._a" not in text


@pytest.mark.parametrize("name", ["masks[/v2]", "masks [final]", "[bold]masks"])
def test_folders_are_shown_as_they_are_called(run, model, photos, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code, text = run("predict", photos, "--model", model, "--out", name)
    assert code == 0
    assert f"2 masks written to {name}" in text
    assert (tmp_path / name / "a.jpg.png").is_file()


def test_results_within_the_photographs_are_not_segmented_again(run, model, photos):
    for name in ("first", "first", "second", "."):
        code, text = run("predict", photos, "--model", model, "--out", photos / name)
        assert (code, "2 masks written" in text) == (0, True)


def test_files_of_somebody_else_are_not_overwritten(run, model, photos, tmp_path):
    (photos / "classes.csv").write_text("my list")
    code, text = run("predict", photos, "--model", model, "--out", photos)
    assert code == 2
    assert "classes.csv was not written by tagmask predict" in text
    assert (photos / "classes.csv").read_text() == "my list"


def test_names_that_are_no_text_can_be_shown(run, model, photos, tmp_path):
    (photos / "\udcff.png").write_bytes(b"broken")
    code, text = run("predict", photos, "--model", model, "--out", tmp_path / "\udcfe")
    assert code == 2
    assert "\\udcff.png: not an image" in text
    assert "\\udcfe" in text
