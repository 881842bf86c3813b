"""One budget for the trainings of several recipes: as many steps as the first recipe has, or as many seconds.

A training is compared with the training of the same name of the first recipe; one that the first recipe lacks stays as
it is. Seconds of a step are measured on this machine, once, and what follows from them is written down.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from tagmask.choosing.automatic import measured, trainings
from tagmask.config import Recipe
from tagmask.config.recipes import load_recipe
from tagmask.conventions import Equal
from tagmask.data.datasets import open_dataset
from tagmask.errors import TagmaskError
from tagmask.system.storage import read_json_as, write_json
from tagmask.training.engine import num_steps

FILE = "budget.json"


class Training(NamedTuple):
    """Steps of a training, and seconds of one of them."""

    steps: int
    seconds: float


class EqualBudget(BaseModel):
    """What ``budget.json`` of a comparison holds.

    Attributes:
        equal: what all recipes have as much of as the first one.
        first: the recipe that the others are brought to, as it was named on the command line.
        steps: of each training, by recipe as it was named and by the name of the training's settings.
    """

    model_config = ConfigDict(frozen=True)

    equal: Equal
    first: str
    steps: dict[str, dict[str, int]]

    def settings(self, argument: str) -> tuple[str, ...]:
        """The changes to a recipe."""
        return tuple(f"{name}.steps={steps}" for name, steps in self.steps.get(argument, {}).items())


def equal_budget(
    arguments: Sequence[str], data: Path | None, out: Path, settings: Sequence[str], equal: Equal
) -> EqualBudget:
    """The steps of each recipe of a comparison; those that an earlier call has found are kept.

    Args:
        arguments: recipes as they are named, the first of which gives the budget.
        data: folder of the data.
        out: folder of the comparison.
        settings: changes to all recipes.
        equal: ``steps`` or ``seconds``.

    Raises:
        TagmaskError: the comparison began with another budget.
    """
    file = out / FILE
    known = EqualBudget(equal=equal, first=arguments[0], steps={})
    if file.exists():
        known = read_json_as(file, EqualBudget.model_validate, "choose another --out folder")
    if (known.equal, known.first) != (equal, arguments[0]):
        raise TagmaskError(
            f"the comparison in {out} began with the {known.equal} of {known.first} for all, and not with the "
            f"{equal} of {arguments[0]}; choose another --out folder"
        )
    new = [argument for argument in arguments if argument not in known.steps]
    if not new:
        return known
    find = _counted if equal == "steps" else _measured
    found = {name: find(load_recipe(name, settings), data, out) for name in dict.fromkeys([arguments[0], *new])}
    steps = {name: shared_steps(found[arguments[0]], found[name]) for name in new}
    known = known.model_copy(update={"steps": {**known.steps, **steps}})
    write_json(file, known.model_dump(mode="json"))
    return known


def shared_steps(first: Mapping[str, Training], own: Mapping[str, Training]) -> dict[str, int]:
    """Steps with which each training takes as long as that of the first recipe; at least one.

    >>> shared_steps({"training": Training(100, 0.5)}, {"training": Training(40, 1.0), "other": Training(9, 1.0)})
    {'training': 50, 'other': 9}
    """
    return {
        name: max(1, round(first[name].steps * first[name].seconds / training.seconds))
        if name in first
        else training.steps
        for name, training in own.items()
    }


def _counted(recipe: Recipe, data: Path | None, out: Path) -> dict[str, Training]:  # noqa: ARG001 (as ``_measured``)
    """The trainings of a recipe, each step taken for a second: equal seconds are then equal steps."""
    images = len(open_dataset(recipe.data, data, verify=False).split(recipe.data.train_split))
    return {name: Training(num_steps(config, images), 1.0) for name, config in trainings(recipe).items()}


def _measured(recipe: Recipe, data: Path | None, out: Path) -> dict[str, Training]:
    """The trainings of a recipe, timed on this machine."""
    stages = measured(recipe, data, out)[1].stages
    return {stage.training: Training(stage.units, stage.seconds) for stage in stages if stage.training is not None}
