"""The program: its commands in the order of its help, and how it ends."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from tagmask.cli import doctor, exchange, export, lists, prepare, review, runs, serve, stages, use
from tagmask.cli.cloud import sync
from tagmask.cli.cloud.opening import opened
from tagmask.cli.words import Command, say
from tagmask.errors import TagmaskError
from tagmask.system.environment import keep_freed_memory
from tagmask.system.interruption import listen, listen_no_more, loader_killed

COMMANDS = (
    *doctor.COMMANDS,
    *prepare.COMMANDS,
    *runs.COMMANDS,
    *stages.COMMANDS,
    *review.COMMANDS,
    *use.COMMANDS,
    *exchange.COMMANDS,
    *export.COMMANDS,
    *serve.COMMANDS,
    *sync.COMMANDS,
    *lists.COMMANDS,
)


def main() -> None:
    """Run the command line; bad input ends in one message and exit code 2, a signal in one that says how to go on."""
    listen()
    keep_freed_memory()
    try:
        app()
    except TagmaskError as error:
        _fail(error)
    except RuntimeError as error:
        if (killed := loader_killed(error)) is None:
            raise
        _fail(killed)
    finally:
        if "RANK" in os.environ and "torch" in sys.modules:  # one of several processes, which has loaded torch
            from tagmask.system.processes import part_ways  # noqa: PLC0415

            part_ways()


def _fail(error: TagmaskError) -> NoReturn:
    say(f"error: {error}", Console(stderr=True))
    sys.exit(2)


def _show_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"tagmask {version('tagmask')}")
        raise typer.Exit
    return wanted


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None: ...


def _stoppable(command: Command) -> Callable[..., None]:
    """What a command does, and how to go on when it is stopped."""

    @wraps(command.function)
    def stoppable(*arguments: Any, **options: Any) -> None:
        try:
            command.function(*map(opened, arguments), **{name: opened(each) for name, each in options.items()})
        except KeyboardInterrupt as stop:
            listen_no_more()
            then = "the same command goes on from there." if command.resumes else "the same command begins anew."
            typer.echo(f"stopped. What is finished is kept; {then}", err=True)
            raise typer.Exit(getattr(stop, "code", 130)) from None

    return stoppable


def _program(commands: tuple[Command, ...]) -> typer.Typer:
    """All commands as one program; the help of each ends with an example."""
    found = typer.Typer(
        name="tagmask",
        help="Image tags in, segmentation masks out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain text: the boxes cost a quarter of a second
    )
    found.callback()(_options)
    for each in commands:
        add = found.command(each.name, help=each.text, short_help=each.text, epilog=f"Example:  {each.example}")
        add(_stoppable(each))
    return found


app = _program(COMMANDS)
