"""The page on which a person looks through the masks of a run."""

import os
import sys
from typing import Annotated

import typer

from tagmask.cli.opening import open_run
from tagmask.cli.words import Command, MovedData, RunPath, say
from tagmask.system.extras import require


def review(
    folder: RunPath,
    data: MovedData = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of this machine; 0: any that is free.")] = 8001,
    browser: Annotated[bool, typer.Option(help="Open the page, where there is a display.")] = True,
) -> None:
    """Look through pseudo masks on a local page."""
    require("review", "starlette", "uvicorn")
    opened = open_run(folder, data, [], alone=False, scores=False)
    from tagmask.reviewing.server import serve  # noqa: PLC0415

    def announce(address: str) -> None:
        say(f"review {folder} at {address}\nCtrl-C ends it; every decision is saved at once in {opened.folder.reviews}")
        if browser and _has_display():
            import webbrowser  # noqa: PLC0415

            webbrowser.open(address)

    serve(opened, port, announce)


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


COMMANDS = (
    Command(
        "review",
        "Accept, reject and repaint pseudo masks on a page of this machine, least trustworthy first.",
        "tagmask review runs/photos",
        review,
    ),
)
