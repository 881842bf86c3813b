"""The page of a comparison: its tables, and the same images as every recipe sees them, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from tagmask.contracts import Dataset, Record
from tagmask.masks.grids import resized
from tagmask.masks.scores import add_threshold, argmax_classes
from tagmask.report.content import Card, Cell, ComparisonContent, Picture, Row, Table, Tag, tags_of
from tagmask.report.page import duration, write_page
from tagmask.report.pictures import Photograph
from tagmask.scoring import comparison_table
from tagmask.scoring.comparison import Comparison
from tagmask.scoring.comparison_figures import ComparisonFigures, RecipeFigures
from tagmask.scoring.comparison_table import classes_of, compared_by_class
from tagmask.scoring.evaluation import scored_training_records
from tagmask.scoring.scores_file import read_scores
from tagmask.scoring.spreads import Spread
from tagmask.scoring.table import WORDS
from tagmask.stages.results import read_prediction, read_pseudo_mask
from tagmask.stages.run import Run
from tagmask.stages.sharing import spread_evenly
from tagmask.system.storage import read_maps

PICTURE_WIDTH = 280

Mask = Int[np.ndarray, "h w"]


@dataclass(frozen=True)
class ComparedImage:
    """One image and what each recipe makes of it.

    Attributes:
        id: name of the image.
        tags: empty where tags were not given.
        image: the photograph.
        truth: ground truth.
        masks: by kind (``seed``, ``pseudo mask``, ``prediction``) and recipe.
    """

    id: str
    tags: Sequence[Tag]
    image: UInt8[np.ndarray, "h w 3"]
    truth: Mask | None
    masks: Mapping[str, Mapping[str, Mask]]


def write(comparison: Comparison, figures: ComparisonFigures) -> Path:
    """Write ``comparison.html``; returns its path."""
    runs = shown_runs(comparison, figures)
    shown = content(figures, comparison.dataset, training_images(runs), validation_images(runs))
    return write_page(comparison.out / "comparison.html", shown)


def content(
    figures: ComparisonFigures,
    dataset: Dataset,
    training: Sequence[ComparedImage],
    validation: Sequence[ComparedImage],
) -> ComparisonContent:
    """Everything the page shows.

    Args:
        figures: of all runs.
        dataset: that all recipes share.
        training: images with seeds and pseudo masks.
        validation: images with predictions.
    """
    names = [recipe.name for recipe in figures.recipes]
    return ComparisonContent(
        title=f"{len(names)} recipes on {dataset.name}",
        recipe_names=names,
        data=figures.data,
        classes=dataset.classes,
        notes=[*figures.warnings, *comparison_table.failures(figures)],
        reading=comparison_table.reading(figures),
        results=result_table(figures),
        protocols={WORDS[name]: sentence for name, sentence in comparison_table.protocols(figures).items()},
        gains=gains_table(figures),
        class_scores=class_tables(figures),
        training=[card(image, names) for image in training],
        validation=[card(image, names) for image in validation],
        times=time_table(figures),
        settings=settings_table(figures),
        command=figures.command,
        environment=figures.environment,
    )


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def shown_runs(comparison: Comparison, figures: ComparisonFigures) -> dict[str, Run]:
    """The finished run of each recipe that has the smallest seed."""
    runs: dict[str, Run] = {}
    for competitor, recipe in zip(comparison.competitors, figures.recipes, strict=True):
        seed = next((run.seed for run in recipe.runs if run.finished), None)
        if seed is not None:
            folder = comparison.planned(competitor, seed).folder
            runs[competitor.name] = Run(folder.recipe(), folder, competitor.dataset, comparison.data)
    return runs


def training_images(runs: Mapping[str, Run]) -> list[ComparedImage]:
    """Scored training images, evenly over their list, with seeds and pseudo masks."""
    if not runs:
        return []
    first = next(iter(runs.values()))
    having = [r for r in scored_training_records(first) if r.tags and all(_has_maps(run, r) for run in runs.values())]
    thresholds = {name: _best_threshold(run) for name, run in runs.items()}
    return [
        _training_image(runs, thresholds, record) for record in spread_evenly(having, first.recipe.report.num_images)
    ]


def validation_images(runs: Mapping[str, Run]) -> list[ComparedImage]:
    """Validation images, evenly over their list, with the predictions of the recipes that have any."""
    predicting = {name: run for name, run in runs.items() if run.folder.is_done("predict")}
    if not predicting:
        return []
    first = next(iter(predicting.values()))
    known = [r for r in first.validation_records if r.has_mask] or first.validation_records
    having = [r for r in known if all(run.folder.prediction(r.id).exists() for run in predicting.values())]
    return [_validation_image(predicting, record) for record in spread_evenly(having, first.recipe.report.num_images)]


def _has_maps(run: Run, record: Record) -> bool:
    return run.folder.maps(record.id).exists()


def _best_threshold(run: Run) -> float:
    """The constant background of a run's best seeds."""
    scores = read_scores(run.folder)
    return scores.get("seed_best", {}).get("threshold", run.recipe.evaluation.threshold)


