"""The report of a run: what the run has made, collected into the content of its page."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel

from tagmask.config.recipes import changes_of
from tagmask.contracts import Record
from tagmask.conventions import BACKGROUND
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor, load
from tagmask.masks.from_archives import walked_at_image_size
from tagmask.masks.scores import normalize_max
from tagmask.report import charts
from tagmask.report.advice import advice
from tagmask.report.content import Card, Cell, Picture, ReportContent, Row, ScoreRow, Table, Tag, tags_of
from tagmask.report.page import duration, write_page
from tagmask.report.pictures import Photograph
from tagmask.report.review_queue import review_queue
from tagmask.report.tracking import tell_trackers
from tagmask.scoring.evaluation import evaluate, scored_training_records
from tagmask.scoring.scores_file import read_scores
from tagmask.scoring.table import MASK_SCORES, WORDS
from tagmask.stages.keeping import images_to_look_at
from tagmask.stages.masks import read_background
from tagmask.stages.results import read_predicted_tags, read_prediction, read_pseudo_mask, read_ranking
from tagmask.stages.run import Run
from tagmask.stages.sharing import spread_evenly
from tagmask.stages.table import in_order
from tagmask.system.storage import MapArchive, read_json_as, read_maps

_UNKNOWN = "No image has a ground-truth mask. Training needs none; a few would tell how far to trust the results."
_PICTURE_WIDTH = 320


def write(run: Run) -> Path:
    """Write ``report.html`` of a run, finished or not; returns its path."""
    return write_page(run.folder.path / "report.html", content(run))


def evaluate_and_write(run: Run) -> tuple[dict[str, Any], Path]:
    """Score a run, write its report and tell trackers; where it cannot be scored, the report is written all the same.

    Returns:
        What ``scores.json`` holds, and the path of the report.

    Raises:
        TagmaskError: why there are no scores, after the report has been written.
    """
    try:
        scores = evaluate(run)
    except TagmaskError as error:
        raise TagmaskError(f"{error}\nThe report has been written without scores: {write(run)}") from error
    found = content(run)
    tell_trackers(run, scores, found)
    return scores, write_page(run.folder.path / "report.html", found)


def content(run: Run) -> ReportContent:
    """Everything the report shows."""
    recipe, folder, manifest = run.recipe, run.folder, run.folder.manifest()
    scores = read_scores(run.folder)
    rows = score_rows(scores, run.dataset.classes)
    ranked = read_ranking(run)
    return ReportContent(
        title=f"{recipe.name} on {run.dataset.name}",
        recipe_name=recipe.name,
        data_name=run.dataset.name,
        classes=run.dataset.classes,
        summary=_summary(run),
        notes=advice(run, scores, ranked),
        scores=rows,
        unscored="" if rows else _why_unscored(run),
        iou=iou_table(rows) if rows else None,
        training=_training_cards(run, dict(ranked)),
        validation=_validation_cards(run),
        is_segmented=folder.is_done("predict"),
        queue=review_queue(run),
        losses=loss_charts(read_log(folder.log)),
        chosen=choice_table(run),
        times=time_table(manifest),
        recipe_yaml=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        command=_command(run),
        environment={
            k: str(v) for k, v in manifest.get("train-method", {}).items() if isinstance(v, str) and k != "data"
        },
    )


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _summary(run: Run) -> str:
    classes = len(run.dataset.classes)
    return (
        f"{len(run.training_records)} training images with tags of {classes} classes, "
        f"{len(run.validation_records)} validation images. Method {run.recipe.method.label}, "
        f"affinity {run.recipe.affinity.kind if run.recipe.affinity else 'none'}, "
        f"segmentation network {run.recipe.segmenter.kind}."
    )


def _command(run: Run) -> str:
    """The command that makes the run again, with every setting that differs from its recipe's."""
    changes, name = changes_of(run.recipe), run.recipe.name
    if changes is None:  # a recipe of somebody's own, or one whose name was changed: the page shows all of it
        changes, name = [], f"{name}.yaml"
    words = ["tagmask", "run", name, *(["--data", str(run.data)] if run.data else []), "--out", str(run.folder.path)]
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def score_rows(scores: Mapping[str, Any], classes: Sequence[str]) -> list[ScoreRow]:
    """The scores of masks in a ``scores.json``, in the order of the stages."""
    return [
        ScoreRow(
            name=WORDS[name].capitalize(),
            protocol=entry["protocol"],
            mean_iou=entry["mean_iou"],
            pixel_accuracy=entry["pixel_accuracy"],
            iou={known: entry["iou"][known] for known in ("background", *classes)},
        )
        for name, entry in ((kind.key, scores[kind.key]) for kind in MASK_SCORES if kind.key in scores)
    ]


