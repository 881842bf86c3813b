"""What a finished run is for: masks of new images."""

from pathlib import Path
from typing import Annotated

import typer

from tagmask.cli.words import Command, say, say_notes
from tagmask.conventions import Form, Int8
from tagmask.errors import TagmaskError


def predict(
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images.")],
    model: Annotated[
        Path, typer.Option(metavar="RUN", help="Run folder with a trained segmenter, or what `export` made of one.")
    ],
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


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder with a trained segmenter.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder; it appears whole or not at all.")],
    to: Annotated[Form, typer.Option(help="What the network becomes.")] = "bundle",
    int8: Annotated[
        Int8 | None, typer.Option(help="Round an ONNX network to 8 bits, by ranges found in every pass or beforehand.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the run's data lie now; left out: where they lay.")
    ] = None,
) -> None:
    """Make a product of a run: its network, its settings, a model card and a script, in one folder."""
    from tagmask.export.product import export_run  # noqa: PLC0415

    say(f"compared with torch on {export_run(run, out, to, int8, data)}")
    say(f"written: {out}, which its README.md describes")


COMMANDS = (
    Command(
        "predict",
        "Segment new, untagged images.",
        "tagmask predict new_photos --model runs/photos --out masks",
        predict,
        resumes=False,
    ),
    Command(
        "export",
        "Make a product of a run: one folder with the network as a bundle, ONNX, OpenVINO or torch.export, checked "
        "against torch on photographs of the run.",
        "tagmask export runs/photos --to onnx --out animals",
        export,
        resumes=False,
    ),
)
