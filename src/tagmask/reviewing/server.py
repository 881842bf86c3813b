"""The page over HTTP: files of the page, lists, pixels of one image, and the changes that come back."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from jaxtyping import Int
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tagmask.contracts import Record
from tagmask.errors import TagmaskError
from tagmask.reviewing.images import RunImages
from tagmask.reviewing.packing import pack, squeezed, unsqueezed
from tagmask.reviewing.progress import Progress
from tagmask.reviewing.regions import SPACINGS, superpixels
from tagmask.reviewing.saving import Desk, largest_change, read_change
from tagmask.stages.run import Run
from tagmask.system.asgi import AsgiApp
from tagmask.system.local_only import LocalOnly, new_token

HOST = "127.0.0.1"
LARGEST_BODY = 2**28
PAGE = {path.name: path for path in sorted((Path(__file__).parent / "page").iterdir()) if path.is_file()}
"""The files of the page; nothing else on the disk is sent."""

# By hand: what the system takes .js for may be wrong, and browsers then run nothing.
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEPT = {"cache-control": "private, max-age=86400"}  # what lies behind a version or never changes
_FRESH = {"cache-control": "no-store"}


class ReviewServer:
    """Answers the requests of the page about one run."""

    def __init__(self, run: Run) -> None:
        self._images = RunImages(run)
        self._desk = Desk(self._images)
        self._progress = Progress(self._images)

    @cached_property
    def application(self) -> Starlette:
        """All routes; the guard stands before them, see ``guarded``."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/page/{name}", self._page),
                Route("/run", self._run),
                Route("/reviews", self._reviews),
                Route("/progress", self._report),
                Route("/images/{place:int}/photo", self._photo),
                Route("/images/{place:int}/thumbnail", self._thumbnail),
                Route("/images/{place:int}/mask", self._mask),
                Route("/images/{place:int}/pseudo-mask", self._pseudo_mask),
                Route("/images/{place:int}/regions/{spacing}", self._regions),
                Route("/images/{place:int}/review", self._review),
                Route("/images/{place:int}/review", self._save, methods=["PUT"]),
            ],
            exception_handlers={TagmaskError: _explain},
        )

    def _page(self, request: Request) -> Response:
        path = PAGE.get(request.path_params.get("name", "index.html"))
        if path is None:
            raise HTTPException(404)
        return Response(path.read_bytes(), media_type=_KINDS[path.suffix], headers={"cache-control": "no-cache"})

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, request: Request) -> Response:  # noqa: ARG002 (starlette passes it)
        return _json(self._images.listing())

    def _reviews(self, request: Request) -> Response:  # noqa: ARG002
        return _json(self._images.states())

    def _report(self, request: Request) -> Response:  # noqa: ARG002
        return _json(self._progress.report())

    # ── pixels ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _photo(self, request: Request) -> Response:
        return Response(self._images.photo(self._record(request)), media_type="image/jpeg", headers=_KEPT)

    def _thumbnail(self, request: Request) -> Response:
        return Response(self._images.thumbnail(self._record(request)), media_type="image/jpeg", headers=_KEPT)

    def _mask(self, request: Request) -> Response:
        return _packed(self._images.mask(self._record(request)), _FRESH)

    def _pseudo_mask(self, request: Request) -> Response:
        return _packed(self._images.pseudo_mask(self._record(request)), _FRESH)

    def _regions(self, request: Request) -> Response:
        along = SPACINGS.get(request.path_params["spacing"])
        if along is None:
            raise HTTPException(404)
        return _packed(self._images.regions(self._record(request), along), _KEPT)

    def _review(self, request: Request) -> Response:
        return _json(self._images.state(self._record(request)))

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _save(self, request: Request) -> Response:
        record, body = self._record(request), await request.body()
        is_squeezed = request.headers.get("content-encoding") == "gzip"
        return await run_in_threadpool(self._keep, record, body, is_squeezed)

    def _keep(self, record: Record, body: bytes, is_squeezed: bool) -> Response:
        size = self._images.size(record)
        if is_squeezed:
            body = unsqueezed(body, largest_change(size))
        change, mask = read_change(body, size)
        return _json(asdict(self._desk.keep(record, change, mask)))

    def _record(self, request: Request) -> Record:
        """The image that is meant: a place in the list of the run, never a name or a path."""
        place, records = request.path_params["place"], self._images.records
        if place >= len(records):
            raise HTTPException(404)
        return records[place]


def _json(value: Any) -> Response:
    headers = _FRESH | {"content-encoding": "gzip"}
    return Response(squeezed(json.dumps(value).encode()), media_type="application/json", headers=headers)


def _packed(numbers: Int[np.ndarray, "h w"], headers: dict[str, str]) -> Response:
    headers = headers | {"content-encoding": "gzip"}
    return Response(squeezed(pack(numbers)), media_type="application/octet-stream", headers=headers)


async def _explain(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """What a person can put right, in words that the page shows."""
    return Response(str(error).encode(errors="backslashreplace"), 422, _FRESH, "text/plain")


# ── serving ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def guarded(run: Run, port: int, token: str) -> AsgiApp:
    """The application of a run that answers this machine alone, at addresses with the token.

    Raises:
        TagmaskError: the run has no masks yet; the command that makes them is named.
    """
    run.require("make-masks")
    return LocalOnly(ReviewServer(run).application, port, token, LARGEST_BODY)


def serve(run: Run, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; what is being saved then is saved first.

    Args:
        run: with pseudo masks.
        port: of this machine; 0: any that is free.
        announce: is told the address, token and all.

    Raises:
        TagmaskError: the run has no masks yet, or the port is taken.
    """
    run.require("make-masks")
    with _listening(port) as listener:
        port, token = listener.getsockname()[1], new_token()
        # Compiled while the person looks at the first image.
        threading.Thread(target=superpixels, args=(np.zeros((8, 8, 3), np.uint8), 2), daemon=True).start()
        config = uvicorn.Config(
            guarded(run, port, token), log_level="warning", access_log=False, lifespan="off", server_header=False,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        announce(f"http://{HOST}:{port}/{token}/")
        uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise TagmaskError(
            f"cannot listen at port {port} of {HOST}: {error.strerror}; choose another --port"
        ) from error
