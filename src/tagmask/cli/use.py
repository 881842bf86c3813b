"""What a finished run is for: masks of new images."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from tagmask.cli.words import Command, say, say_notes
from tagmask.errors import TagmaskError

Word = TypeVar("Word", bound=str)

FORMS: tuple[Literal["bundle", "onnx", "openvino", "torch-export"], ...] = (
    "bundle",
    "onnx",
    "openvino",
    "torch-export",
)
INT8: tuple[Literal["dynamic", "static"], ...] = ("dynamic", "static")


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
    to: Annotated[
        str, typer.Option(metavar="FORM", help="What to make: bundle, onnx, openvino or torch-export.")
    ] = "bundle",
    int8: Annotated[
        str | None, typer.Option(metavar="KIND", help="Round an ONNX network to 8 bits: dynamic or static.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the run's data lie now; left out: where they lay.")
    ] = None,
) -> None:
    """Make a product of a run: its network, its settings, a model card and a script, in one folder."""
    form, kind = _one_of("--to", to, FORMS), None if int8 is None else _one_of("--int8", int8, INT8)
    from tagmask.export.product import export_run  # noqa: PLC0415

    say(f"compared with torch on {export_run(run, out, form, kind, data)}")
    say(f"written: {out}, which its README.md describes")


def _one_of(option: str, word: str, known: tuple[Word, ...]) -> Word:
    if word not in known:
        raise TagmaskError(f"{option} is {word!r}; choose one of {', '.join(known)}")
    return known[known.index(word)]


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
