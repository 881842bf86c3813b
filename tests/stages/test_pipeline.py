"""The whole way on drawn scenes, small enough for a test: every stage helps, nothing is done twice, all can be used."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tagmask
from tagmask.config.recipes import load_recipe
from tagmask.report import run_report
from tagmask.scoring import evaluation
from tagmask.serving.predict_folder import predict_images
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import Run, begin_run

SETTINGS = (
    *("data.num_train=96", "data.num_val=16", "data.num_classes=2", "data.size=96", "maps.validation=true"),
    *("training.steps=90", "affinity.training.steps=50", "segmenter.training.steps=70", "maps.scales=[1.0]"),
    *(f"{name}.augment.crop=96" for name in ("training", "affinity.training", "segmenter.training")),
)
FLOORS = {"seed_fixed": 35, "walk": 55, "mask": 60, "prediction": 55}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    run = begin_run(load_recipe("toy", SETTINGS), None, tmp_path_factory.mktemp("runs") / "toy")
    run_all(run)
    evaluation.evaluate(run)
    return run


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_every_stage_improves_on_the_one_before(finished):
    scores = json.loads(finished.folder.scores.read_text())
    means = {name: 100 * scores[name]["mean_iou"] for name in FLOORS}
    assert all(means[name] >= floor for name, floor in FLOORS.items()), means
    assert means["seed_fixed"] < means["walk"] < means["mask"], means
    assert 100 * scores["tags"]["mean_average_precision"] > 85


@pytest.mark.slow
def test_every_score_has_its_protocol(finished):
    scores = json.loads(finished.folder.scores.read_text())
    assert "all 96 images; background threshold 0.2, fixed beforehand; tags given" in scores["seed_fixed"]["protocol"]
    assert "chosen on these very masks" in scores["seed_best"]["protocol"]
    assert "all 16 images; tags not given" in scores["prediction"]["protocol"]


@pytest.mark.slow
def test_a_second_call_does_nothing(finished):
    before = files(finished.folder.path)
    run_all(finished)
    assert files(finished.folder.path) == before


@pytest.mark.slow
def test_validation_images_get_maps_of_their_predicted_tags(finished):
    assert all(finished.folder.maps(record.id).exists() for record in finished.validation_records)


@pytest.mark.slow
def test_the_report_is_one_file_with_all_sections(finished):
    page = run_report.write(finished).read_text()
    for part in ("Pseudo masks", "Segmentation network", "Review queue", "train-method", "kind: affinitynet", "<svg"):
        assert part in page, part
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_new_images_are_segmented(finished, tmp_path):
    record = finished.validation_records[0]
    image = finished.dataset.read_image(record)
    Image.fromarray(image).save(tmp_path / "new.png")
    mask = tagmask.load(finished.folder.path)(tmp_path / "new.png")
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.int32
    outcome = predict_images(tmp_path / "new.png", finished.folder.path, tmp_path / "out", overlays=True)
    assert (outcome.done, list(outcome.failed)) == (1, [])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "new.png.png")), mask)
    assert np.array_equal(np.asarray(Image.open(finished.folder.prediction(record.id))), mask)


@pytest.mark.slow
def test_quality_is_listed_worst_first(finished):
    lines = finished.folder.quality.read_text().splitlines()
    values = [float(line.rsplit(",", 1)[1]) for line in lines[1:]]
    assert lines[0] == "image,quality"
    assert len(values) == 96
    assert values == sorted(values)
    assert all(0 <= value <= 1 for value in values)


# ── another method ───────────────────────────────────────────────────────────────────────────────────────────────────

SIPE_GAIN = 6  # points of the seed over that of the plain classifier, each by its own rule set beforehand


@pytest.mark.slow
def test_sipe_finds_more_of_the_objects_than_the_plain_classifier(finished, tmp_path):
    run = begin_run(load_recipe("toy-sipe", SETTINGS), None, tmp_path / "sipe")
    run_all(run, until="mask")
    found, plain = evaluation.evaluate(run), json.loads(finished.folder.scores.read_text())
    means = {name: 100 * found[name]["mean_iou"] for name in ("seed_own", "walk", "mask")}
    assert means["seed_own"] >= 100 * plain["seed_fixed"]["mean_iou"] + SIPE_GAIN, means
    assert means["seed_own"] < means["walk"] < means["mask"], means
    assert "background learnt by the method" in found["seed_own"]["protocol"]
