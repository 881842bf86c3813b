"""Folders brought to object storage and back."""

from typing import Annotated

import typer

from tagmask.cli.words import Command, say, say_notes

Where = "a folder of this machine, or a URL such as s3://bucket/photos"


def sync(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"What is copied: {Where}.")],
    target: Annotated[str, typer.Argument(metavar="DEST", help=f"Where to: {Where}.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove from DEST what SOURCE does not hold.")] = False,
    by_time: Annotated[
        bool,
        typer.Option(
            "--by-time",
            help="Compare sizes and times, not digests: for buckets whose ETags are none, such as those with KMS keys.",
        ),
    ] = False,
) -> None:
    """Copy what DEST lacks or holds otherwise."""
    from tagmask.system.cloud import sync as syncing  # noqa: PLC0415
    from tagmask.system.cloud.places import place_at  # noqa: PLC0415

    done = syncing.sync(place_at(source), place_at(target), delete, by_time)
    if done.passed_over:
        say_notes([f"{len(done.passed_over)} links and the like were passed over: {', '.join(done.passed_over[:10])}."])
    say(f"{done}; next time the same command copies what has changed")


COMMANDS = (
    Command(
        "sync",
        "Copy a folder to object storage or back: what is missing or differs.",
        "tagmask sync runs/photos s3://bucket/runs/photos",
        sync,
    ),
)
