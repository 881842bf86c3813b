"""What a finished run is for: masks of new images, and masks that a person looks through."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tagmask.cli.opening import open_run
from tagmask.cli.words import Command, MovedData, RunPath, say, say_notes
from tagmask.errors import TagmaskError


def predict(
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images.")],
    model: Annotated[Path, typer.Option(metavar="RUN", help="Run folder with a trained segmenter.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the masks (indexed PNG) and overlays.")],
    overlays: Annotated[bool, typer.Option(help="Also write the image with its mask drawn over it.")] = True,
) -> None:
    """Segment an image, or every image of a folder."""
    from tagmask.serving.predict_folder import predict_images  # noqa: PLC0415

    outcome = predict_images(images, model, out, overlays)
    say_notes(outcome.notes)
    say(f"{outcome.done} masks written to {out}")
    if outcome.failed:
        raise TagmaskError("\n".join([f"{len(outcome.failed)} image(s) could not be segmented:", *outcome.failed]))


def review(
    folder: RunPath,
    data: MovedData = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of this machine; 0: any that is free.")] = 8001,
    browser: Annotated[bool, typer.Option(help="Open the page, where there is a display.")] = True,
) -> None:
    """Look through pseudo masks on a local page."""
    from tagmask.reviewing.packages import require_packages  # noqa: PLC0415

    require_packages()
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
        "predict",
        "Segment new, untagged images.",
        "tagmask predict new_photos --model runs/photos --out masks",
        predict,
        resumes=False,
    ),
    Command(
        "review",
        "Accept, reject and repaint pseudo masks on a page of this machine, least trustworthy first.",
        "tagmask review runs/photos",
        review,
    ),
)
