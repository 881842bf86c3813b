import dataclasses

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from report.pages import Page, assert_whole
from shared_runs import tiny_recipe
from tagmask.data.images import write_mask
from tagmask.report.content import ScoreRow
from tagmask.report.run_report import content, iou_table, loss_charts, read_log, score_rows, time_table, write
from tagmask.stages.masks import write_quality
from tagmask.stages.run import Run, begin_run
from tagmask.system.storage import MapArchive, write_json, write_maps

HOSTILE = "<b>dog</b> & co"


@pytest.fixture
def run(tmp_path) -> Run:
    return begin_run(tiny_recipe("report.num_images=2"), None, tmp_path / "run")


def write_confidence(path, quality):
    header = PngInfo()
    header.add_text("quality", str(quality))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (48, 48), 200).save(path, pnginfo=header)


def with_results(run: Run) -> Run:
    """A run with invented results until the end."""
    folder, classes = run.folder, run.dataset.classes
    for record in run.training_records:
        tags = np.array([tag + 1 for tag in record.tags], np.int16)
        write_maps(folder.maps(record.id), MapArchive(tags, np.full((len(tags), 6, 6), 0.5, np.float32), (48, 48)))
        write_mask(folder.mask(record.id), np.ones((48, 48), np.int32), None, len(classes))
        write_confidence(folder.confidence(record.id), 0.75)
    write_quality(folder, run.training_records)
    for record in run.validation_records:
        write_mask(folder.prediction(record.id), np.ones((48, 48), np.int32), None, len(classes))
    write_json(folder.predicted_tags, {r.id: dict.fromkeys(classes, 1.0) for r in run.validation_records})
    iou = dict.fromkeys(("background", *classes), 0.25)
    entry = {"mean_iou": 0.25, "pixel_accuracy": 0.5, "protocol": "on drawings.", "iou": iou}
    write_json(folder.scores, {"mask": entry, "seed_best": entry | {"threshold": 0.3}})
    folder.log.write_text('{"stage": "method", "step": 1, "losses": {"tags": 0.5}}\n{"stage": "meth')
    for stage in ("predict", "make-masks", "train-method"):
        folder.note(stage, done=True, seconds=3.0)
    return run


def test_the_report_shows_what_the_run_has_made(run):
    page = assert_whole(write(with_results(run)).read_text())
    titles = ["Scores", "Classes", "Training images", "Validation images", "Review queue", "Losses", "Time"]
    assert page.titles == [*titles, "Repeat this run"]
    shown = [record for record in run.training_records if record.tags]
    tags = sum(len(record.tags) for record in (shown[0], shown[-1]))
    assert sum(caption.startswith("map: ") for caption in page.captions) == tags
    assert page.captions.count("pseudo mask") == 2
    assert page.captions.count("prediction") == 2
    assert page.captions.count("ground truth") == 4
    assert "predicted tags:" in page.text


def test_a_run_that_has_only_begun_has_a_short_report(run):
    shown = content(run)
    assert (shown.unscored, shown.iou, shown.times, shown.queue) == (
        "Nothing has been scored yet.",
        None,
        None,
        None,
    )
    page = Page(write(run).read_text())
    assert page.titles == ["Scores", "Validation images", "Repeat this run"]
    assert "there is no trained segmenter yet" in page.text


def test_without_ground_truth_one_sentence_says_why_there_are_no_scores(run):
    dataset = run.dataset
    dataset.records = tuple(dataclasses.replace(record, has_mask=False) for record in dataset.records)
    page = Page(write(Run(run.recipe, run.folder, dataset, None)).read_text())
    assert page.text.count("No image has a ground-truth mask.") == 1
    assert "Classes" not in page.titles
    assert "ground truth" not in page.captions


def test_hostile_names_arrive_as_text(run, monkeypatch):
    monkeypatch.setattr(type(run.dataset), "read_image", lambda self, record: np.zeros((48, 48, 3), np.uint8))
    monkeypatch.setattr(type(run.dataset), "read_mask", lambda self, record: np.ones((48, 48), np.int32))
    run.dataset.classes = (HOSTILE, *run.dataset.classes[1:])
    run.dataset.notes = (HOSTILE,)
    text = write(with_results(run)).read_text()
    page = assert_whole(text)
    assert HOSTILE not in text
    assert page.text.count(HOSTILE) > 3


def test_validation_images_have_known_and_predicted_tags(run):
    cards = content(with_results(run)).validation
    by_id = {record.id: record for record in run.validation_records}
    for card in cards:
        assert [tag.value for tag in card.tags] == [tag + 1 for tag in by_id[card.id].tags]
        assert [tag.name for tag in card.predicted_tags] == list(run.dataset.classes)


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_torn_line_does_not_break_the_log(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_bytes(b'{"step": 1}\n\n17\n{"step": 2}\n{"step": 3, "los\xc3')
    assert read_log(path) == [{"step": 1}, {"step": 2}]


def test_log_entries_without_losses_are_passed_over():
    log = [{"note": "resumed"}, {"stage": "method", "step": 1, "losses": {"tags": None}}]
    assert loss_charts(log) == []
    (chart,) = loss_charts([*log, {"stage": "method", "step": 2, "losses": {"tags": 0.5}}])
    assert (chart.title, [line.name for line in chart.lines]) == ("method", ["tags"])


def test_times_list_every_stage_in_the_order_of_the_pipeline():
    stages = ("predict", "an own stage", "make-instances", "make-saliency", "train-method")
    manifest = {stage: {"seconds": 1.0} for stage in stages} | {"make-maps": {"done": False}}
    table = time_table(manifest)
    assert table is not None
    assert [row.name for row in table.rows] == [
        "make-saliency",
        "train-method",
        "make-instances",
        "predict",
        "an own stage",
    ]
    assert table.last is not None
    assert table.last.cells[-1].text == "5.0 s"


def test_time_of_nothing_divides_by_nothing():
    table = time_table({"evaluate": {"seconds": 0.0}})
    assert table is not None
    assert table.rows[0].cells[0].bar == 0
    assert time_table({}) is None


def test_scores_come_in_the_order_of_the_stages_and_tags_are_none_of_them():
    entry = {"mean_iou": 0.5, "pixel_accuracy": 0.75, "protocol": "p", "iou": {"background": 0.9, "cat": None}}
    rows = score_rows({"prediction": entry, "tags": {}, "seed_fixed": entry}, ("cat",))
    assert [row.name for row in rows] == ["Seed, fixed threshold", "Segmentation network"]
    assert rows[0].iou == {"background": 0.9, "cat": None}


def test_the_class_table_lists_every_class_of_every_score_once():
    rows = [ScoreRow("a", "", 0.5, 0.5, {"x": 0.25, "y": None}), ScoreRow("b", "", 0.5, 0.5, {"y": 0.75, "z": 0.0})]
    table = iou_table(rows)
    assert {row.name: [cell.text for cell in row.cells] for row in table.rows} == {
        "x": ["25.0", "\N{EN DASH}"],
        "y": ["\N{EN DASH}", "75.0"],
        "z": ["\N{EN DASH}", "0.0"],
    }
