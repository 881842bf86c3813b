"""Scores of a finished run, each with the protocol behind it. Ground-truth masks are read here and nowhere else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from tagmask.contracts import Dataset, Record
from tagmask.data.datasets import score_records
from tagmask.errors import TagmaskError
from tagmask.masks.from_archives import walked_at_image_size, walked_scores
from tagmask.masks.grids import resized
from tagmask.masks.scores import argmax_classes
from tagmask.scoring.metrics import (
    Protocol,
    average_precision,
    best_threshold,
    confusion_matrix,
    counts_of,
    score_counts,
    sweep_thresholds,
    threshold_sweep,
)
from tagmask.scoring.scores_file import digest
from tagmask.scoring.table import WORDS, in_order, mean_of
from tagmask.stages.masks import chosen_on
from tagmask.stages.results import read_predicted_tags, read_prediction, read_pseudo_mask
from tagmask.stages.run import Run
from tagmask.stages.table import STAGES, Stage
from tagmask.system import workers
from tagmask.system.progress import track
from tagmask.system.storage import read_maps, write_json

NamedCounts = dict[str, Int64[np.ndarray, "..."]]  # hits, true and predicted pixels, see ``metrics.counts_of``


def evaluate(run: Run) -> dict[str, Any]:
    """Score everything the run has made so far; writes ``scores.json`` and returns it.

    Entries: ``tags`` (average precision of the classifier on validation images); ``seed_fixed``, ``seed_best``,
    ``seed_own`` (with the background that the method has learnt), ``walk`` and ``mask`` (training images that have
    ground truth); ``prediction`` (validation images, no tags given). What cannot be scored is left out, and so is what
    an unfinished stage has left behind: a part of the images is not the score of all.
    """
    found: dict[str, Any] = {}
    if run.folder.is_done("make-maps") and run.folder.predicted_tags.exists():
        found["tags"] = _score_tags(run)
    training = scored_training_records(run)
    _check_maps(run, training)
    if training and any(run.folder.is_done(stage) for stage in ("make-maps", "make-seed-maps")):
        found |= _score_training(run, training)
    validation = [record for record in run.validation_records if record.has_mask]
    if validation and run.folder.is_done("predict"):
        found["prediction"] = _score_predictions(run, validation)
    write_json(run.folder.scores, found)
    return found


def _check_maps(run: Run, training: Sequence[Record]) -> None:
    """Whether a run of seeds alone, or one that does not keep all, has what is scored of all images with masks."""
    seeds_alone = not run.folder.is_done("make-maps") and run.folder.is_done("make-seed-maps")
    if not seeds_alone and run.recipe.masks.keep == "all":
        return
    walked = run.folder.is_done("make-masks") and run.recipe.affinity is not None
    paths = [run.folder.maps, *([run.folder.walks] if walked else [])]
    lacking = [record.id for record in training if not all(path(record.id).exists() for path in paths)]
    if lacking:
        raise TagmaskError(
            f"{len(lacking)} of {len(training)} images with ground truth have no maps{' or walks' * walked} yet, such "
            f"as {lacking[0]}; `tagmask resume {run.folder.path}{' --until seed' * seeds_alone}` makes them"
        )


def unfinished(run: Run) -> list[str]:
    """A sentence for each stage that has written something but has not finished, and is not scored."""
    return [
        f"stage {stage.name} has not finished: what it has written so far is not scored."
        for stage in STAGES
        if not run.folder.is_done(stage.name) and not _is_covered(run, stage)
    ]


def _is_covered(run: Run, stage: Stage) -> bool:
    """Whether nothing of a stage is there, or another stage that writes the same has finished."""
    others = [other for other in STAGES if other is not stage and run.folder.is_done(other.name)]
    finished = {result for other in others for result in other.writes}
    return not any((run.folder.path / result).exists() for result in set(stage.writes) - finished)


def scored_training_records(run: Run) -> tuple[Record, ...]:
    """Training images whose masks score seeds and pseudo masks: none whose mask was learned from or has chosen."""
    known, used = score_records(run.dataset, run.recipe.data, run.data), chosen_on(run)
    return tuple(record for record in known if record.id not in used and not run.is_drawn(record))


def _score_tags(run: Run) -> dict[str, Any]:
    predicted, records = read_predicted_tags(run), run.validation_records
    scores = np.array([[predicted[r.id][name] for name in run.dataset.classes] for r in records])
    truth = np.array([[c in r.tags for c in range(len(run.dataset.classes))] for r in records])
    each = [average_precision(scores[:, c], truth[:, c]) for c in range(truth.shape[1])]
    known = [value for value in each if value is not None]
    return {
        "protocol": f"classifier on {run.dataset.name} {run.recipe.data.val_split}, {len(records)} images; "
        "average precision (area under the precision-recall curve) against their tags.",
        "mean_average_precision": float(np.mean(known)) if known else None,
        "average_precision": dict(zip(run.dataset.classes, each, strict=True)),
    }


# ── training images ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _TrainingCounts:
    """Counts of one training image, computed in a worker process.

    Attributes:
        run: where maps, walks and masks are read.
        with_masks: whether walks and pseudo masks are finished.
        with_revised: whether the segmentation network has revised them all.
    """

    run: Run
    with_masks: bool
    with_revised: bool

    def __call__(self, record: Record) -> NamedCounts:
        run, k = self.run, len(self.run.dataset.classes) + 1
        truth = _truth(run.dataset, record)
        size = (truth.shape[0], truth.shape[1])
        archive = read_maps(run.folder.maps(record.id))
        seen = archive.classes > 0
        maps, tags = resized(archive.maps[seen], size), archive.classes[seen].astype(np.int64) - 1
        thresholds = sweep_thresholds(run.recipe.evaluation.sweep)
        fixed = np.array([run.recipe.evaluation.threshold], np.float32)
        counts: NamedCounts = {
            "truth": np.array([digest(record, truth)]),
            "sweep": threshold_sweep(truth, maps, tags, thresholds, k),
            "seed_fixed": threshold_sweep(truth, maps, tags, fixed, k)[0],
        }
        if archive.has_background:
            own = resized(archive.maps, size)
            counts["seed_own"] = self._counts(truth, argmax_classes(own, archive.classes))
        return counts | (self._masks(record, truth) if self.with_masks else {})

    def _masks(self, record: Record, truth: Int32[np.ndarray, "h w"]) -> NamedCounts:
        run, size = self.run, (truth.shape[0], truth.shape[1])
        mask = read_pseudo_mask(run, record, size)
        counts: NamedCounts = {"mask": self._counts(truth, mask)}
        if self.with_revised:
            counts["revised"] = self._counts(truth, read_pseudo_mask(run, record, size, revised=True))
        if run.recipe.affinity is not None:
            archive = read_maps(run.folder.walks(record.id))
            walked = walked_at_image_size(archive, size, run.recipe.walk, run.recipe.affinity.stride)
            scores, classes = walked_scores(walked, run.recipe.masks.background)
            counts["walk"] = self._counts(truth, argmax_classes(scores, classes))
        return counts

    def _counts(self, truth: Int32[np.ndarray, "h w"], mask: Int32[np.ndarray, "h w"]) -> Int64[np.ndarray, "3 k"]:
        return counts_of(confusion_matrix(truth, mask, len(self.run.dataset.classes) + 1))


def _truth(dataset: Dataset, record: Record) -> np.ndarray:
    truth = dataset.read_mask(record)
    if truth is None:
        raise TagmaskError(f"the ground-truth mask of {record.id} has vanished; restore it or evaluate without masks.")
    return truth


def _summed(run: Run, count: Callable[[Record], NamedCounts], records: Sequence[Record], title: str) -> NamedCounts:
    total: NamedCounts = {}
    for counts in track(workers.in_order(count, records, run.recipe.masks.workers), title, len(records)):
        for name, each in counts.items():
            total[name] = total[name] + each if name in total else each
    return total


def _choice(run: Run, records: Sequence[Record]) -> str:
    """Why only these images with ground truth are scored."""
    if len(records) == len(run.records_with_truth):
        return ""
    used = chosen_on(run) or any(map(run.is_drawn, run.records_with_truth))
    return "those that neither taught nor chose anything" if used else "chosen by a list"


def _score_training(run: Run, records: Sequence[Record]) -> dict[str, Any]:
    counts = _TrainingCounts(run, run.folder.is_done("make-masks"), run.folder.is_done("revise-masks"))
    total = _summed(run, counts, records, "evaluate (training images)")
    split, num_images = run.recipe.data.train_split, len(run.training_records)

    def protocol(subject: str, **details: Any) -> Protocol:
        choice = _choice(run, records)
        return Protocol(subject, run.dataset.name, split, len(records), num_images, choice=choice, **details)

    thresholds = sweep_thresholds(run.recipe.evaluation.sweep)
    best = best_threshold(total["sweep"], protocol("seed"))
    scored = {
        "seed_fixed": score_counts(total["seed_fixed"], protocol("seed", threshold=run.recipe.evaluation.threshold)),
        "seed_best": score_counts(
            total["sweep"][best], protocol("seed", threshold=float(thresholds[best]), threshold_choice="best")
        ),
    }
    if "seed_own" in total:
        scored["seed_own"] = score_counts(total["seed_own"], protocol("seed", own_background=True))
    if "walk" in total:
        scored["walk"] = score_counts(total["walk"], protocol("walk"))
    if "mask" in total:
        scored["mask"] = score_counts(total["mask"], protocol("pseudo mask"))
    if "revised" in total:
        scored["revised"] = score_counts(total["revised"], protocol("revised mask"))
    truth = {"truth": int(total["truth"][0])}
    return {name: scores.as_dict(run.dataset.classes) | truth for name, scores in scored.items()}


# ── validation images ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _PredictionCounts:
    """Counts of one prediction, computed in a worker process."""

    run: Run

    def __call__(self, record: Record) -> NamedCounts:
        truth = _truth(self.run.dataset, record)
        predicted = read_prediction(self.run, record, (truth.shape[0], truth.shape[1]))
        counts = counts_of(confusion_matrix(truth, predicted, len(self.run.dataset.classes) + 1))
        return {"prediction": counts, "truth": np.array([digest(record, truth)])}


def _score_predictions(run: Run, records: Sequence[Record]) -> dict[str, Any]:
    total = _summed(run, _PredictionCounts(run), records, "evaluate (predictions)")
    split = str(run.recipe.data.val_split)
    learned = run.folder.manifest().get("train-segmenter", {}).get("drawn_masks", 0)
    numbers = len(records), len(run.validation_records)
    protocol = Protocol("prediction", run.dataset.name, split, *numbers, tags_given=False, masks_learned=learned)
    scores = score_counts(total["prediction"], protocol)
    return scores.as_dict(run.dataset.classes) | {"truth": int(total["truth"][0])}


def summary(scores: dict[str, Any]) -> list[tuple[str, float, str]]:
    """(what, mean in percent, protocol) of every score, in the order of the table of scores."""
    rows = []
    for key in in_order(scores):
        entry = scores[key]
        mean = mean_of(entry)
        if mean is not None:
            rows.append((WORDS[key], 100 * mean, entry["protocol"]))
    return rows