def _why_unscored(run: Run) -> str:
    has_truth = bool(scored_training_records(run)) or any(record.has_mask for record in run.validation_records)
    return "Nothing has been scored yet." if has_truth else _UNKNOWN


def iou_table(rows: Sequence[ScoreRow]) -> Table:
    """IoU of each class in each score."""
    names = dict.fromkeys(name for row in rows for name in row.iou)
    return Table(
        head=["class", *(row.name for row in rows)],
        rows=[Row(name, [_iou(row.iou.get(name)) for row in rows]) for name in names],
        last=Row("mean", [_iou(row.mean_iou) for row in rows]),
    )


def _iou(value: float | None) -> Cell:
    return Cell("\N{EN DASH}") if value is None else Cell(f"{100 * value:.1f}", share=value)


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _training_cards(run: Run, qualities: Mapping[str, float]) -> list[Card]:
    """Training images with tags, those with ground truth first choice."""
    known = run.training_records if run.recipe.masks.keep == "all" else images_to_look_at(run)
    tagged = [r for r in known if r.tags and run.folder.maps(r.id).exists()]
    scored = {r.id for r in scored_training_records(run)}
    shown = spread_evenly([r for r in tagged if r.id in scored] or tagged, run.recipe.report.num_images)
    predictor = load(run.folder.path) if shown and run.folder.weights("segmenter").exists() else None
    return [_training_card(run, record, predictor, qualities.get(record.id)) for record in shown]


def _training_card(run: Run, record: Record, predictor: Predictor | None, quality: float | None) -> Card:
    image = run.dataset.read_image(record)
    photograph, size = Photograph.of(image, _PICTURE_WIDTH), (image.shape[0], image.shape[1])
    maps = _named_maps(run, read_maps(run.folder.maps(record.id)))
    walks = _walked_maps(run, record, size)
    mask = read_pseudo_mask(run, record, size) if run.folder.mask(record.id).exists() else None
    prediction = predictor(image) if predictor else None
    pictures = [
        photograph.alone(),
        *(photograph.with_map(values, f"map: {name}") for name, values in maps.items()),
        *(photograph.with_map(values, f"walk: {name}") for name, values in walks.items()),
        *_masks(photograph, {"pseudo mask": mask, "prediction": prediction, "ground truth": _truth(run, record)}),
    ]
    return Card(record.id, tags_of(record.tags, run.dataset.classes), pictures=pictures, quality=quality)


def _masks(photograph: Photograph, masks: Mapping[str, np.ndarray | None]) -> list[Picture]:
    return [photograph.with_mask(mask, caption) for caption, mask in masks.items() if mask is not None]


def _truth(run: Run, record: Record) -> np.ndarray | None:
    return run.dataset.read_mask(record) if record.has_mask else None


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


def _validation_cards(run: Run) -> list[Card]:
    found = read_predicted_tags(run) if run.folder.predicted_tags.exists() else {}
    shown = spread_evenly(run.validation_records, run.recipe.report.num_images)
    return [_validation_card(run, record, found.get(record.id)) for record in shown]


