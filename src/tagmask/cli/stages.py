"""A run stage by stage: begun, each stage by its name, scored."""

from collections.abc import Callable
from typing import Annotated

import typer

from tagmask.cli.opening import begin_run, do_shard, forget, open_run
from tagmask.cli.opening import evaluate as score
from tagmask.cli.words import Command, Data, MovedData, Out, RecipeName, RunPath, Set, SetCourse, SetHow, ShardName, say
from tagmask.errors import TagmaskError
from tagmask.stages.table import STAGES, Stage


def begin(recipe: RecipeName, out: Out, data: Data = None, settings: Set = []) -> None:  # noqa: B006
    """Check everything, train nothing."""
    begun = begin_run(recipe, data, out, settings)
    training, validation = len(begun.training_records), len(begun.validation_records)
    say(f"{out}: {training} training and {validation} validation images; next: tagmask train-method {out}")


RedoThis = Annotated[bool, typer.Option("--redo", help="Forget it and all that builds on it first.")]


def _training(name: str) -> Callable[..., None]:
    """What the command of a stage does that one process does, or several that a launcher has started."""

    def stage(
        folder: RunPath,
        data: MovedData = None,
        settings: SetCourse = [],  # noqa: B006
        redo: RedoThis = False,
    ) -> None:
        opened = open_run(folder, data, settings, scores=False)
        from tagmask.stages.pipeline import COMMANDS as STAGE_COMMANDS  # noqa: PLC0415

        forget(opened, name if redo else None)
        STAGE_COMMANDS[name](opened)

    return stage


def _of_each_image(name: str) -> Callable[..., None]:
    """What the command of a stage does whose images many processes may share."""
    whole = _training(name)

    def stage(
        folder: RunPath,
        data: MovedData = None,
        settings: SetCourse = [],  # noqa: B006
        redo: RedoThis = False,
        shard: ShardName = None,
    ) -> None:
        if shard is None:
            whole(folder, data, settings, redo)
            return
        if redo:
            raise TagmaskError(
                f"--redo and --shard: a shard would forget what the others make. Call `tagmask {name} {folder} --redo` "
                "first, stop it once it has forgotten, and then start the shards."
            )
        do_shard(folder, data, settings, name, shard)

    return stage


def evaluate(folder: RunPath, data: MovedData = None, settings: SetHow = []) -> None:  # noqa: B006
    """Score a run, finished or not."""
    score(open_run(folder, data, settings, alone=False))


def report(folder: RunPath, data: MovedData = None, settings: SetCourse = []) -> None:  # noqa: B006
    """Write the report of a run, finished or not."""
    opened = open_run(folder, data, settings, alone=False, scores=False)
    from tagmask.report import run_report  # noqa: PLC0415

    say(f"report: {run_report.write(opened)}")


def _command(stage: Stage) -> Command:
    function = _of_each_image if stage.is_per_image else _training
    return Command(stage.name, stage.text, f"tagmask {stage.name} runs/photos", function(stage.name))


COMMANDS = (
    Command(
        "begin",
        "Check a recipe and its data and make the run folder, for going on stage by stage.",
        "tagmask begin folder-cpu --data photos --out runs/photos",
        begin,
    ),
    *(_command(stage) for stage in STAGES if stage.has_command),
    Command(
        "evaluate", "Score what the run has made so far and write the report.", "tagmask evaluate runs/photos", evaluate
    ),
    Command(
        "report", "Write the report of a run anew, without scoring it again.", "tagmask report runs/photos", report
    ),
)
