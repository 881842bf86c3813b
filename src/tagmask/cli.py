"""The command line. Heavy modules are imported inside the commands, so that help answers at once."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from tagmask.conventions import Goal
from tagmask.errors import TagmaskError
from tagmask.stages.table import STAGES
from tagmask.system.interruption import listen

if TYPE_CHECKING:
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

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A recipe (see `tagmask recipes`), or a .yaml file; +ppc behind it puts PPC around it."
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; its recipe is read from there.")]
Data = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Data folder; the toy recipes need none.")]
MovedData = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the data lie now, if they have moved.")]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Run folder: results go here, a second call continues it.")]
Until = Annotated[
    Goal, typer.Option(help="How far to go: maps of the images with masks, pseudo masks, or predictions.")
]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as training.rate=0.01; repeatable."),
]
SetHow = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change how the run is carried out or scored, such as training.workers=0; repeatable.",
    ),
]
Redo = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Forget this stage and all that builds on it, then make them again.")
]


def main() -> None:
    """Run the command line; bad input ends in one message and exit code 2, a signal in one that says how to go on."""
    listen()
    try:
        app()
    except TagmaskError as error:
        _say(f"error: {error}", Console(stderr=True))
        sys.exit(2)


def _command(name: str, text: str, example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A command whose help ends with an example, and that says how to go on when it is stopped."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def stoppable(*arguments: Any, **options: Any) -> None:
            try:
                function(*arguments, **options)
            except KeyboardInterrupt as stop:
                typer.echo("stopped. What is finished is kept; the same command goes on from there.", err=True)
                raise typer.Exit(getattr(stop, "code", 130)) from None

        app.command(name, help=text, short_help=text, epilog=f"Example:  {example}")(stoppable)
        return function

    return add


def _say(text: str, to: Console = console) -> None:
    """Print for people: as it is, never read as markup; of names that are no proper text, the bytes."""
    to.print(text.encode("utf-8", "backslashreplace").decode(), markup=False, highlight=False, soft_wrap=True)


def _show_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"tagmask {version('tagmask')}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None: ...


def _begin(recipe: str, data: Path | None, out: Path, settings: list[str]) -> "Run":
    from tagmask.config.recipes import load_recipe  # noqa: PLC0415

    checked = load_recipe(recipe, settings)
    # Only now: a typing error must not wait for torch.
    from tagmask.stages.run import begin_run  # noqa: PLC0415

    begun = _with_notes(begin_run(checked, data, out))
    _say(begun.found())
    return begun


def _open(folder: Path, data: Path | None, settings: list[str], alone: bool = True) -> "Run":
    from tagmask.stages.run import open_run  # noqa: PLC0415

    return _with_notes(open_run(folder, data, settings, alone))


def _with_notes(run: "Run") -> "Run":
    from tagmask.system.processes import this_process  # noqa: PLC0415

    for note in run.dataset.notes if this_process().is_main_process else ():
        _say(f"note: {note}")
    return run


def _forget(run: "Run", stage: str | None) -> None:
    from tagmask.stages.sharing import forget  # noqa: PLC0415

    if stage is not None and (names := forget(run, stage)) is not None:
        _say(f"forgotten: {', '.join(names) or 'nothing, as none of it had begun'}")


def _finish(run: "Run", until: Goal, redo: str | None) -> None:
    from tagmask.stages.pipeline import run_all  # noqa: PLC0415

    _forget(run, redo)
    run_all(run, until)
    _evaluate(run)


@_command(
    "run",
    "Run a recipe from tags to masks, a segmentation network and a report.",
    "tagmask run folder-cpu --data photos --out runs/photos",
)
def run(
    recipe: RecipeName,
    out: Out,
    data: Data = None,
    until: Until = "prediction",
    settings: Set = [],  # noqa: B006
    redo: Redo = None,
) -> None:
    """Run a recipe; the same command goes on with it."""
    _finish(_begin(recipe, data, out, settings), until, redo)


@_command(
    "resume",
    "Go on with a run, also with other workers or after its data have moved.",
    "tagmask resume runs/photos --data /new/place/photos",
)
def resume(
    folder: RunPath,
    data: MovedData = None,
    until: Until = "prediction",
    settings: SetHow = [],  # noqa: B006
    redo: Redo = None,
) -> None:
    """Go on with a run from its folder alone."""
    _finish(_open(folder, data, settings), until, redo)


@_command("demo", "Run everything on drawn scenes: no data, no download, about a minute and a half.", "tagmask demo")
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Run folder.")] = Path("runs/demo"),
    settings: Set = [],  # noqa: B006
) -> None:
    """Run the recipe `toy`."""
    run("toy", out, settings=settings)


@_command(
    "compare",
    "Run several recipes on the same data and write one table and one page.",
    "tagmask compare toy toy+ppc --seeds 3 --out runs/compare",
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE...", help="Recipes or .yaml files; the others are measured against the first."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of all runs and of the table; a second call continues.")
    ],
    data: Data = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe, with seeds 0, 1, ...")] = 1,
    until: Until = "prediction",
    settings: Set = [],  # noqa: B006
) -> None:
    """Run several recipes, each in a process of its own."""
    from tagmask.report import comparison_report  # noqa: PLC0415
    from tagmask.scoring.comparison import plan  # noqa: PLC0415
    from tagmask.scoring.comparison_runs import carry_out, refuse_failures  # noqa: PLC0415
    from tagmask.scoring.comparison_table import markdown  # noqa: PLC0415

    planned = plan(names, data, out, seeds, until, settings)
    for note in planned.dataset.notes:
        _say(f"note: {note}")
    figures, failures = carry_out(planned, _say)
    _say(markdown(figures))
    _say(f"page: {comparison_report.write(planned, figures)}")
    refuse_failures(planned, failures)


# ── stage by stage ───────────────────────────────────────────────────────────────────────────────────────────────────


@_command(
    "begin",
    "Check a recipe and its data and make the run folder, for going on stage by stage.",
    "tagmask begin folder-cpu --data photos --out runs/photos",
)
def begin(recipe: RecipeName, out: Out, data: Data = None, settings: Set = []) -> None:  # noqa: B006
    """Check everything, train nothing."""
    begun = _begin(recipe, data, out, settings)
    training, validation = len(begun.training_records), len(begun.validation_records)
    _say(f"{out}: {training} training and {validation} validation images; next: tagmask train-method {out}")


def _stage(name: str, text: str) -> None:
    def command(
        folder: RunPath,
        data: MovedData = None,
        settings: SetHow = [],  # noqa: B006
        redo: Annotated[bool, typer.Option("--redo", help="Forget it and all that builds on it first.")] = False,
    ) -> None:
        opened = _open(folder, data, settings)
        from tagmask.stages.pipeline import COMMANDS  # noqa: PLC0415

        _forget(opened, name if redo else None)
        COMMANDS[name](opened)

    _command(name, text, f"tagmask {name} runs/photos")(command)


for _each in STAGES:
    if _each.has_command:
        _stage(_each.name, _each.text)


@_command("evaluate", "Score what the run has made so far and write the report.", "tagmask evaluate runs/photos")
def evaluate(folder: RunPath, data: MovedData = None, settings: SetHow = []) -> None:  # noqa: B006
    """Score a run, finished or not."""
    _evaluate(_open(folder, data, settings, alone=False))


def _evaluate(opened: "Run") -> None:
    from tagmask.system.processes import this_process  # noqa: PLC0415

    if not this_process().is_main_process:
        return
    from tagmask.report.run_report import evaluate_and_write  # noqa: PLC0415
    from tagmask.scoring import evaluation  # noqa: PLC0415

    scores, page = evaluate_and_write(opened)
    for sentence in evaluation.unfinished(opened):
        _say(f"note: {sentence}")
    rows = [(name, f"{value:.1f}", protocol) for name, value, protocol in evaluation.summary(scores)]
    if rows:
        _table((f"{opened.recipe.name} on {opened.dataset.name}", "%", "protocol"), rows)
    else:
        _say("nothing to score: no image has a ground-truth mask (data.masks names them); see the report's pictures")
    _say(f"report: {page}")


@_command("report", "Write the report of a run anew, without scoring it again.", "tagmask report runs/photos")
def report(folder: RunPath, data: MovedData = None, settings: SetHow = []) -> None:  # noqa: B006
    """Write the report of a run, finished or not."""
    opened = _open(folder, data, settings, alone=False)
    from tagmask.report import run_report  # noqa: PLC0415

    _say(f"report: {run_report.write(opened)}")


# ── use ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@_command("predict", "Segment new, untagged images.", "tagmask predict new_photos --model runs/photos --out masks")
def predict(
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images.")],
    model: Annotated[Path, typer.Option(metavar="RUN", help="Run folder with a trained segmenter.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the masks (indexed PNG) and overlays.")],
    overlays: Annotated[bool, typer.Option(help="Also write the image with its mask drawn over it.")] = True,
) -> None:
    """Segment an image, or every image of a folder."""
    from tagmask.serving.predict_folder import predict_images  # noqa: PLC0415

    outcome = predict_images(images, model, out, overlays)
    for note in outcome.notes:
        _say(f"note: {note}")
    _say(f"{outcome.done} masks written to {out}")
    if outcome.failed:
        raise TagmaskError("\n".join([f"{len(outcome.failed)} image(s) could not be segmented:", *outcome.failed]))


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@_command("recipes", "List the recipes, or show one.", "tagmask recipes folder-cpu > mine.yaml")
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="Show this recipe's text.")] = None,
) -> None:
    """List the recipes with a line each, or print the YAML of one."""
    from tagmask.config.recipes import recipe_names, summary, text_with_wrappers  # noqa: PLC0415

    if name is None:
        _table(("recipe", "what it does"), [(known, summary(known)) for known in recipe_names()])
    else:
        typer.echo(text_with_wrappers(name), nl=False)


@_command("methods", "List the methods and affinity networks that recipes can name.", "tagmask methods")
def methods() -> None:
    """List those of the package and those of other installed packages."""
    from tagmask.config.affinity import AFFINITY_KINDS  # noqa: PLC0415
    from tagmask.config.methods import METHOD_KINDS  # noqa: PLC0415

    for setting, kinds in {"method.kind": METHOD_KINDS, "affinity.kind": AFFINITY_KINDS}.items():
        _table((setting, "what it is", "from"), kinds.listed())


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