def _validation_card(run: Run, record: Record, probabilities: Mapping[str, float] | None) -> Card:
    """An image of validation; ``probabilities`` of its tags are in [0, 1], by class name."""
    image = run.dataset.read_image(record)
    photograph, size = Photograph.of(image, _PICTURE_WIDTH), (image.shape[0], image.shape[1])
    prediction = read_prediction(run, record, size) if run.folder.prediction(record.id).exists() else None
    masks = _masks(photograph, {"prediction": prediction, "ground truth": _truth(run, record)})
    return Card(
        id=record.id,
        tags=tags_of(record.tags, run.dataset.classes),
        predicted_tags=None if probabilities is None else _likely(run, probabilities),
        pictures=[photograph.alone(), *masks],
    )


def _likely(run: Run, probabilities: Mapping[str, float]) -> tuple[Tag, ...]:
    classes, threshold = run.dataset.classes, run.recipe.maps.tag_threshold
    return tags_of([i for i, name in enumerate(classes) if probabilities.get(name, 0.0) >= threshold], classes)


# ── losses and times ─────────────────────────────────────────────────────────────────────────────────────────────────


def read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a ``log.jsonl``; lines that a killed process left unfinished are passed over."""
    if not path.is_file():
        return []
    found = (_parsed(line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [entry for entry in found if isinstance(entry, dict)]


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def loss_charts(log: Sequence[Mapping[str, Any]]) -> list[charts.Chart]:
    """One chart for each trained network, one line for each loss.

    Args:
        log: entries ``{"stage": str, "step": int, "losses": {name: value}, ...}``; others are passed over.
    """
    stages: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for entry in log:
        lines = stages.setdefault(str(entry.get("stage", "training")), {})
        for name, step, value in _logged(entry):
            lines.setdefault(name, []).append((step, value))
    return [charts.line_chart(stage, lines, "step") for stage, lines in stages.items() if lines]


def _logged(entry: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Name, step and value of each loss in an entry of the log; entries of another kind hold none."""
    losses, step = entry.get("losses"), entry.get("step")
    if not isinstance(losses, Mapping) or not isinstance(step, int):
        return []
    return [(str(name), float(step), float(value)) for name, value in losses.items() if isinstance(value, int | float)]


class _Choice(BaseModel):
    setting: str
    value: Any
    reason: str


class _Choices(BaseModel):
    choices: list[_Choice]


def choice_table(run: Run) -> Table | None:
    """What was chosen for the data and the machine, with the reasons; None where nobody chose.

    Raises:
        TagmaskError: the file of choices holds something else.
    """
    rows: list[Row] = []
    if run.folder.choices.exists():
        remedy = f"delete {run.folder.choices}: nothing but the report reads it"
        found = read_json_as(run.folder.choices, _Choices.model_validate, remedy).choices
        rows = [
            Row(each.setting, [Cell(json.dumps(each.value, ensure_ascii=False)), Cell(each.reason)]) for each in found
        ]
    if run.folder.background.exists():
        background = read_background(run)
        rows.append(Row("masks.background.factor", [Cell(f"{background.factor:.3g}"), Cell(background.reason)]))
    return Table(["setting", "chosen", "because"], rows) if rows else None


def time_table(manifest: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Wall time of every stage in a manifest, in the order of the pipeline; None if there is none.

    Stages that the pipeline does not know come last.
    """
    stages = [stage for stage in in_order(manifest) if "seconds" in manifest[stage]]
    if not stages:
        return None
    seconds = {stage: float(manifest[stage]["seconds"]) for stage in stages}
    longest = max(*seconds.values(), 1e-9)
    return Table(
        head=(),
        rows=[Row(s, [Cell(bar=value / longest), Cell(duration(value))]) for s, value in seconds.items()],
        last=Row("total", [Cell(), Cell(duration(sum(seconds.values())))]),
    )
