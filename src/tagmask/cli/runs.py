"""Whole runs: one, a demonstration, several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from tagmask.cli.opening import begin_run, finish, open_run, with_auto_chosen
from tagmask.cli.words import (
    Budget,
    Command,
    Data,
    MovedData,
    Out,
    RecipeOrData,
    Redo,
    RunPath,
    Set,
    SetHow,
    Until,
    say,
    say_notes,
)


def run(
    recipe: RecipeOrData,
    out: Out,
    data: Data = None,
    until: Until = "prediction",
    budget: Budget = None,
    settings: Set = [],  # noqa: B006
    redo: Redo = None,
) -> None:
    """Run a recipe, or what fits the data; the same command goes on with it."""
    finish(begin_run(recipe, data, out, settings, budget), until, redo)


def resume(
    folder: RunPath,
    data: MovedData = None,
    until: Until = "prediction",
    settings: SetHow = [],  # noqa: B006
    redo: Redo = None,
) -> None:
    """Go on with a run from its folder alone."""
    finish(open_run(folder, data, settings), until, redo)


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Run folder.")] = Path("runs/demo"),
    settings: Set = [],  # noqa: B006
) -> None:
    """Run the recipe `toy`."""
    run("toy", out, settings=settings)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...", help="Recipes, `auto` or .yaml files; the others are measured against the first."
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of all runs and of the table; a second call continues.")
    ],
    data: Data = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe, with seeds 0, 1, ...")] = 1,
    until: Until = "prediction",
    ceiling: Annotated[
        bool, typer.Option("--ceiling", help="Also train each network on ground truth, to know what it could reach.")
    ] = False,
    settings: Set = [],  # noqa: B006
) -> None:
    """Run several recipes, each in a process of its own."""
    from tagmask.report import comparison_report  # noqa: PLC0415
    from tagmask.scoring.comparison import plan  # noqa: PLC0415
    from tagmask.scoring.comparison_runs import carry_out, refuse_failures  # noqa: PLC0415
    from tagmask.scoring.comparison_table import markdown  # noqa: PLC0415

    planned = plan(with_auto_chosen(names, data, out, settings), data, out, seeds, until, settings, ceiling)
    say_notes(planned.dataset.notes)
    figures, failures = carry_out(planned, say)
    say(markdown(figures))
    say(f"page: {comparison_report.write(planned, figures)}")
    refuse_failures(planned, failures)


COMMANDS = (
    Command(
        "run",
        "From tags to masks, a segmentation network and a report: by a recipe, or by what fits a data folder.",
        "tagmask run photos --out runs/photos",
        run,
    ),
    Command(
        "resume",
        "Go on with a run, also with other workers or after its data have moved.",
        "tagmask resume runs/photos --data /new/place/photos",
        resume,
    ),
    Command(
        "demo", "Run everything on drawn scenes: no data, no download, about a minute and a half.", "tagmask demo", demo
    ),
    Command(
        "compare",
        "Run several recipes on the same data and write one table and one page.",
        "tagmask compare toy toy+ppc --seeds 3 --out runs/compare",
        compare,
    ),
)
