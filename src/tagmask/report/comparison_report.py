"""The page of a comparison: its tables, and the same images as every recipe sees them, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from tagmask.contracts import Record
from tagmask.data.images import read_mask
from tagmask.masks import overlays
from tagmask.masks.grids import resized
from tagmask.masks.scores import add_threshold, argmax_classes
from tagmask.report.markup import Markup, element, join
from tagmask.report.page import class_chips, note_list, write_page
from tagmask.report.sections import command_and_environment, duration, example_header, picture
from tagmask.scoring import comparison_table
from tagmask.scoring.comparison import Comparison
from tagmask.scoring.comparison_figures import ComparisonFigures, RecipeFigures
from tagmask.scoring.comparison_table import Column
from tagmask.scoring.evaluation import scored_training_records
from tagmask.scoring.table import WORDS
from tagmask.stages.run import Run
from tagmask.system.storage import read_json, read_maps

PICTURE_WIDTH = 200

Mask = Int[np.ndarray, "h w"]


@dataclass(frozen=True)
class ComparedImage:
    """One image and what each recipe makes of it.

    Attributes:
        id: name of the image.
        tags: class names; empty where tags were not given.
        image: the photograph.
        truth: ground truth.
        masks: by kind (``seed``, ``pseudo mask``, ``prediction``) and recipe.
    """

    id: str
    tags: tuple[str, ...]
    image: UInt8[np.ndarray, "h w 3"]
    truth: Mask | None
    masks: Mapping[str, Mapping[str, Mask]]


def write(comparison: Comparison, figures: ComparisonFigures) -> Path:
    """Write ``comparison.html``; returns its path."""
    runs = shown_runs(comparison, figures)
    title = f"{len(figures.recipes)} recipes on {comparison.dataset.name}"
    shown = body(title, figures, comparison.dataset.classes, training_images(runs), validation_images(runs))
    path = comparison.out / "comparison.html"
    write_page(path, title, shown)
    return path


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
    return [_training_image(runs, thresholds, record) for record in _evenly(having, first)]


def validation_images(runs: Mapping[str, Run]) -> list[ComparedImage]:
    """Validation images, evenly over their list, with the predictions of the recipes that have any."""
    predicting = {name: run for name, run in runs.items() if run.folder.is_done("predict")}
    if not predicting:
        return []
    first = next(iter(predicting.values()))
    known = [r for r in first.validation_records if r.has_mask] or first.validation_records
    having = [r for r in known if all(run.folder.prediction(r.id).exists() for run in predicting.values())]
    return [_validation_image(predicting, record) for record in _evenly(having, first)]


def _has_maps(run: Run, record: Record) -> bool:
    return run.folder.maps(record.id).exists()


def _evenly(records: Sequence[Record], run: Run) -> list[Record]:
    count = min(run.recipe.report.num_images, len(records))
    return [records[i] for i in np.linspace(0, len(records) - 1, count).round().astype(int)] if count else []


def _best_threshold(run: Run) -> float:
    """The constant background of a run's best seeds."""
    scores = read_json(run.folder.scores)
    assert isinstance(scores, dict)
    return scores.get("seed_best", {}).get("threshold", run.recipe.evaluation.threshold)


def _training_image(runs: Mapping[str, Run], thresholds: Mapping[str, float], record: Record) -> ComparedImage:
    dataset = next(iter(runs.values())).dataset
    image = dataset.read_image(record)
    size = (image.shape[0], image.shape[1])
    seeds = {name: seed_mask(run, record, size, thresholds[name]) for name, run in runs.items()}
    masks = {
        name: read_mask(run.folder.mask(record.id), run.mask_ignore_value)
        for name, run in runs.items()
        if run.folder.is_done("make-masks")
    }
    tags = tuple(dataset.classes[tag] for tag in record.tags)
    return ComparedImage(record.id, tags, image, dataset.read_mask(record), {"seed": seeds, "pseudo mask": masks})


