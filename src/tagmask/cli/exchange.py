"""Masks to other people's tools and back."""

from pathlib import Path
from typing import Annotated

import typer

from tagmask.cli.opening import open_run
from tagmask.cli.words import Command, MovedData, RunPath, say, say_notes
from tagmask.exchange.options import FormatName, Photographs, Segmentation, Which


def export_masks(
    folder: RunPath,
    to: Annotated[FormatName, typer.Option(help="The format, by the tool that reads it.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for the masks.")],
    which: Annotated[
        Which | None,
        typer.Option(
            help="Masks of this kind alone; left out: reviewed masks where there are any, else the best pseudo masks, "
            "without those that were rejected."
        ),
    ] = None,
    images: Annotated[
        Photographs | None,
        typer.Option(help="Copy the photographs, link to them, or leave them where they are; left out: as tools need."),
    ] = None,
    segmentation: Annotated[
        Segmentation, typer.Option(help="How `coco` holds regions; both keep every pixel.")
    ] = "rle",
    data: MovedData = None,
) -> None:
    """Write masks of a run as another tool reads them."""
    opened = open_run(folder, data, [], alone=False, scores=False)
    from tagmask.exchange import export_masks as exchange  # noqa: PLC0415

    written = exchange.export_masks(opened, to, out, which, images, segmentation)
    say_notes(written.notes)
    say(f"{written} written to {out} for {to}")


def import_masks(
    folder: RunPath,
    masks: Annotated[Path, typer.Argument(metavar="FOLDER", help="What the tool has written, or a JSON file of it.")],
    form: Annotated[FormatName, typer.Option("--from", help="The format, by the tool that wrote it.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace reviews of the same images that say otherwise.")
    ] = False,
    data: MovedData = None,
) -> None:
    """Keep masks that another tool has written as reviews of a run."""
    opened = open_run(folder, data, [], alone=False, scores=False)
    from tagmask.exchange import import_masks as exchange  # noqa: PLC0415

    kept = exchange.import_masks(opened, masks, form, overwrite)
    say_notes(kept.notes)
    for line in kept.lines():
        say(line)


COMMANDS = (
    Command(
        "export-masks",
        "Write masks of a run for CVAT, Label Studio, FiftyOne, Ultralytics, or as COCO or PASCAL VOC.",
        "tagmask export-masks runs/photos --to cvat --out for_cvat",
        export_masks,
        resumes=False,
    ),
    Command(
        "import-masks",
        "Keep masks that such a tool has written as reviews: accepted where nothing was changed, else corrected.",
        "tagmask import-masks runs/photos from_cvat --from cvat",
        import_masks,
    ),
)
