"""What a report shows, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclass(frozen=True)
class ScoreRow:
    """One score and the sentence without which it means nothing.

    Attributes:
        name: such as "Seed, fixed threshold".
        protocol: what was scored, on which masks, with which knowledge.
        mean_iou: in [0, 1].
        pixel_accuracy: in [0, 1].
        iou: by class name, background included; None for a class that is left out.
        interval: 95 % confidence interval of the mean IoU, where few masks were scored.
    """

    name: str
    protocol: str
    mean_iou: float
    pixel_accuracy: float
    iou: Mapping[str, float | None]
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Example:
    """One image on its way through the stages. Maps may lie on any grid; masks have the image's size.

    Attributes:
        id: name of the image.
        image: the photograph.
        tags: class names, given or predicted.
        tags_predicted: whether the classifier chose the tags.
        maps: activation map of each tag.
        walks: map of each tag after the random walk.
        mask: pseudo mask.
        prediction: the segmenter's mask.
        truth: ground truth.
        quality: of the pseudo mask, in [0, 1].
    """

    id: str
    image: UInt8[np.ndarray, "h w 3"]
    tags: tuple[str, ...] = ()
    tags_predicted: bool = False
    maps: Mapping[str, Float[np.ndarray, "_ _"]] = field(default_factory=dict)
    walks: Mapping[str, Float[np.ndarray, "_ _"]] = field(default_factory=dict)
    mask: Int[np.ndarray, "h w"] | None = None
    prediction: Int[np.ndarray, "h w"] | None = None
    truth: Int[np.ndarray, "h w"] | None = None
    quality: float | None = None


@dataclass(frozen=True)
class ReportContent:
    """Everything a report shows, as plain data; what is empty is left out with a sentence that says so.

    Attributes:
        title: headline.
        recipe_name: name of the recipe.
        data_name: name of the data.
        classes: class names without background, in mask order.
        summary: a sentence or two below the headline.
        notes: observations a reader should act on, in words.
        scores: in the order of the stages.
        stage_seconds: wall time of each stage.
        log: logged steps: ``{"stage": str, "step": int, "losses": {name: value}, ...}``.
        training_examples: images of the training split.
        validation_examples: images of the validation split.
        lowest: images to review first, worst first; ``mask`` and ``quality`` are shown.
        highest: the images with the best pseudo masks.
        qualities: quality of every pseudo mask.
        recipe_yaml: the resolved recipe.
        command: command line that repeats the run.
        environment: versions and hardware, by name.
        reasons: why a section is empty, by its title; a general reason is given where none is.
    """

    title: str
    recipe_name: str
    data_name: str
    classes: tuple[str, ...]
    summary: str = ""
    notes: Sequence[str] = ()
    scores: Sequence[ScoreRow] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    log: Sequence[Mapping[str, object]] = ()
    training_examples: Sequence[Example] = ()
    validation_examples: Sequence[Example] = ()
    lowest: Sequence[Example] = ()
    highest: Sequence[Example] = ()
    qualities: Sequence[float] = ()
    recipe_yaml: str = ""
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
