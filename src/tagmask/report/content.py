"""What pages show, as plain data: whatever is computed has been computed, templates only lay it out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from tagmask.report.charts import Chart


class Tag(NamedTuple):
    """A class in words, and the mask value that gives its colour."""

    name: str
    value: int


@dataclass(frozen=True)
class Picture:
    """A small picture and what it shows."""

    caption: str
    pixels: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Card:
    """One image on its way through the stages.

    Attributes:
        id: name of the image.
        tags: those that are known.
        predicted_tags: those that the classifier finds; None if it was not asked.
        pictures: of the image, of its maps and masks; None leaves a gap in the grid.
        columns: of the grid; None for as many as there is room for.
        quality: of the pseudo mask, in [0, 1].
    """

    id: str
    tags: Sequence[Tag] = ()
    predicted_tags: Sequence[Tag] | None = None
    pictures: Sequence[Picture | None] = ()
    columns: int | None = None
    quality: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: in the cell.
        small: behind the text, in smaller letters.
        is_best: whether the text is the best of its column.
        share: in [0, 1], how much of the cell is tinted.
        bar: in [0, 1], a bar instead of the text.
    """

    text: str = ""
    small: str = ""
    is_best: bool = False
    share: float | None = None
    bar: float | None = None


class Row(NamedTuple):
    """One line of a table: what it is about, then its cells."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """Titles of the columns (none for a table without), lines, and a last line that sums them up."""

    head: Sequence[str]
    rows: Sequence[Row]
    last: Row | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One score and the sentence without which it means nothing.

    Attributes:
        name: such as "Seed, fixed threshold".
        protocol: what was scored, on which masks, with which knowledge.
        mean_iou: in [0, 1].
        pixel_accuracy: in [0, 1].
        iou: by class name, background included; None for a class that is left out.
    """

    name: str
    protocol: str
    mean_iou: float
    pixel_accuracy: float
    iou: Mapping[str, float | None]


@dataclass(frozen=True)
class ClassQueue:
    """The pseudo masks of the images that show a class.

    Attributes:
        name: of the class.
        number: of images that show it.
        lowest: of their masks, the worst first.
        highest: the best first.
    """

    name: str
    number: int
    lowest: Sequence[Card] = ()
    highest: Sequence[Card] = ()


@dataclass(frozen=True)
class ReviewQueue:
    """Which pseudo masks to look at.

    Attributes:
        qualities: of all pseudo masks, as a histogram.
        lowest: images to review first, worst first.
        highest: the images with the best pseudo masks, best first.
        of_classes: the same class by class.
        reviewed: how many have been looked at, in a sentence.
        command: which opens the page where they are looked at.
    """

    qualities: Chart
    lowest: Sequence[Card]
    highest: Sequence[Card] = ()
    of_classes: Sequence[ClassQueue] = ()
    reviewed: str = ""
    command: str = ""


@dataclass(frozen=True)
class ReportContent:
    """Everything the report of a run shows; a section with nothing in it is left out.

    Attributes:
        title: headline.
        recipe_name: name of the recipe.
        data_name: name of the data.
        classes: class names without background, in mask order.
        summary: a sentence or two below the headline.
        notes: observations a reader should act on, in words.
        scores: in the order of the stages.
        unscored: why there are no scores, in a sentence.
        iou: the scores class by class.
        training: images of the training split.
        validation: images of the validation split.
        is_segmented: whether the validation images have predictions.
        queue: which pseudo masks to look at.
        losses: one chart a trained network.
        chosen: what was chosen for the data and the machine, and why.
        times: wall time of each stage.
        recipe_yaml: the resolved recipe.
        command: command line that repeats the run.
        environment: versions and hardware, by name.
    """

    title: str
    recipe_name: str
    data_name: str
    classes: Sequence[str]
    summary: str = ""
    notes: Sequence[str] = ()
    scores: Sequence[ScoreRow] = ()
    unscored: str = ""
    iou: Table | None = None
    training: Sequence[Card] = ()
    validation: Sequence[Card] = ()
    is_segmented: bool = False
    queue: ReviewQueue | None = None
    losses: Sequence[Chart] = ()
    chosen: Table | None = None
    times: Table | None = None
    recipe_yaml: str = ""
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparisonContent:
    """Everything the page of a comparison shows; a section with nothing in it is left out.

    Attributes:
        title: headline.
        recipe_names: in the order they were named; the first is the one that the others are measured against.
        data: what the images are.
        classes: class names without background, in mask order.
        notes: what is not the same for all recipes, and which runs are missing.
        reading: what the figures of the results are, in a sentence.
        results: scores and costs of each recipe.
        protocols: the sentence behind each score, by its name.
        gains: points more than the first recipe.
        class_scores: IoU of each class, by what is scored.
        training: the same training images as every recipe sees them.
        validation: the same validation images as every recipe sees them.
        times: wall time of each stage.
        settings: side by side.
        command: command line that repeats the comparison.
        environment: versions and hardware, by name.
    """

    title: str
    recipe_names: Sequence[str]
    data: str
    classes: Sequence[str]
    notes: Sequence[str] = ()
    reading: str = ""
    results: Table | None = None
    protocols: Mapping[str, str] = field(default_factory=dict)
    gains: Table | None = None
    class_scores: Mapping[str, Table] = field(default_factory=dict)
    training: Sequence[Card] = ()
    validation: Sequence[Card] = ()
    times: Table | None = None
    settings: Table | None = None
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Remark(NamedTuple):
    """One finding: how bad it is (``stop``, ``warn`` or ``note``), what was found, why it matters, what to do."""

    severity: str
    what: str
    why: str
    do: str


@dataclass(frozen=True)
class DoctorContent:
    """Everything the page about a data set shows; a section with nothing in it is left out.

    Attributes:
        title: headline.
        data: what the images are.
        classes: class names without background, in mask order.
        verdict: ``stop``, ``warn`` or ``ready``.
        sentence: the verdict in words.
        remarks: findings, the worst first.
        counts: images of each class and split.
        sizes: of the images, in a sentence.
        twins: pairs that show the same picture, with a caption each.
        more_twins: how many pairs are not shown.
        doubts: images with a tag that looks wrong, and which.
        more_doubts: how many are not shown.
        expected: what to expect, a sentence each.
        reason: why the recipe is recommended.
        command: command line that runs it.
    """

    title: str
    data: str
    classes: Sequence[str]
    verdict: str
    sentence: str
    remarks: Sequence[Remark] = ()
    counts: Table | None = None
    sizes: str = ""
    twins: Sequence[Card] = ()
    more_twins: int = 0
    doubts: Sequence[Card] = ()
    more_doubts: int = 0
    expected: Sequence[str] = ()
    reason: str = ""
    command: str = ""


def tags_of(class_ids: Iterable[int], classes: Sequence[str]) -> tuple[Tag, ...]:
    """Tags of class ids that count from 0, without background.

    Example:
        >>> tags_of([1], ["cat", "dog"])
        (Tag(name='dog', value=2),)
    """
    return tuple(Tag(classes[i], i + 1) for i in class_ids)
