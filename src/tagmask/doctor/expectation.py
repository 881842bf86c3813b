"""What to expect of some images, measured by what has been measured, and which recipe to take."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from tagmask.config import AnyData, FolderData, ToyData
from tagmask.config.recipes import load_recipe
from tagmask.conventions import default_run_folder
from tagmask.doctor.census import Census
from tagmask.doctor.image_findings import Sizes

AUTO = "auto"


@dataclass(frozen=True)
class Measured:
    """A set that a recipe has been measured on.

    Attributes:
        recipe: its name.
        record: the folder of its record in ``benchmarks/records``.
        images: training images.
        smallest: training images of the rarest class.
        largest: training images of the most frequent class.
        side: pixels of the longer side.
        minutes: wall time of the run on one core.
        masks: mean IoU of the pseudo masks, revised by the network, in percent.
        network: mean IoU of the network on new images in percent, mean of the seeds, as the other.
    """

    recipe: str
    record: str
    images: int
    smallest: int
    largest: int
    side: int
    minutes: int
    masks: float
    network: float


MEASURED = Measured("folder-cpu", "2026-11-27_folder-cpu_1core", 1600, 263, 380, 320, 49, 76.1, 70.0)

SMALL_OBJECTS = Measured("folder-cpu-small", "2026-11-26_folder-cpu-small_1core", 585, 19, 69, 416, 14, 41.3, 43.4)

FEW_MEASURED = (
    "136 of the measured photographs, 24 to 35 a class, gave masks of 53.2 % and a network of 43.7 % in one run"
)
"""What a run of few images gave; `benchmarks/LOG.md`, 2026-11-26, "Length of the walk, few photographs"."""

PART_OF_TRAININGS = 0.71
"""Of the measured time: the seconds of the three trainings among those of all stages in the record."""


def expectation(census: Census, sizes: Sizes | None, config: AnyData) -> tuple[str, ...]:
    """What to expect, a sentence each; of drawn scenes, which are no photographs, nothing.

    Args:
        census: of the images.
        sizes: of the images; None: they have none.
        config: how they are laid out.
    """
    if isinstance(config, ToyData):
        return ()
    counts = sorted(count for count in census.training_counts if count)
    yours = "none" if not counts else f"{counts[0]:,}" + (f" to {counts[-1]:,}" if counts[-1] > counts[0] else "")
    least = counts[0] if counts else 0
    return (
        f"Measured: {MEASURED.images:,} training photographs of six animal classes, {MEASURED.smallest} to "
        f"{MEASURED.largest} a class, {MEASURED.side} pixels: masks {MEASURED.masks} %, network on new photographs "
        f"{MEASURED.network} % mean IoU, in {MEASURED.minutes} minutes on one core.",
        f"Here: {census.training_images:,} training images, {yours} a class: {_compared(least)}",
        f"Time: about {_minutes(census.training_images)} on one core, images read at {MEASURED.side} pixels"
        + (_slower(sizes) if sizes else "."),
        "Things of less than about 40 pixels are hardly outlined by `folder-cpu`, whose maps have one cell for 16 "
        f"pixels a side. `{SMALL_OBJECTS.recipe}` has one for 4, and `tagmask run` takes it where objects are small. "
        f"Measured on {SMALL_OBJECTS.images} factory pictures of five defects, {SMALL_OBJECTS.smallest} to "
        f"{SMALL_OBJECTS.largest} a class: masks {SMALL_OBJECTS.masks} %, network {SMALL_OBJECTS.network} %.",
        *_background(census),
    )


def _background(census: Census) -> tuple[str, ...]:
    """What becomes of images without any background, where tags do not rule out that there is none."""
    if not census.training_images or census.untagged[census.train_split]:
        return ()
    return (
        "No training image is without a tag. What is on them but belongs to no class becomes background; where there "
        "is no such thing, as in tiles of tissue or of land, set `masks.background.rule=none`.",
    )


def _compared(smallest: int) -> str:
    if smallest >= MEASURED.smallest:
        return "as many or more; how well it goes depends on how much the classes look alike."
    if smallest >= MEASURED.smallest // 4:
        return "fewer; expect somewhat less, least of the rarest classes."
    return f"far fewer. {FEW_MEASURED}. Take a first run as a trial, and look at its report."


def _minutes(images: int) -> str:
    """Time: trainings have a fewest number of steps, the other stages go image by image.

    Example:
        >>> _minutes(1600), _minutes(16000), _minutes(10)
        ('49 minutes', '8 hours', '25 minutes')
    """
    share = images / MEASURED.images
    minutes = MEASURED.minutes * (PART_OF_TRAININGS * max(_floor(), share) + (1 - PART_OF_TRAININGS) * share)
    return f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"


def _floor() -> float:
    """The share of the measured steps that a training has at least."""
    recipe = load_recipe(MEASURED.recipe)
    assert recipe.affinity is not None
    trainings = (recipe.training, recipe.affinity.training, recipe.segmenter.training)
    epochs = (config.min_steps * config.batch_size / ((config.epochs or 1) * MEASURED.images) for config in trainings)
    return fmean(epochs)


def _slower(sizes: Sizes) -> str:
    factor = max(sizes.middle) / MEASURED.side
    return f"; yours have {max(sizes.middle)}, which takes several times as long." if factor >= 2 else "."


# ── which recipe ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Recommendation:
    """Which recipe to take.

    Attributes:
        recipe: its name; ``auto``: what fits the data, which needs no name.
        settings: changes to it, ``key=value``.
        reason: why, in a sentence.
    """

    recipe: str
    settings: tuple[str, ...]
    reason: str

    def command(self, data: str | None) -> str:
        """The command line that runs it, into a folder named after the data, or the recipe where there are none."""
        folder = shlex.quote(data) if data else ""
        what = folder if self.recipe == AUTO else f"{self.recipe} --data {folder}" if folder else self.recipe
        out = f"--out {shlex.quote(default_run_folder(Path(data or self.recipe)).as_posix())}"
        words = ["tagmask run", what, out]
        return " ".join([*words, *(f"--set {shlex.quote(setting)}" for setting in self.settings)])


def data_settings(config: AnyData) -> list[str]:
    """The ``key=value`` settings that make the data settings of a recipe for folders these.

    Example:
        >>> data_settings(FolderData(train_split="learn", val_split=None))
        ['data.train_split=learn', 'data.val_split=null']
    """
    usual, own = type(config)().model_dump(mode="json"), config.model_dump(mode="json")
    kind = [] if isinstance(config, FolderData) else [f"data.kind={config.kind}"]
    changed = {key: value for key, value in own.items() if value != usual[key]}
    return [*kind, *(f"data.{key}={_written(value)}" for key, value in changed.items())]


def _written(value: Any) -> str:
    """A value as a setting is typed: plain where it is a word, else as JSON, which YAML reads."""
    is_word = isinstance(value, str) and value.isidentifier() and yaml.safe_load(value) == value
    return value if is_word else json.dumps(value, ensure_ascii=False)


def recommended(config: AnyData, settings: Sequence[str], recipe: str | None = None) -> Recommendation:
    """The recipe that the images call for.

    Args:
        config: how they are laid out.
        settings: others that were asked for.
        recipe: that was asked for; None: none.
    """
    if isinstance(config, ToyData):
        return Recommendation("toy", tuple(settings), "The scenes are drawn; the recipe toy learns them from scratch.")
    added = [*data_settings(config), *settings]
    if recipe is not None:
        return Recommendation(recipe, tuple(added), "It is the recipe that was asked for.")
    why = (
        "`tagmask run` with a data folder alone looks at data and machine: it takes `folder-cpu`, or `folder` on a "
        "graphics card of 8 GB, or `folder-cpu-small` where objects are small. It says why, and how long it will take."
    )
    return Recommendation(AUTO, tuple(added), why)
