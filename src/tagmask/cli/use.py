"""What a finished run is for: masks of new images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagmask.cli.words import Command, ShardName, folder_or_url, say, say_notes
from tagmask.conventions import MaskFiles
from tagmask.errors import TagmaskError
from tagmask.system.cloud.urls import is_url

if TYPE_CHECKING:
    from tagmask.system.shards.shard import Shard


def predict(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", parser=folder_or_url, help="An image, or a folder of images; or a URL.")
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Run folder with a trained segmenter, what `export` made of one, a URL of either, or hf://USER/NAME@REVISION.",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder or URL for the masks (indexed PNG) and overlays.")],
    tiles: Annotated[
        str,
        typer.Option(
            metavar="SIDE",
            help="Take images in tiles of SIDE pixels at their own scale; none: scale large ones down; auto: tiles "
            "for large georeferenced ones.",
        ),
    ] = "auto",
    overlays: Annotated[bool, typer.Option(help="Also write the image with its mask drawn over it.")] = True,
    form: Annotated[
        MaskFiles,
        typer.Option("--format", help="`voc-submission`: the folder that the evaluation server of PASCAL VOC takes."),
    ] = "masks",
    tar: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With `voc-submission`: pack that folder too, such as results.tgz."),
    ] = None,
    shard: ShardName = None,
) -> None:
    """Segment an image, or every image of a folder."""
    if tar is not None and form != "voc-submission":
        raise TagmaskError("--tar packs a submission; add --format voc-submission")
    named = _shard(shard, form, out)
    from tagmask.system.cloud.mirror import written_to  # noqa: PLC0415

    with written_to(out, say, shard or "") as folder:
        if form == "voc-submission":
            from tagmask.serving.voc_submission import predict_submission  # noqa: PLC0415

            outcome = predict_submission(images, model, folder, tar)
        else:
            from tagmask.serving.predict_folder import predict_images  # noqa: PLC0415

            outcome = predict_images(images, model, folder, overlays, tiles, named)
    say_notes(outcome.notes)
    say(f"{outcome.done} masks written to {out}")
    if outcome.failed:
        raise TagmaskError("\n".join([f"{len(outcome.failed)} image(s) could not be segmented:", *outcome.failed]))


def _shard(name: str | None, form: MaskFiles, out: str) -> "Shard | None":
    if name is None:
        return None
    if form == "voc-submission":
        raise TagmaskError("--shard makes masks; a submission of 1456 images is made by one call")
    if name == "auto" and is_url(out):
        raise TagmaskError(f"--shard auto claims images in a folder that all calls see, and {out} is none; take I/N")
    from tagmask.system.shards.shard import shard_named  # noqa: PLC0415

    return shard_named(name)


COMMANDS = (
    Command(
        "predict",
        "Segment new, untagged images.",
        "tagmask predict new_photos --model runs/photos --out masks",
        predict,
        resumes=False,
    ),
)
