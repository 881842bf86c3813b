"""The figures of a comparison: what every run scored, took and held, and their means over seeds.

``ComparisonFigures`` is what ``comparison.json`` holds; tables, pages and records are made from it alone.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tagmask.config import Recipe
from tagmask.conventions import Equal, Goal
from tagmask.errors import TagmaskError
from tagmask.scoring.comparison import CEILING, Comparison, PlannedRun
from tagmask.scoring.scores_file import read_scores
from tagmask.scoring.spreads import Spread, spread, spreads
from tagmask.scoring.table import MASK_SCORES, SCORES, mean_of
from tagmask.stages.table import beyond, in_order
from tagmask.system.environment import environment
from tagmask.system.storage import read_json, write_json

SCORE_KEYS = tuple(kind.key for kind in SCORES)
MASK_KEYS = tuple(kind.key for kind in MASK_SCORES)

# Settings that are always shown: what two methods must share for their scores to be compared.
_BUDGET = (
    "backbone.model",
    "backbone.weights",
    "training.epochs",
    "training.steps",
    "training.batch_size",
    "training.augment.crop",
)
_SHARED = ("data", "backbone", "training.epochs", "training.steps", "training.batch_size", "training.augment")
_OWN = ("name", "seed", "method", "data.saliency", "report")  # may differ, or tells nothing


class Stored(BaseModel):
    """Base of what is written as JSON."""

    model_config = ConfigDict(frozen=True)


class RunFigures(Stored):
    """One run.

    Attributes:
        seed: of all its random draws.
        folder: below the folder of the comparison.
        finished: whether it went as far as it should.
        error: why not, if it failed in this call.
        scores: mean IoU, of `tags` mean average precision, in [0, 1], by name.
        classes: IoU of each class, in [0, 1], by name of the score.
        protocols: the sentence behind each score.
        seconds: wall time of each stage, resumed calls added up.
        memory: MiB that the largest of its processes held at most; None if unknown.
        device_memory: MiB of the accelerator that were in use at most; None without one.
    """

    seed: int
    folder: str
    finished: bool
    error: str | None = None
    scores: dict[str, float] = {}
    classes: dict[str, dict[str, float]] = {}
    protocols: dict[str, str] = {}
    seconds: dict[str, float] = {}
    memory: float | None = None
    device_memory: float | None = None


class RecipeFigures(Stored):
    """One recipe.

    Attributes:
        name: of the recipe.
        argument: as it was named on the command line.
        method: kind of its method, such as ``ppc(seam)``.
        runs: by seed.
        scores: mean IoU over the seeds, by name.
        gains: the same minus that of the first recipe, seed by seed.
        classes: IoU of each class over the seeds, by name of the score.
        of_ceiling: its network's score as a share of that of the same network trained on ground truth, seed by seed.
        seconds: of all stages together.
        stages: of each stage.
        memory: MiB.
        device_memory: MiB.
    """

    name: str
    argument: str
    method: str
    runs: list[RunFigures]
    scores: dict[str, Spread]
    gains: dict[str, Spread]
    classes: dict[str, dict[str, Spread]] = {}
    of_ceiling: Spread | None = None
    seconds: Spread | None
    stages: dict[str, Spread]
    memory: Spread | None
    device_memory: Spread | None


class ComparisonFigures(Stored):
    """A whole comparison.

    Attributes:
        command: the command line that repeats or continues it.
        data: what the images are.
        goal: how far the runs go.
        seeds: of every recipe.
        equal: what all trainings have as much of as those of the first recipe; None: each has its own.
        recipes: in the order they were named.
        settings: values by recipe of the settings that make up the budget, and of all others that differ.
        warnings: what is not the same for all, in sentences.
        environment: versions and hardware.
    """

    command: str
    data: str
    goal: Goal
    seeds: list[int]
    equal: Equal | None = None
    recipes: list[RecipeFigures]
    settings: dict[str, dict[str, Any]]
    warnings: list[str]
    environment: dict[str, str]


def read_figures(path: Path) -> ComparisonFigures:
    """Read a ``comparison.json``.

    Raises:
        TagmaskError: it is missing, damaged, or something else.
    """
    try:
        return ComparisonFigures.model_validate(read_json(path))
    except ValidationError as error:
        raise TagmaskError(f"{path} holds no comparison of this version: {error}") from error


def write_figures(path: Path, figures: ComparisonFigures) -> None:
    """Write a ``comparison.json``."""
    write_json(path, figures.model_dump(mode="json"))


# ── collecting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def collect(comparison: Comparison, failures: Mapping[Path, str]) -> ComparisonFigures:
    """Read what the runs have written so far.

    Args:
        comparison: which runs.
        failures: why runs failed, by folder.
    """
    runs = [
        [run_figures(comparison, comparison.planned(c, seed), failures) for seed in comparison.seeds]
        for c in comparison.competitors
    ]
    named = {c.name: own for c, own in zip(comparison.competitors, runs, strict=True)}
    ceilings = {name: named[f"{name}{CEILING}"] for name in named if f"{name}{CEILING}" in named}
    recipes = {c.name: c.recipe for c in comparison.competitors}
    settings = settings_side_by_side(recipes)
    return ComparisonFigures(
        command=shlex.join(comparison.whole_command),
        data=_data_sentence(comparison),
        goal=comparison.goal,
        seeds=list(comparison.seeds),
        equal=comparison.equal,
        recipes=[
            recipe_figures(c.name, c.argument, c.recipe.method.label, own, runs[0], ceilings.get(c.name))
            for c, own in zip(comparison.competitors, runs, strict=True)
        ],
        settings=settings,
        warnings=warnings(settings),
        environment=environment(),
    )


def _data_sentence(comparison: Comparison) -> str:
    config, dataset = comparison.competitors[0].recipe.data, comparison.dataset
    validation = 0 if config.val_split is None else len(dataset.split(config.val_split))
    return (
        f"{dataset.name}: {len(dataset.split(config.train_split))} training and {validation} validation images, "
        f"{len(dataset.classes)} classes ({', '.join(dataset.classes)})"
    )


def run_figures(comparison: Comparison, run: PlannedRun, failures: Mapping[Path, str]) -> RunFigures:
    """What one run has written so far; stages beyond the goal are left out."""
    scores = read_scores(run.folder)
    scores = {key: scores[key] for key in SCORE_KEYS if key in scores}
    manifest = run.folder.manifest()
    left_out = {stage.name for stage in beyond(comparison.goal)}
    stages = {name: manifest[name] for name in in_order(manifest) if name not in left_out}
    return RunFigures(
        seed=run.seed,
        folder=run.folder.path.relative_to(comparison.out).as_posix(),
        finished=comparison.is_finished(run),
        error=failures.get(run.folder.path),
        scores={name: value for name, entry in scores.items() if (value := mean_of(entry)) is not None},
        classes={name: _known(scores[name]["iou"]) for name in MASK_KEYS if "iou" in scores.get(name, {})},
        protocols={name: entry["protocol"] for name, entry in scores.items()},
        seconds={name: entry["seconds"] for name, entry in stages.items() if "seconds" in entry},
        memory=_largest(stages, "peak_memory"),
        device_memory=_largest(stages, "peak_device_memory"),
    )


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _largest(stages: Mapping[str, Mapping[str, Any]], key: str) -> float | None:
    return max((entry[key] for entry in stages.values() if entry.get(key) is not None), default=None)


def recipe_figures(
    name: str,
    argument: str,
    method: str,
    runs: Sequence[RunFigures],
    first: Sequence[RunFigures],
    ceiling: Sequence[RunFigures] | None = None,
) -> RecipeFigures:
    """Means over the seeds of one recipe.

    Args:
        name: of the recipe.
        argument: as it was named on the command line.
        method: kind of its method.
        runs: of this recipe.
        first: of the recipe that gains are measured against, same seeds.
        ceiling: of the same recipe with a network that learns from ground truth.
    """
    finished = [run for run in runs if run.finished]
    both = [(run, base) for run, base in zip(runs, first, strict=True) if run.finished and base.finished]
    pairs = {s: [(r.scores.get(s), b.scores.get(s)) for r, b in both] for s in SCORE_KEYS}
    gains = {s: [a - b for a, b in p if a is not None and b is not None] for s, p in pairs.items()}
    stages = list(dict.fromkeys(stage for run in finished for stage in run.seconds))
    return RecipeFigures(
        name=name,
        argument=argument,
        method=method,
        runs=list(runs),
        scores=spreads({s: [run.scores.get(s) for run in finished] for s in SCORE_KEYS}),
        gains={} if runs is first else spreads(gains),
        classes={score: found for score in MASK_KEYS if (found := _class_spreads(finished, score))},
        of_ceiling=None if ceiling is None else spread([*map(_share, runs, ceiling)]),
        seconds=spread([sum(run.seconds.values()) for run in finished]),
        stages=spreads({stage: [run.seconds.get(stage) for run in finished] for stage in stages}),
        memory=spread([run.memory for run in finished]),
        device_memory=spread([run.device_memory for run in finished]),
    )


def _class_spreads(runs: Sequence[RunFigures], score: str) -> dict[str, Spread]:
    names = dict.fromkeys(name for run in runs for name in run.classes.get(score, {}))
    return spreads({name: [run.classes.get(score, {}).get(name) for run in runs] for name in names})


def _share(run: RunFigures, ceiling: RunFigures) -> float | None:
    score, highest = run.scores.get("prediction"), ceiling.scores.get("prediction")
    return score / highest if run.finished and ceiling.finished and score is not None and highest else None


# ── what is the same ─────────────────────────────────────────────────────────────────────────────────────────────────


def settings_side_by_side(recipes: Mapping[str, Recipe]) -> dict[str, dict[str, Any]]:
    """By setting and recipe: those of the classifier's budget, and all others that differ except the method's."""
    leaves = {name: _leaves(recipe.model_dump(mode="json")) for name, recipe in recipes.items()}
    paths = dict.fromkeys([*_BUDGET, *(path for each in leaves.values() for path in each)])
    table = {path: {name: each.get(path) for name, each in leaves.items()} for path in paths}
    return {
        path: values
        for path, values in table.items()
        if (path in _BUDGET and any(value is not None for value in values.values()))
        or (_differ(values) and not _is_below(path, _OWN))
    }


def warnings(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence for each setting that ought to be the same for all recipes and is not."""
    return [
        f"The recipes do not share {path}: " + ", ".join(f"{name} has {value}" for name, value in values.items()) + "."
        for path, values in settings.items()
        if _differ(values) and _is_below(path, _SHARED)
    ]


def _leaves(value: object, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key, below in value.items() for k, v in _leaves(below, f"{path}.{key}".lstrip(".")).items()}
    return {path: value}


def _differ(values: Mapping[str, Any]) -> bool:
    first, *others = values.values()
    return any(other != first for other in others)


def _is_below(path: str, parents: Sequence[str]) -> bool:
    return any(path == parent or path.startswith(f"{parent}.") for parent in parents)
