"""What commands share: their arguments and options, and how they speak."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tagmask.conventions import Goal
from tagmask.system.cloud.urls import Url, is_url

console = Console()


def folder_or_url(text: str) -> Path | Url:
    """What an argument names that may lie elsewhere; its copy is fetched before the command begins."""
    return Url(text) if is_url(text) else Path(text)


RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A recipe (see `tagmask recipes`), or a .yaml file; +ppc behind it puts PPC around it."
    ),
]
RecipeOrData = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe (see `tagmask recipes`) or a .yaml file, with --data; or a data folder alone, or `auto`: then "
        "data and machine decide.",
    ),
]
Budget = Annotated[
    str | None, typer.Option(metavar="TIME", help="With `auto`: as many steps as fit into a time, such as 30m or 2h.")
]
MasksForChoosing = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        help="Choose the strength of the background on half of so many masks, and judge it on the rest.",
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; its recipe is read from there.")]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", parser=folder_or_url, help="Data folder, or its URL; the toy recipes need none."),
]
MovedData = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", parser=folder_or_url, help="Where the data lie now, if they have moved."),
]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Run folder: results go here, a second call continues it.")]
OutOrNamed = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Run folder: results go here, a second call continues it; left out: `runs/` and the name of RECIPE, "
        "beside the data within these.",
    ),
]
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
        help="Change how the run is carried out or scored, such as workers=0; repeatable.",
    ),
]
SetCourse = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change how the run is carried out, such as workers=0; repeatable."
    ),
]
Redo = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Forget this stage and all that builds on it, then make them again.")
]

ShardName = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do every N-th image only, from the I-th on, beside other calls; `auto`: images that no other call has "
        "claimed. The last call finishes the rest.",
    ),
]


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: what is typed.
        text: what it does, in a sentence.
        example: a call of it, with which its help ends.
        function: what does it; its arguments are those of the command.
        resumes: whether the same command goes on where it was stopped.
    """

    name: str
    text: str
    example: str
    function: Callable[..., Any]
    resumes: bool = True


def say(text: str, to: Console | None = None) -> None:
    """Print for people: as it is, never read as markup; of names that are no proper text, the bytes."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    (to or console).print(shown, markup=False, highlight=False, soft_wrap=True)


def say_notes(notes: Iterable[str]) -> None:
    """Print remarks, one a line."""
    for note in notes:
        say(f"note: {note}")


def show_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