def seed_mask(run: Run, record: Record, size: tuple[int, int], threshold: float) -> Mask:
    """The mask straight from the maps: against the method's own background if it learns one, else the constant."""
    archive = read_maps(run.folder.maps(record.id))
    maps, classes = resized(archive.maps, size), archive.classes
    if archive.has_background:
        return argmax_classes(maps, classes)
    return argmax_classes(add_threshold(maps, threshold), np.concatenate([[0], classes]))


def _validation_image(runs: Mapping[str, Run], record: Record) -> ComparedImage:
    dataset = next(iter(runs.values())).dataset
    masks = {name: read_mask(run.folder.prediction(record.id), ignore_value=-1) for name, run in runs.items()}
    truth = dataset.read_mask(record) if record.has_mask else None
    return ComparedImage(record.id, (), dataset.read_image(record), truth, {"prediction": masks})


# ── page ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def body(
    title: str,
    figures: ComparisonFigures,
    classes: tuple[str, ...],
    training: Sequence[ComparedImage],
    validation: Sequence[ComparedImage],
) -> Markup:
    """Everything inside the page's ``main``."""
    names = [recipe.name for recipe in figures.recipes]
    gains = f"Points more than {names[0]}, seed by seed: mean and sample standard deviation of the differences."
    sections = [
        _section("Results", comparison_table.reading(figures), join(_results(figures), _protocols(figures))),
        _section("Gains", gains, _gains(figures)),
        _section("Training images", _SEEDS, _gallery(training, names, classes)),
        _section("Validation images", _PREDICTIONS, _gallery(validation, names, classes)),
        _section("Time", "Mean wall time of each stage, resumed calls added up.", _times(figures)),
        _section("Settings", _BUDGET, _settings(figures)),
        _section("Repeat", "The same command continues a comparison that was interrupted.", _repeat(figures)),
    ]
    notes = [*figures.warnings, *comparison_table.failures(figures)]
    return join(_header(title, figures, classes), note_list(notes), *sections, _footer())


_SEEDS = (
    "The run with the first seed of each recipe. A seed is drawn with the background that the method has learnt, or, "
    "where it learns none, with the threshold that is best for this run."
)
_PREDICTIONS = "Segmentation networks of the same runs, on images without tags."
_BUDGET = "What makes up the classifier's budget, and every other setting that differs, those of the methods aside."


def _section(title: str, lead: str, inside: Markup) -> Markup:
    if not inside:
        return Markup()
    return element("section", element("h2", title), element("p", lead, class_="lead"), inside)


def _header(title: str, figures: ComparisonFigures, classes: tuple[str, ...]) -> Markup:
    return element(
        "header",
        element("h1", title),
        element("p", ", ".join(recipe.name for recipe in figures.recipes), class_="sub"),
        element("p", f"{figures.data}.", class_="soft"),
        class_chips(classes),
    )


def _footer() -> Markup:
    return element("footer", "Written by tagmask. This file needs no other file.")


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _table(head: Sequence[str], rows: Sequence[Markup]) -> Markup:
    titles = element("tr", *(element("th", title, scope="col") for title in head))
    return element(
        "div", element("table", element("thead", titles), element("tbody", *rows)), class_="card scroll side-table"
    )


def _row(name: str, cells: Sequence[Markup]) -> Markup:
    return element("tr", element("th", name, scope="row"), *cells)


def _results(figures: ComparisonFigures) -> Markup:
    columns = comparison_table.columns(figures)
    best = [comparison_table.best_recipes(figures, column) for column in columns]
    rows = []
    for recipe in figures.recipes:
        marked = [recipe.name in names for names in best]
        cells = [_result(column, recipe, is_best) for column, is_best in zip(columns, marked, strict=True)]
        rows.append(_row(comparison_table.row_name(recipe), cells))
    return _table(["recipe", *(column.title for column in columns)], rows)


