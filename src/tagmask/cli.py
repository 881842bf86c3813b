"""The command line. Heavy modules are imported inside the commands, so that help answers at once."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tagmask.conventions import Goal
from tagmask.errors import TagmaskError

if TYPE_CHECKING:
    from tagmask.scoring.comparison import Comparison
    from tagmask.stages.run import Run

app = typer.Typer(
    name="tagmask",
    help="Image tags in, segmentation masks out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: the boxes cost a quarter of a second
)
console = Console()

RecipeName = Annotated[str, typer.Argument(help="Name of a recipe (see `tagmask recipes`) or a .yaml file.")]
Data = Annotated[Path | None, typer.Option(help="Data folder; the toy recipes need none.")]
Out = Annotated[Path, typer.Option(help="Run folder: results go here, a second call continues it.")]
Until = Annotated[
    Goal, typer.Option(help="How far to go: maps of the images with masks, pseudo masks, or predictions.")
]
Set = Annotated[list[str], typer.Option("--set", help="Change a setting, such as training.rate=0.01; repeatable.")]


def main() -> None:
    """Run the command line; bad input ends in one message and exit code 2."""
    try:
        app()
    except TagmaskError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
        sys.exit(2)


def _open(recipe: str, data: Path | None, out: Path, settings: list[str], begun: bool = False) -> "Run":
    from tagmask.config.recipes import load_recipe  # noqa: PLC0415

    checked = load_recipe(recipe, settings)
    # Only now: a typing error must not wait for torch.
    from tagmask.stages.run import open_run  # noqa: PLC0415
    from tagmask.system.processes import this_process  # noqa: PLC0415

    opened = open_run(checked, data, out, begun)
    for note in opened.dataset.notes if this_process().is_main_process else ():
        console.print(f"note: {note}", markup=False, highlight=False)
    return opened


# ── everything ───────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def run(
    recipe: RecipeName,
    out: Out,
    data: Data = None,
    until: Until = "prediction",
    settings: Set = [],  # noqa: B006
) -> None:
    """Run a recipe from tags to masks, a segmentation network and a report."""
    opened = _open(recipe, data, out, settings)
    from tagmask.stages.pipeline import run_all  # noqa: PLC0415

    run_all(opened, until)
    _evaluate(opened)


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE...", help="Recipes or .yaml files; the others are measured against the first."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of all runs and of the table; a second call continues.")],
    data: Data = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe, with seeds 0, 1, ...")] = 1,
    until: Until = "prediction",
    settings: Set = [],  # noqa: B006
) -> None:
    """Run several recipes on the same data and write one table and one page."""
    from tagmask.scoring import comparison  # noqa: PLC0415

    planned = comparison.plan(names, data, out, seeds, until, settings)
    for note in planned.dataset.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    _carry_out(planned)


def _carry_out(planned: "Comparison") -> None:
    from tagmask.report import comparison_report
    from tagmask.scoring import (
        comparison,
        comparison_figures,
        comparison_table,  # noqa: PLC0415
    )

    failures: dict[Path, str] = {}
    for each in planned.unfinished:
        console.print(f"{each.competitor.name}, seed {each.seed}: see {each.log}", markup=False, highlight=False)
        reason = comparison.execute(planned, each)
        if reason is not None:
            failures[each.folder.path] = reason
        comparison_table.write_tables(planned.out, comparison_figures.collect(planned, failures))
    figures = comparison_figures.collect(planned, failures)
    comparison_table.write_tables(planned.out, figures)
    console.print(comparison_table.markdown(figures), markup=False, highlight=False, soft_wrap=True)
    console.print(f"page: {comparison_report.write(planned, figures)}")
    if failures:
        lines = [f"{folder}: {reason}" for folder, reason in failures.items()]
        head = f"{len(failures)} of {len(planned.runs)} runs failed; the same command continues them:"
        raise TagmaskError("\n".join([head, *lines]))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
    settings: Set = [],  # noqa: B006
) -> None:
    """Run everything on drawn scenes: no data, no download, about a minute and a half."""
    run("toy", out, settings=settings)


# ── single stages ────────────────────────────────────────────────────────────────────────────────────────────────────


def _stage(name: str, text: str, function: str, first: bool = False) -> Callable[..., None]:
    def command(recipe: RecipeName, out: Out, data: Data = None, settings: Set = []) -> None:  # noqa: B006
        opened = _open(recipe, data, out, settings, begun=not first)
        from tagmask.stages import pipeline  # noqa: PLC0415

        getattr(pipeline, function)(opened)

    command.__doc__ = text
    return app.command(name)(command)


_stage("make-saliency", "Saliency maps of the training images, if the method learns from them.", "make_saliency", True)
_stage("train-method", "Train the classifier on tags.", "train_method", True)
_stage("make-maps", "Write activation maps of the training images.", "make_maps")
_stage("train-affinity", "Train the affinity network on confident map labels.", "train_affinity")
_stage("make-masks", "Random walk and CRF: from maps to pseudo masks.", "make_masks")
_stage(
    "make-instances", "Instance masks of the training images, if the recipe has `instances` (IRN).", "make_instances"
)
_stage("train-segmenter", "Train the segmentation network and predict the validation images.", "train_segmenter")


@app.command()
def evaluate(recipe: RecipeName, out: Out, data: Data = None, settings: Set = []) -> None:  # noqa: B006
    """Score what the run has made so far and write the report."""
    _evaluate(_open(recipe, data, out, settings, begun=True))


def _evaluate(opened: "Run") -> None:
    from rich.table import Table  # noqa: PLC0415

    from tagmask.system.processes import this_process  # noqa: PLC0415

    if not this_process().is_main_process:
        return
    from tagmask.report import run_report
    from tagmask.scoring import evaluation  # noqa: PLC0415

    scores = evaluation.evaluate(opened)
    table = Table("score", "%", "protocol", title=f"{opened.recipe.name} on {opened.dataset.name}")
    for name, value, protocol in evaluation.summary(scores):
        table.add_row(name, f"{value:.1f}", protocol)
    console.print(table)
    console.print(f"report: {run_report.write(opened)}")


# ── use ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def predict(
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images.")],
    model: Annotated[Path, typer.Option(help="Run folder with a trained segmenter.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks (indexed PNG) and overlays.")],
    overlays: Annotated[bool, typer.Option(help="Also write the image with its mask drawn over it.")] = True,
) -> None:
    """Segment new, untagged images."""
    from tagmask.serving.predict_folder import predict_images  # noqa: PLC0415

    done, failed = predict_images(images, model, out, overlays)
    console.print(f"{done} masks written to {out}")
    if failed:
        raise TagmaskError("\n".join([f"{len(failed)} image(s) could not be segmented:", *failed]))


@app.command()
def recipes(name: Annotated[str | None, typer.Argument(help="Show this recipe's text.")] = None) -> None:
    """List the recipes, or show one."""
    from rich.table import Table  # noqa: PLC0415

    from tagmask.config.recipes import WRAPPED, WRAPPER, recipe_names, recipe_text, summary  # noqa: PLC0415

    if name is not None:
        console.print(recipe_text(name.removesuffix(WRAPPED)), markup=False, highlight=False)
        if name.endswith(WRAPPED):
            console.print(f"# {WRAPPED}: all of `method` is the base of {WRAPPER}", markup=False, highlight=False)
        return
    table = Table("recipe", "what it does", box=None, pad_edge=False)
    for known in recipe_names():
        table.add_row(known, summary(known))
    console.print(table)
