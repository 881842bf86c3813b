"""The report of a run: one HTML file with everything in it, readable offline, without a script, by day and by night."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from tagmask.report.content import ReportContent
from tagmask.report.markup import Markup, element, join
from tagmask.report.sections import (
    class_table,
    example_list,
    loss_charts,
    repeat,
    review,
    score_list,
    swatch,
    time_table,
)
from tagmask.system.storage import write_bytes


def write_report(run_folder: Path, content: ReportContent) -> Path:
    """Write ``report.html`` into the run's folder, whole or not at all.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    write_page(run_folder / "report.html", content.title, body(content))
    return run_folder / "report.html"


def write_page(path: Path, title: str, shown: Markup) -> None:
    """Write a page in the style of the reports, whole or not at all.

    Args:
        path: of the page.
        title: of its window.
        shown: everything inside its ``main``.
    """
    template = Template(files("tagmask.report").joinpath("report.html").read_text(encoding="utf-8"))
    write_bytes(path, template.substitute(title=join(title), body=shown).encode())


# ── sections ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_SCORES = "Scores"
_CLASSES = "Classes"
_TRAINING = "Training images"
_VALIDATION = "Validation images"
_REVIEW = "Review queue"
_LOSSES = "Losses"
_TIMES = "Time"
_REPEAT = "Repeat this run"

_LEADS = {
    _SCORES: "Mean intersection over union. Two numbers can be compared only if the sentences beside them agree.",
    _CLASSES: "Intersection over union of each class, in percent; a dash where a class never occurs.",
    _TRAINING: "From tags to pseudo masks. Each map is scaled to its own largest value.",
    _VALIDATION: "The trained segmenter on images it has not learned from.",
    _REVIEW: "Pseudo masks sorted by quality, which is computed from their scores alone, without any ground truth: how "
    "clearly the classes separate, and whether every tag found its pixels. Correct the first ones first.",
    _LOSSES: "Mean of neighbouring logged steps.",
    _TIMES: "Wall time of each stage, resumed runs added up.",
    _REPEAT: "The resolved recipe holds every setting, also those left at their defaults.",
}
_REASONS = {
    _SCORES: "No image with a ground-truth mask was scored. Training needs none; a few would tell how far to trust it.",
    _CLASSES: "There are no scores to show by class.",
    _TRAINING: "No training image was chosen for this report.",
    _VALIDATION: "No validation image was chosen for this report.",
    _REVIEW: "This run has no pseudo masks yet.",
    _LOSSES: "This run has no training log.",
    _TIMES: "No stage has finished yet.",
    _REPEAT: "Neither recipe nor command was recorded.",
}


def body(content: ReportContent) -> Markup:
    """Everything inside the page's ``main``."""
    sections = {
        _SCORES: score_list(content.scores),
        _CLASSES: class_table(content.scores),
        _TRAINING: example_list(content.training_examples, content.classes),
        _VALIDATION: example_list(content.validation_examples, content.classes),
        _REVIEW: review(content),
        _LOSSES: loss_charts(content.log),
        _TIMES: time_table(content.stage_seconds),
        _REPEAT: repeat(content),
    }
    shown = [_section(title, inside, content.reasons) for title, inside in sections.items()]
    return join(_header(content), note_list(content.notes), *shown, _footer(content))


def _section(title: str, inside: Markup, reasons: Mapping[str, str]) -> Markup:
    if not inside:
        return element(
            "section", element("h2", title), element("p", reasons.get(title, _REASONS[title]), class_="empty")
        )
    return element("section", element("h2", title), element("p", _LEADS[title], class_="lead"), inside)


def _header(content: ReportContent) -> Markup:
    subtitle = f"Recipe {content.recipe_name} on {content.data_name}"
    return element(
        "header",
        element("h1", content.title),
        element("p", subtitle, class_="sub"),
        element("p", content.summary, class_="soft") if content.summary else Markup(),
        class_chips(content.classes),
    )


def class_chips(classes: Sequence[str]) -> Markup:
    """The colours of the classes, of the background and of unlabelled pixels."""
    names = [("background", 0), *((name, i + 1) for i, name in enumerate(classes))]
    chips = [element("li", swatch(value), name) for name, value in names]
    unlabelled = element("li", element("i", class_="swatch hatch"), "unlabelled")
    return element("ul", *chips, unlabelled, class_="chips", aria_label="Colours of the classes")


def note_list(notes: Sequence[str]) -> Markup:
    """What a reader should look at; empty where there is nothing."""
    if not notes:
        return Markup()
    items = [element("li", note) for note in notes]
    return element("section", element("ul", *items, class_="notes"), aria_label="What to look at")


def _footer(content: ReportContent) -> Markup:
    return element("footer", f"Written by tagmask for recipe {content.recipe_name}. This file needs no other file.")
