"""A trained network handed to others: as a folder, or through the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from tagmask.cli.words import Command, MovedData, say
from tagmask.conventions import Form, Int8


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder with a trained segmenter.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder; it appears whole or not at all.")],
    to: Annotated[Form, typer.Option(help="What the network becomes.")] = "bundle",
    int8: Annotated[
        Int8 | None, typer.Option(help="Round an ONNX network to 8 bits, by ranges found in every pass or beforehand.")
    ] = None,
    data: MovedData = None,
) -> None:
    """Make a product of a run: its network, its settings, a model card and a script, in one folder."""
    from tagmask.export.product import export_run  # noqa: PLC0415

    say(f"compared with torch on {export_run(run, out, to, int8, data)}")
    say(f"written: {out}, which its README.md describes")


def push(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder with a trained segmenter, or a bundle.")],
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="Repository on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository can be seen by you alone.")] = False,
    data: MovedData = None,
) -> None:
    """Put a bundle on the Hub."""
    from tagmask.export import hub  # noqa: PLC0415

    say(f"pushed: {hub.push(model, repository, private, data)}")


COMMANDS = (
    Command(
        "export",
        "Make a product of a run: one folder with the network as a bundle, ONNX, OpenVINO or torch.export, checked "
        "against torch on photographs of the run.",
        "tagmask export runs/photos --to onnx --out animals",
        export,
        resumes=False,
    ),
    Command(
        "push",
        "Put the network of a run on the Hugging Face Hub, as a bundle: safetensors, settings, card; no code.",
        "tagmask push runs/photos me/animals",
        push,
        resumes=False,
    ),
)
