"""Masks over HTTP."""

import signal
from typing import Annotated

import typer

from tagmask.cli.words import Command, say
from tagmask.system.extras import require

LOCAL = "127.0.0.1"


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Run folder with a trained segmenter, what `export` made of one, or hf://USER/NAME@REVISION.",
        ),
    ],
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0: on every network.")] = LOCAL,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0: any that is free.")] = 8000,
    allow_host: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="Further name by which it may be addressed, such as that of a proxy; repeatable."
        ),
    ] = [],  # noqa: B006
    max_megabytes: Annotated[int, typer.Option(min=1, help="Size of a photograph's file.")] = 32,
    max_megapixels: Annotated[
        int, typer.Option(min=1, help="Size of a photograph, and of all that are decoded at a time.")
    ] = 50,
    send_seconds: Annotated[float, typer.Option(min=0.1, help="For sending a photograph, and taking its mask.")] = 30,
    queue: Annotated[int, typer.Option(min=1, help="Photographs in hand at a time.")] = 32,
    queue_seconds: Annotated[float, typer.Option(min=0.1, help="How long a photograph waits for its turn.")] = 30,
    stop_seconds: Annotated[float, typer.Option(min=0, help="For what is in hand when asked to stop.")] = 30,
    tiles: Annotated[
        str,
        typer.Option(metavar="SIDE", help="Take photographs in tiles of SIDE pixels at their own scale."),
    ] = "none",
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, mps ...; left out: a GPU if there is one.")
    ] = None,
) -> None:
    """Serve masks until Ctrl-C or SIGTERM."""
    require("serve", "starlette", "uvicorn")
    from tagmask.serving.server import running  # noqa: PLC0415
    from tagmask.serving.server.limits import Limits  # noqa: PLC0415

    limits = Limits(
        body_bytes=max_megabytes * 2**20,
        pixels=max_megapixels * 1_000_000,
        send_seconds=send_seconds,
        queue=queue,
        queue_seconds=queue_seconds,
        stop_seconds=stop_seconds,
    )
    if running.serve(model, host, port, allow_host, limits, device, tiles, say) == signal.SIGINT:
        raise typer.Exit(128 + signal.SIGINT)


COMMANDS = (
    Command(
        "serve",
        "Segment photographs that are sent over HTTP.",
        "tagmask serve runs/photos --port 8000",
        serve,
        resumes=False,
    ),
)