def _training_image(runs: Mapping[str, Run], thresholds: Mapping[str, float], record: Record) -> ComparedImage:
    dataset = next(iter(runs.values())).dataset
    image = dataset.read_image(record)
    size = (image.shape[0], image.shape[1])
    seeds = {name: seed_mask(run, record, size, thresholds[name]) for name, run in runs.items()}
    masks = {
        name: read_pseudo_mask(run, record, size) for name, run in runs.items() if run.folder.is_done("make-masks")
    }
    tags, truth = tags_of(record.tags, dataset.classes), dataset.read_mask(record)
    return ComparedImage(record.id, tags, image, truth, {"seed": seeds, "pseudo mask": masks})


def seed_mask(run: Run, record: Record, size: tuple[int, int], threshold: float) -> Mask:
    """The mask straight from the maps: against the method's own background if it learns one, else the constant.

    Args:
        run: whose maps.
        record: of the image.
        size: rows and columns of the image.
        threshold: the constant, in [0, 1].
    """
    archive = read_maps(run.folder.maps(record.id))
    maps, classes = resized(archive.maps, size), archive.classes
    if archive.has_background:
        return argmax_classes(maps, classes)
    return argmax_classes(add_threshold(maps, threshold), np.concatenate([[0], classes]))


def _validation_image(runs: Mapping[str, Run], record: Record) -> ComparedImage:
    dataset = next(iter(runs.values())).dataset
    image = dataset.read_image(record)
    masks = {name: read_prediction(run, record, (image.shape[0], image.shape[1])) for name, run in runs.items()}
    truth = dataset.read_mask(record) if record.has_mask else None
    return ComparedImage(record.id, (), image, truth, {"prediction": masks})


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def result_table(figures: ComparisonFigures) -> Table:
    """A line for each recipe: its scores, with the best of each column marked, and its costs."""
    columns = comparison_table.columns(figures)
    best = [comparison_table.best_recipes(figures, column) for column in columns]
    return Table(
        ["recipe", *(column.title for column in columns)],
        [
            _row(recipe, [_result(c.text(recipe), recipe.name in b) for c, b in zip(columns, best, strict=True)])
            for recipe in figures.recipes
        ],
    )


def _row(recipe: RecipeFigures, cells: Sequence[Cell]) -> Row:
    return Row(comparison_table.row_name(recipe), cells)


def _result(text: str, is_best: bool) -> Cell:
    mean, _, deviation = text.partition(" ± ")
    return Cell(mean or "\N{EN DASH}", small=f" ± {deviation}" if deviation else "", is_best=is_best)


def gains_table(figures: ComparisonFigures) -> Table | None:
    """Points more than the first recipe; None where nothing can be compared."""
    names = comparison_table.gained_scores(figures)
    if not names:
        return None
    return Table(
        ["recipe", *(WORDS[name] for name in names)],
        [_row(recipe, [*map(Cell, comparison_table.gain_texts(recipe, names))]) for recipe in figures.recipes[1:]],
    )


def class_tables(figures: ComparisonFigures) -> dict[str, Table]:
    """IoU of each class with each recipe, by what is scored."""
    head = ["class", *(recipe.name for recipe in figures.recipes)]
    return {WORDS[score]: Table(head, class_rows(figures, score)) for score in compared_by_class(figures)}


def class_rows(figures: ComparisonFigures, score: str) -> list[Row]:
    """A line for each class."""
    rows = (comparison_table.class_row(figures, score, name) for name in classes_of(figures, score))
    return [Row(name, [Cell(value or "\N{EN DASH}") for value in values]) for name, *values in rows]


def time_table(figures: ComparisonFigures) -> Table | None:
    """Mean wall time of each stage of each recipe; None where no stage has been timed."""
    stages = list(dict.fromkeys(stage for recipe in figures.recipes for stage in recipe.stages))
    if not stages:
        return None
    return Table(
        ["recipe", *stages, "all stages"],
        [
            _row(recipe, [*(_mean_time(recipe.stages.get(stage)) for stage in stages), _mean_time(recipe.seconds)])
            for recipe in figures.recipes
        ],
    )


def _mean_time(seconds: Spread | None) -> Cell:
    return Cell("\N{EN DASH}" if seconds is None else duration(seconds.mean))


def settings_table(figures: ComparisonFigures) -> Table:
    """A column for each recipe: its method, then the settings that the figures list."""
    names = [recipe.name for recipe in figures.recipes]
    methods = Row("method", [Cell(recipe.method) for recipe in figures.recipes])
    rows = [Row(path, [_setting(values[name]) for name in names]) for path, values in figures.settings.items()]
    return Table(["setting", *names], [methods, *rows])


def _setting(value: object) -> Cell:
    return Cell("none" if value is None else str(value))


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def card(image: ComparedImage, names: Sequence[str]) -> Card:
    """The pictures of an image: a line for each kind of mask, in it a column for each recipe that has any.

    Photograph and ground truth stand ahead of the first line.
    """
    photograph = Photograph.of(image.image, PICTURE_WIDTH)
    rows = {kind: masks for kind, masks in image.masks.items() if masks}
    shown = [name for name in names if any(name in masks for masks in rows.values())]
    truth = None if image.truth is None else photograph.with_mask(image.truth, "ground truth")
    pictures: list[Picture | None] = []
    for kind, masks in rows.items():
        pictures += [None, None] if pictures else [photograph.alone(), truth]
        pictures += [photograph.with_mask(masks[n], f"{n}: {kind}") if n in masks else None for n in shown]
    return Card(image.id, image.tags, pictures=pictures, columns=len(shown) + 2)
