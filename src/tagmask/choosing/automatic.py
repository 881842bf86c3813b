"""The recipe ``auto``: chosen after a look at data and machine, with reasons, and with the time that it will take."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from tagmask.choosing.choices import DataFacts, choose_recipe, choose_settings
from tagmask.choosing.estimate import Estimate, duration, estimate, fitted_steps
from tagmask.choosing.machine import Machine, this_machine
from tagmask.choosing.object_size import PoolingTrial, spread_over_classes, try_poolings
from tagmask.config import Recipe, TrainingConfig
from tagmask.config.choice import Choice
from tagmask.config.recipes import changed_recipe, load_recipe
from tagmask.contracts import Dataset, Record
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.recognition import recognised
from tagmask.data.orientation import shape_of
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone
from tagmask.stages.checks import check_all_weights
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder
from tagmask.system.workers import several_at_once

_LOOKED_AT = 200  # images whose size is read
_FEWEST_FOR_A_TRIAL = 10  # images of a class and without it: fewer tell nothing of either pooling


@dataclass(frozen=True)
class Automatic:
    """What was chosen.

    Attributes:
        recipe: all of it.
        choices: each with its reason, in their order.
        machine: that it was chosen for.
    """

    recipe: Recipe
    choices: tuple[Choice, ...]
    machine: Machine


def automatic(data: Path | None, settings: Sequence[str] = ()) -> Automatic:
    """Look at data and machine and choose a recipe; what a person has set is not chosen.

    Args:
        data: the data folder.
        settings: of the person, as for ``load_recipe``.

    Raises:
        TagmaskError: bad data or settings, or weights that cannot be had.
    """
    found = recognised(data, settings)
    layout = [] if found is None else [found]
    laid_out = [choice.change for choice in layout]
    plain = load_recipe("folder-cpu", [*laid_out, *settings])
    dataset = open_dataset(plain.data, data, verify=False)  # the run itself looks at every image
    machine = this_machine()
    facts = facts_of(dataset, plain)
    base = choose_recipe(facts, machine)
    chosen = choose_settings(str(base.value), facts, machine)
    set_by_hand = {setting.partition("=")[0].strip() for setting in settings}
    chosen = [choice for choice in chosen if not _is_set(choice.setting, set_by_hand)]
    recipe = load_recipe(str(base.value), [*laid_out, *(choice.change for choice in chosen), *settings])
    return Automatic(recipe, (*layout, base, *chosen), machine)


def _is_set(setting: str, by_hand: Set[str]) -> bool:
    """Whether a person has set it, or a block that it is in, or the other one of epochs and steps."""
    other = {"epochs": "steps", "steps": "epochs"}
    parent, _, last = setting.rpartition(".")
    twins = {setting, f"{parent}.{other[last]}"} if last in other else {setting}
    return any(twin == hand or twin.startswith(f"{hand}.") for twin in twins for hand in by_hand)


def facts_of(dataset: Dataset, recipe: Recipe) -> DataFacts:
    """What is to be known of the training images."""
    records = dataset.split(recipe.data.train_split)
    step = max(1, len(records) // _LOOKED_AT)
    found = several_at_once(partial(_longer_side, dataset), records[::step])
    sides = [side for side in found if side is not None]
    bound = recipe.data.largest_side or max(sides, default=0)
    counts = [sum(number in record.tags for record in records) for number in range(len(dataset.classes))]
    side = round(median(min(each, bound) for each in sides)) if sides else 0
    negatives = sum(not record.tags for record in records)
    return DataFacts(len(records), negatives, side, _trial(dataset, recipe, counts))


def _longer_side(dataset: Dataset, record: Record) -> int | None:
    """Pixels of an image's longer side as it is stored, or as it is read where it has no file; None: unreadable."""
    path = dataset.image_path(record)
    if path is None:
        return max(dataset.read_image(record).shape[:2])
    shape = shape_of(path)
    return None if shape is None else max(shape.stored)


def _trial(dataset: Dataset, recipe: Recipe, counts: Sequence[int]) -> PoolingTrial | None:
    """The trial of poolings, where there are images enough and weights that have seen any."""
    records = dataset.split(recipe.data.train_split)
    can_tell = any(min(count, len(records) - count) >= _FEWEST_FOR_A_TRIAL for count in counts)
    if not can_tell or recipe.backbone.weights == "none":
        return None
    check_all_weights(recipe)
    backbone = build_backbone(recipe.backbone).eval()
    return try_poolings(dataset, spread_over_classes(records, len(dataset.classes)), backbone)


def with_budget(
    run: Run, found: Estimate, seconds: float, by_hand: Set[str] = frozenset()
) -> tuple[Recipe, Estimate, list[Choice]]:
    """The recipe with as many steps as fit into a time, and how long it takes then.

    Args:
        run: with the recipe's own steps.
        found: how long it would take.
        seconds: what there is.
        by_hand: settings that a person has set; trainings whose steps are among them keep them.

    Raises:
        TagmaskError: not even the fewest steps fit.
    """
    recipe = run.recipe
    held = {name for name in trainings(recipe) if _is_set(f"{name}.steps", by_hand)}
    floors = {name: max(1, config.min_steps // 2) for name, config in trainings(recipe).items()}
    fitted = fitted_steps(found, seconds, floors, held)
    why = f"a budget of {duration(seconds)}."
    choices = [Choice(f"{name}.steps", steps, why) for name, steps in fitted.items()]
    stages = (replace(stage, units=fitted.get(stage.training or "", stage.units)) for stage in found.stages)
    changed = changed_recipe(recipe, [choice.change for choice in choices])
    return changed, replace(found, stages=tuple(stages)), choices


def trainings(recipe: Recipe) -> dict[str, TrainingConfig]:
    """The trainings of a recipe, by the name of their settings."""
    affinity = {} if recipe.affinity is None else {"affinity.training": recipe.affinity.training}
    return {"training": recipe.training, **affinity, "segmenter.training": recipe.segmenter.training}


def measured(recipe: Recipe, data: Path | None, out: Path) -> tuple[Run, Estimate]:
    """How long a recipe will take, before its folder is claimed."""
    run = Run(recipe, RunFolder(out), open_dataset(recipe.data, data, verify=False), data)
    return run, estimate(run)


def seconds_of(text: str) -> float:
    """A time as people write it: ``30m``, ``2h``, ``1h30m``, ``90s``.

    Raises:
        TagmaskError: it is none.

    >>> seconds_of("1h30m"), seconds_of("45m")
    (5400.0, 2700.0)
    """
    found = re.fullmatch(
        r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower()
    )
    if not found or not any(found.groups()):
        raise TagmaskError(f"--budget {text!r} is no time; expected hours, minutes or seconds such as 30m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds
