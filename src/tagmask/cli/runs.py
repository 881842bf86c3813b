"""Whole runs: one, a demonstration, several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from tagmask.cli.cloud.opening import local
from tagmask.cli.opening import begin_run, equal_budgets, finish, named_after, open_run, with_auto_chosen
from tagmask.cli.prepare import Whole, prepared
from tagmask.cli.words import (
    Budget,
    Command,
    Data,
    MasksForChoosing,
    MovedData,
    OutOrNamed,
    RecipeOrData,
    Redo,
    RunPath,
    Set,
    SetHow,
    Until,
    say,
    say_notes,
)
from tagmask.conventions import Equal


def run(
    recipe: RecipeOrData,
    out: OutOrNamed = None,
    data: Data = None,
    until: Until = "prediction",
    budget: Budget = None,
    masks_for_choosing: MasksForChoosing = None,
    settings: Set = [],  # noqa: B006
    redo: Redo = None,
) -> None:
    """Run a recipe, or what fits the data; the same command goes on with it."""
    if masks_for_choosing is not None:
        number = f"masks.background.masks_for_choosing={masks_for_choosing}"
        settings = ["masks.background.factor=masks", number, *settings]
    finish(begin_run(local(recipe), data, out or named_after(recipe), settings, budget), until, redo)


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
    equal: Annotated[
        Equal | None,
        typer.Option(
            help="All trainings have as many steps as those of the first recipe, or as many seconds, measured on this "
            "machine; left out: each its own."
        ),
    ] = None,
    settings: Set = [],  # noqa: B006
) -> None:
    """Run several recipes, each in a process of its own."""
    from tagmask.report import comparison_report  # noqa: PLC0415
    from tagmask.scoring.comparison import SharedBudget, plan  # noqa: PLC0415
    from tagmask.scoring.comparison_runs import carry_out, refuse_failures  # noqa: PLC0415
    from tagmask.scoring.comparison_table import markdown  # noqa: PLC0415

    named = with_auto_chosen(names, data, out, settings)
    budget = SharedBudget(equal, equal_budgets(named, data, out, settings, equal))
    planned = plan(named, data, out, seeds, until, settings, ceiling, budget)
    say_notes(planned.dataset.notes)
    figures, failures = carry_out(planned, say)
    say(markdown(figures))
    say(f"page: {comparison_report.write(planned, figures)}")
    refuse_failures(planned, failures)


def reproduce(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe of a paper: voc-sipe, voc-eps ...")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of all runs and of the record; a second call continues.")
    ],
    data: Data = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with seeds 0, 1, ...")] = 3,
    counts: Whole = "published",
    settings: Set = [],  # noqa: B006
) -> None:
    """Prepare the data, run a published recipe with several seeds, and set its scores beside those of the paper."""
    from tagmask.choosing.machine import this_machine  # noqa: PLC0415
    from tagmask.report import comparison_report  # noqa: PLC0415
    from tagmask.scoring import published  # noqa: PLC0415
    from tagmask.scoring.comparison import plan  # noqa: PLC0415
    from tagmask.scoring.comparison_runs import carry_out, refuse_failures  # noqa: PLC0415
    from tagmask.scoring.record import write_record  # noqa: PLC0415

    reported = published.published(recipe)
    planned = plan([recipe], prepared(recipe, data, out / "data", settings, counts), out, seeds, "prediction", settings)
    say_notes(planned.dataset.notes)
    figures, failures = carry_out(planned, say)
    refuse_failures(planned, failures)
    layout = planned.competitors[0].recipe.data
    ours = published.images_of(planned.dataset, layout.train_split, layout.val_split)
    found = published.reproduced(figures.recipes[0], reported)
    table = published.reproduction_table(found, reported, ours, published.images_of_paper(recipe))
    say(table)
    say(f"page: {comparison_report.write(planned, figures)}")
    say(f"record: {write_record(planned, figures, str(this_machine()), table)}")


def improve(
    folder: RunPath,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The new run; left out: the old one's name and -improved.")
    ] = None,
    hold_back: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the corrected images: not learned from, they judge what changed.")
    ] = 0.25,
    again_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="The first stage to do again; left out: the classifier if tags were corrected, else the affinities.",
        ),
    ] = None,
    data: MovedData = None,
) -> None:
    """Learn again from what was said about masks."""
    first = open_run(folder, data, [], alone=False)
    from tagmask.improving.beginning import begin_improved  # noqa: PLC0415
    from tagmask.improving.changes import changes  # noqa: PLC0415

    improved = begin_improved(first, out or folder.with_name(f"{folder.name}-improved"), hold_back, again_from)
    say(improved.reviewed())
    finish(improved, "prediction", None)
    found = changes(first, improved)
    if found:
        say(f"on {len(improved.held_back)} corrected images that were held back, mean IoU in percent:")
    else:
        say("nothing is compared: no corrected image was held back, which takes two of them at least")
    for change in found:
        say(f"  {change}")
    say(f"improved run: {improved.folder.path}")


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
        "reproduce",
        "Prepare data, run a published recipe with three seeds, set it beside the paper, and write a record.",
        "tagmask reproduce voc-sipe --data VOC2012 --out runs/sipe",
        reproduce,
    ),
    Command(
        "improve",
        "Train again from what a person has said about masks, and tell what it changed on images held back.",
        "tagmask improve runs/photos",
        improve,
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
