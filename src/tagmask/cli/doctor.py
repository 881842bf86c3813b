"""A look at the data before anything learns from them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagmask.cli.words import Command, Set, folder_or_url, say, show_table
from tagmask.errors import TagmaskError

if TYPE_CHECKING:
    from tagmask.config import Recipe
    from tagmask.config.choice import Choice
    from tagmask.doctor.examination import Examination
    from tagmask.doctor.tags.judge import Judge

RECIPE = "folder-cpu"

DataFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]",
        parser=folder_or_url,
        help="Data folder, or its URL; with --run the run's, toy recipes need none.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        help="Whose data settings hold, and whose pretrained backbone judges the tags; left out: the layout of the "
        "data is recognised.",
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Take data settings from this run, and look for tags that look wrong: its classifier judges its "
        "validation images; training images as with --check-tags.",
    ),
]
CheckTags = Annotated[
    bool,
    typer.Option(
        "--check-tags",
        help="Look for tags that look wrong, without a run: by classifiers that have not learned from the image.",
    ),
]
OutFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Also write doctor.html, with pictures, and doctor.json.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, instead of words.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with exit code 1 if there are warnings.")]


def doctor(
    data: DataFolder = None,
    recipe: RecipeOption = None,
    run: RunOption = None,
    check_tags: CheckTags = False,
    out: OutFolder = None,
    as_json: AsJson = False,
    strict: Strict = False,
    settings: Set = [],  # noqa: B006
) -> None:
    """Examine the data; the exit code is the verdict."""
    layout = _layout(data, recipe, run, settings)
    chosen, folder, check = _asked(data, recipe, run, check_tags, [*([layout.change] if layout else []), *settings])
    from tagmask.doctor import answers  # noqa: PLC0415
    from tagmask.doctor.examination import examine  # noqa: PLC0415

    others = [setting for setting in settings if not setting.startswith("data")]
    found = examine(chosen.data, folder, others, check, recipe=recipe, layout=layout)
    written = _write(found, out) if out is not None else ()
    if as_json:
        sys.stdout.write(f"{json.dumps(answers.as_json(found), indent=2)}\n")
    else:
        _tell(found)
        for path in written:
            say(f"written: {path}")
    raise typer.Exit(found.exit_code(strict))


def _layout(data: Path | None, recipe: str | None, run: Path | None, settings: list[str]) -> "Choice | None":
    """What is recognised of the way the data lie, where neither a recipe nor a run says it."""
    from tagmask.data.datasets.recognition import recognised  # noqa: PLC0415

    return recognised(data, settings) if recipe is None and run is None else None


def _asked(
    data: Path | None, recipe: str | None, run: Path | None, check_tags: bool, settings: list[str]
) -> "tuple[Recipe, Path | None, Judge | None]":
    """The recipe whose data settings hold, the data folder, and who judges the tags."""
    from tagmask.config.recipes import changed_recipe, load_recipe  # noqa: PLC0415

    known = None
    if run is None:
        chosen = load_recipe(recipe or RECIPE, settings)
    else:
        from tagmask.stages.run_folder import RunFolder  # noqa: PLC0415

        known = RunFolder(run)
        chosen = changed_recipe(known.recipe(), settings)
    folder = data or (None if known is None else known.data())
    if folder is None and chosen.data.kind != "toy":
        raise TagmaskError("no data folder was given; name it, as in `tagmask doctor photos`")
    if known is None and not check_tags:
        return chosen, folder, None
    from tagmask.doctor.tags.check import TagCheck  # noqa: PLC0415 (loads torch models, which nothing else here needs)

    return chosen, folder, TagCheck(chosen.backbone, known)


def _tell(found: "Examination") -> None:
    from tagmask.doctor import answers  # noqa: PLC0415

    say(f"{found.name if found.data is None else found.data}:")
    head, rows = answers.counts_table(found)
    if rows:
        show_table(head, rows)
    for line in (answers.sizes_sentence(found), *answers.finding_lines(found), *answers.closing_lines(found)):
        if line:
            say(line)


def _write(found: "Examination", out: Path) -> tuple[Path, Path]:
    from tagmask.doctor import answers  # noqa: PLC0415
    from tagmask.report import doctor_page  # noqa: PLC0415
    from tagmask.system.storage import write_json  # noqa: PLC0415

    write_json(out / "doctor.json", answers.as_json(found))
    return doctor_page.write(found, out / "doctor.html"), out / "doctor.json"


COMMANDS = (
    Command(
        "doctor",
        "Look at the data before a run: counts, pairs of classes, the same picture twice, tags that look wrong, what "
        "to expect. Exit code 0: a run can start; 2: it cannot; 1: it can, but there are warnings and --strict.",
        "tagmask doctor photos --out looked",
        doctor,
    ),
)
