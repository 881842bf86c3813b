"""A finished run with settings changed: what does not depend on them is kept, the rest is done anew elsewhere."""

import json
from pathlib import Path
from typing import Any

from tagmask.config.recipes import changed_recipe
from tagmask.conventions import Goal
from tagmask.improving.beginning import copy_kept
from tagmask.scoring.evaluation import evaluate
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import open_run
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.table import STAGES, following
from tagmask.system.storage import write_json
from tagmask.system.whole_folders import writing_folder


def carry_out(source: Path, folder: Path, settings: tuple[str, ...], first: str, goal: Goal) -> dict[str, Any]:
    """The scores of a run whose settings are changed, in a folder of its own; the run stays as it is.

    Args:
        source: a finished run.
        folder: of the changed run; a second call goes on with it.
        settings: the changes.
        first: the first stage that they touch, which is done anew, and what follows from it.
        goal: how far to go.
    """
    if not (folder / "recipe.json").exists():
        _begin(source, folder, settings, first)
    run = open_run(folder)
    run_all(run, goal)
    return evaluate(run)


def _begin(source: Path, folder: Path, settings: tuple[str, ...], first: str) -> None:
    with writing_folder(folder) as draft:
        touched = {result for stage in following(first) for result in stage.writes}
        copy_kept(RunFolder(source), RunFolder(draft), {stage.name for stage in STAGES if touched & set(stage.writes)})
        claim = json.loads((source / "recipe.json").read_text())
        recipe = changed_recipe(RunFolder(source).recipe(), settings)
        write_json(draft / "recipe.json", {**claim, "recipe": recipe.model_dump(mode="json")})