def _result(column: Column, recipe: RecipeFigures, is_best: bool) -> Markup:
    mean, _, deviation = column.text(recipe).partition(" ± ")
    small = element("small", f" ± {deviation}") if deviation else Markup()
    return element("td", element("b" if is_best else "span", mean or "\N{EN DASH}"), small, class_=is_best and "best")


def _gains(figures: ComparisonFigures) -> Markup:
    names = comparison_table.gained_scores(figures)
    if not names:
        return Markup()
    rows = [
        _row(
            comparison_table.row_name(recipe),
            [element("td", comparison_table.shown(recipe.gains.get(n), 1, 100, signed=True)) for n in names],
        )
        for recipe in figures.recipes[1:]
    ]
    return _table(["recipe", *(WORDS[name] for name in names)], rows)


def _protocols(figures: ComparisonFigures) -> Markup:
    known = comparison_table.protocols(figures)
    facts = [join(element("dt", WORDS[name]), element("dd", text)) for name, text in known.items()]
    return element("dl", *facts) if facts else Markup()


def _times(figures: ComparisonFigures) -> Markup:
    stages = list(dict.fromkeys(stage for recipe in figures.recipes for stage in recipe.stages))
    if not stages:
        return Markup()
    rows = []
    for recipe in figures.recipes:
        spreads = [*(recipe.stages.get(stage) for stage in stages), recipe.seconds]
        texts = ["\N{EN DASH}" if each is None else duration(each.mean) for each in spreads]
        rows.append(_row(comparison_table.row_name(recipe), [element("td", text) for text in texts]))
    return _table(["recipe", *stages, "all stages"], rows)


def _settings(figures: ComparisonFigures) -> Markup:
    names = [recipe.name for recipe in figures.recipes]
    methods = _row("method", [element("td", recipe.method) for recipe in figures.recipes])
    rows = [
        _row(path, [element("td", "none" if values[n] is None else str(values[n])) for n in names])
        for path, values in figures.settings.items()
    ]
    return _table(["setting", *names], [methods, *rows])


def _repeat(figures: ComparisonFigures) -> Markup:
    return command_and_environment(figures.command, figures.environment)


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _gallery(images: Sequence[ComparedImage], names: Sequence[str], classes: Sequence[str]) -> Markup:
    cards = [_card(image, names, classes) for image in images]
    return element("div", *cards, class_="examples") if cards else Markup()


def _card(image: ComparedImage, names: Sequence[str], classes: Sequence[str]) -> Markup:
    rows = [(kind, masks) for kind, masks in image.masks.items() if masks]
    shown = [name for name in names if any(name in masks for _, masks in rows)]
    cells = [cell for i, (kind, masks) in enumerate(rows) for cell in _cells(image, kind, masks, shown, i == 0)]
    columns = f"grid-template-columns:repeat({len(shown) + 2},minmax(100px,1fr))"
    pictures = element("div", *cells, class_="pictures", style=columns)
    header = example_header(image.id, image.tags, classes)
    return element("article", header, element("div", pictures, class_="scroll"), class_="example card wide")


def _cells(
    image: ComparedImage, kind: str, masks: Mapping[str, Mask], names: Sequence[str], is_first: bool
) -> list[Markup]:
    """One line of the card: photograph and truth (once), then each recipe's mask below its own column."""
    size = overlays.thumbnail_size(image.image.shape[:2], PICTURE_WIDTH)
    small = overlays.shrink_image(image.image, size)

    def drawn(mask: Mask | None, caption: str) -> Markup:
        if mask is None:
            return element("figure")
        return picture(overlays.overlay_mask(small, overlays.shrink_mask(mask, size)), caption, image.id)

    ahead = [picture(small, "photograph", image.id), drawn(image.truth, "ground truth")]
    blank = [element("figure"), element("figure")]
    return [*(ahead if is_first else blank), *(drawn(masks.get(name), f"{name}: {kind}") for name in names)]
