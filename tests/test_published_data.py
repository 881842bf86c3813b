"""PASCAL VOC 2012 and MS-COCO as they are downloaded, prepared, and learned from by every recipe for them."""

import json
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image

import published_trees as published
from tagmask import cli
from tagmask.config.recipes import load_recipe, recipe_names
from tagmask.contracts import Dataset
from tagmask.data.images import read_mask
from tagmask.preparing.coco import prepare_coco
from tagmask.preparing.voc import prepare_voc
from tagmask.scoring import comparison_runs
from tagmask.scoring.evaluation import evaluate
from tagmask.serving.voc_submission import PLACE, predict_submission
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import Run, begin_run

TRAININGS = ("training", "affinity.training", "segmenter.training")
# Sizes and lengths alone: methods, labels, walks, CRFs and networks are those of the recipe.
TINY = (
    *("backbone.model=test_resnet", "backbone.weights=none", "data.max_images=2", "workers=0", "masks.workers=1"),
    *("maps.scales=[1.0]", "segmenter.scales=[1.0]", "segmenter.width=8", "report.num_images=1"),
)
SHORT = ("steps=2", "batch_size=2", "augment.crop=48")


def tiny(name: str) -> list[str]:
    """Settings that make a recipe a matter of seconds."""
    recipe = load_recipe(name)
    blocks = [block for block in TRAININGS if not block.startswith("affinity") or recipe.affinity is not None]
    settings = [f"{block}.{setting}" for block in blocks for setting in SHORT]
    accumulation = ["segmenter.training.accumulation=1"] if recipe.segmenter.training.accumulation > 1 else []
    second = ["segmenter.backbone.model=test_resnet", "segmenter.backbone.weights=none"]
    second = second if recipe.segmenter.backbone is not None else []
    walk = ["walk.steps=4"] if recipe.affinity is not None else []
    return [*TINY, *settings, *accumulation, *second, *walk]


@pytest.fixture(scope="module")
def voc(tmp_path_factory) -> Path:
    """VOC2012 made of both archives, with saliency maps."""
    root = tmp_path_factory.mktemp("voc")
    made = prepare_voc(*published.voc_archives(root), root / "VOC2012", "any")
    assert made.counts == ("12 train", "12 val", "48 train_aug", "60 masks")
    for number in published.TRAIN_AUG:
        saliency(made.folder / "saliency" / f"{published.voc_id(number)}.png", published.voc_scene(number)[1])
    return made.folder


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    """COCO 2014 made of three archives, with saliency maps."""
    root = tmp_path_factory.mktemp("coco")
    made = prepare_coco(published.coco_archives(root), root / "out", 2014, "any")
    assert made.counts == ("44 train (42 with a tag)", "16 val (15 with a tag)")
    for path in (made.folder / "train2014").iterdir():
        saliency(made.folder / "saliency" / f"{path.stem}.png", np.asarray(Image.open(path).convert("L")) // 200)
    return made.folder


def saliency(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).save(path)


def check(run: Run, dataset: Dataset) -> None:
    """Whether every stage has written what fits photographs and classes, and scores are numbers."""
    folder, ignore = run.folder, run.mask_ignore_value
    assert len(run.training_records) == len(run.validation_records) == 2
    made = [(record, folder.mask(record.id)) for record in run.training_records]
    made += [(record, folder.prediction(record.id)) for record in run.validation_records]
    for record, path in made:
        mask = read_mask(path, ignore)
        assert mask.shape == dataset.read_image(record).shape[:2] == (published.ROWS, published.COLUMNS)
        assert mask.max() <= len(dataset.classes)
    for record in run.training_records:
        tagged = {tag + 1 for tag in record.tags}
        assert set(np.unique(read_mask(folder.mask(record.id), ignore)).tolist()) <= {0, -1} | tagged
    scores = evaluate(run)
    assert {"tags", "mask", "prediction"} <= scores.keys()
    assert all(0 <= scores[name]["mean_iou"] <= 1 for name in ("mask", "prediction"))
    assert math.isfinite(scores["tags"]["mean_average_precision"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith(("voc-", "coco-"))])
def test_every_recipe_for_published_data_goes_all_the_way(name, request, tmp_path):
    root = request.getfixturevalue(name.partition("-")[0])
    run = begin_run(load_recipe(name, tiny(name)), root, tmp_path / "run")
    assert len(run.dataset.classes) == (20 if name.startswith("voc") else 80)
    run_all(run)
    check(run, run.dataset)
    if name == "voc-sipe":
        submit(run.folder.path, root, tmp_path)


@pytest.mark.slow
def test_a_recipe_is_reproduced_from_what_was_downloaded_to_its_record(tmp_path, monkeypatch, capsys):
    def call(command: list[str], log: Path) -> None:
        typer.main.get_command(cli.app).main(command[1:], standalone_mode=False)

    monkeypatch.setattr(comparison_runs, "_call", call)  # in this process, which is quicker
    published.voc_archives(tmp_path)
    settings = [*tiny("voc-eps"), "data.saliency=built-in"]
    words = ["reproduce", "voc-eps", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--seeds", "2"]
    words += ["--counts", "any", *(word for setting in settings for word in ("--set", setting))]
    typer.main.get_command(cli.app).main(words, standalone_mode=False)
    said = capsys.readouterr().out
    assert f"written: {tmp_path / 'out' / 'data'} can be given as --data (12 train, " in said
    assert "| mean IoU (%) | Lee et al., CVPR 2021 | ours | difference | |" in said
    assert "| pseudo masks | 69.22 |" in said
    assert "These are other data: our runs learned from" in " ".join(said.split())
    record = tmp_path / "out" / "record"
    assert {path.name for path in record.iterdir()} == {
        *("README.md", "recipe.json", "scores.json", "seed0.jsonl", "seed1.jsonl")
    }
    assert "\nSeeds: 0, 1\n" in (record / "README.md").read_text()
    assert len(json.loads((record / "scores.json").read_text())) == 2


def submit(model: Path, root: Path, place: Path) -> None:
    """Masks for the evaluation server, of two photographs that are taken for test images."""
    names = [published.voc_id(number) for number in (12, 13)]
    (place / "test" / "ImageSets" / "Segmentation").mkdir(parents=True)
    (place / "test" / "JPEGImages").symlink_to(root / "JPEGImages")
    published.lines(place / "test/ImageSets/Segmentation/test.txt", names)
    outcome = predict_submission(place / "test", model, place / "submission", place / "results.tgz")
    assert (outcome.done, outcome.failed) == (2, ())
    with tarfile.open(place / "results.tgz") as content:
        assert content.getnames() == [f"{PLACE.as_posix()}/{name}.png" for name in names]
    with Image.open(place / "submission" / PLACE / f"{names[0]}.png") as image:
        assert (image.mode, image.size) == ("P", (published.COLUMNS, published.ROWS))
        assert np.asarray(image).max() <= 20
