"""Collects what a run has made into the content of its report."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tagmask.config import Recipe
from tagmask.contracts import Record
from tagmask.conventions import BACKGROUND
from tagmask.data.images import read_mask
from tagmask.inference.predictor import Predictor, load
from tagmask.masks.from_archives import walked_at_image_size
from tagmask.masks.scores import normalize_max
from tagmask.report.content import Example, ReportContent, ScoreRow
from tagmask.report.page import write_report
from tagmask.scoring.evaluation import scored_training_records
from tagmask.stages.masks import read_quality
from tagmask.stages.run import Run
from tagmask.system.storage import MapArchive, read_json, read_maps

_NAMES = {
    "seed_fixed": "Seed, fixed threshold",
    "seed_best": "Seed, best threshold",
    "seed_own": "Seed, learnt background",
    "walk": "After the random walk",
    "mask": "Pseudo masks",
    "prediction": "Segmentation network",
}
_STAGES = ("train-method", "make-maps", "train-affinity", "make-masks", "train-segmenter", "predict")
_QUEUE = 8


def write(run: Run) -> Path:
    """Write ``report.html`` of a run, finished or not; returns its path."""
    return write_report(run.folder.path, content(run))


def content(run: Run) -> ReportContent:
    """Everything the report shows."""
    recipe = run.recipe
    scores = _scores(run)
    manifest = run.folder.manifest()
    qualities = _qualities(run)
    shown = recipe.report.num_images
    predictor = load(run.folder.path) if run.folder.weights("segmenter").exists() else None
    return ReportContent(
        title=f"{recipe.name} on {run.dataset.name}",
        recipe_name=recipe.name,
        data_name=run.dataset.name,
        classes=run.dataset.classes,
        summary=_summary(run),
        notes=_notes(run, scores),
        scores=[_score_row(name, scores[name], run.dataset.classes) for name in _NAMES if name in scores],
        stage_seconds={name: manifest[name]["seconds"] for name in _STAGES if name in manifest},
        log=_log(run),
        training_examples=[_training_example(run, r, predictor) for r in _shown_training(run)],
        validation_examples=[_validation_example(run, r) for r in _spread(run.validation_records, shown)],
        lowest=_queue(run, qualities[:_QUEUE]),
        highest=_queue(run, qualities[::-1][:_QUEUE]) if len(qualities) > _QUEUE else (),
        qualities=[value for _, value in qualities],
        recipe_yaml=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        command=_command(recipe, run),
        environment={k: str(v) for k, v in manifest.get("train-method", {}).items() if isinstance(v, str)},
    )


def _summary(run: Run) -> str:
    classes = len(run.dataset.classes)
    return (
        f"{len(run.training_records)} training images with tags of {classes} classes, "
        f"{len(run.validation_records)} validation images. Method {run.recipe.method.kind}, "
        f"affinity {run.recipe.affinity.kind if run.recipe.affinity else 'none'}, "
        f"segmentation network {run.recipe.segmenter.kind}."
    )


def _scores(run: Run) -> dict[str, Any]:
    found = read_json(run.folder.scores) if run.folder.scores.exists() else {}
    assert isinstance(found, dict)
    return found


def _score_row(name: str, entry: dict[str, Any], classes: tuple[str, ...]) -> ScoreRow:
    iou = {known: entry["iou"][known] for known in ("background", *classes)}
    return ScoreRow(_NAMES[name], entry["protocol"], entry["mean_iou"], entry["pixel_accuracy"], iou)


def _notes(run: Run, scores: dict[str, Any]) -> list[str]:
    """Observations in words: what to look at first when results disappoint."""
    notes = list(run.dataset.notes)
    tags = scores.get("tags", {})
    mean = tags.get("mean_average_precision")
    if mean is not None:
        notes.append(f"The classifier reaches {100 * mean:.1f} mean average precision on the validation tags.")
        weak = [name for name, value in tags["average_precision"].items() if value is not None and value < 0.5]
        if weak:
            notes.append(
                f"It hardly recognises {', '.join(weak)}: maps of these classes cannot be good. "
                "Add images of them, train longer, or change the learning rate."
            )
    return notes


def _log(run: Run) -> list[dict[str, Any]]:
    if not run.folder.log.exists():
        return []
    return [json.loads(line) for line in run.folder.log.read_text().splitlines() if line.strip()]


def _command(recipe: Recipe, run: Run) -> str:
    data = run.folder.data()
    where = f" --data {data}" if data else ""
    return f"tagmask run {recipe.name}{where} --out {run.folder.path}"


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _spread(records: Sequence[Record], count: int) -> list[Record]:
    """So many records, evenly over the list."""
    if not records or not count:
        return []
    positions = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int))
    return [records[i] for i in positions]


def _shown_training(run: Run) -> list[Record]:
    """Training images with tags, those with ground truth first choice."""
    tagged = [r for r in run.training_records if r.tags and run.folder.maps(r.id).exists()]
    scored = {r.id for r in scored_training_records(run)}
    return _spread([r for r in tagged if r.id in scored] or tagged, run.recipe.report.num_images)


def _named_maps(run: Run, archive: MapArchive) -> dict[str, np.ndarray]:
    names = ("background", *run.dataset.classes)
    shown = zip(archive.classes, archive.maps, strict=True)
    return {names[value]: channel for value, channel in shown if value != BACKGROUND}


def _walked_maps(run: Run, record: Record, size: tuple[int, int]) -> dict[str, np.ndarray]:
    path = run.folder.walks(record.id)
    if run.recipe.affinity is None or not path.exists():
        return {}
    archive = walked_at_image_size(read_maps(path), size, run.recipe.walk, run.recipe.affinity.stride)
    return _named_maps(run, MapArchive(archive.classes, normalize_max(archive.maps), size))


def _training_example(run: Run, record: Record, predictor: Predictor | None) -> Example:
    image = run.dataset.read_image(record)
    mask = run.folder.mask(record.id)
    return Example(
        id=record.id,
        image=image,
        tags=tuple(run.dataset.classes[tag] for tag in record.tags),
        quality=read_quality(run.folder.confidence(record.id)) if mask.exists() else None,
        maps=_named_maps(run, read_maps(run.folder.maps(record.id))),
        walks=_walked_maps(run, record, (image.shape[0], image.shape[1])),
        mask=read_mask(mask, run.mask_ignore_value) if mask.exists() else None,
        prediction=predictor(image) if predictor else None,
        truth=run.dataset.read_mask(record) if record.has_mask else None,
    )


def _validation_example(run: Run, record: Record) -> Example:
    prediction = run.folder.prediction(record.id)
    predicted = read_json(run.folder.predicted_tags) if run.folder.predicted_tags.exists() else {}
    assert isinstance(predicted, dict)
    likely = [n for n, p in predicted.get(record.id, {}).items() if p >= run.recipe.maps.tag_threshold]
    return Example(
        id=record.id,
        image=run.dataset.read_image(record),
        tags=tuple(likely),
        tags_predicted=True,
        prediction=read_mask(prediction, ignore_value=-1) if prediction.exists() else None,
        truth=run.dataset.read_mask(record) if record.has_mask else None,
    )


# ── review queue ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _qualities(run: Run) -> list[tuple[str, float]]:
    """(id, quality) of every pseudo mask, worst first."""
    if not run.folder.quality.exists():
        return []
    with run.folder.quality.open(newline="") as file:
        return [(row["image"], float(row["quality"])) for row in csv.DictReader(file)]


def _queue(run: Run, ranked: Sequence[tuple[str, float]]) -> list[Example]:
    records = {record.id: record for record in run.training_records}
    return [
        Example(
            id=image_id,
            image=run.dataset.read_image(records[image_id]),
            tags=tuple(run.dataset.classes[tag] for tag in records[image_id].tags),
            mask=read_mask(run.folder.mask(image_id), run.mask_ignore_value),
            quality=value,
        )
        for image_id, value in ranked
    ]
