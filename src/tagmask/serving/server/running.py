"""The server as a process: it listens, it serves, it stops when it is asked to; needs `tagmask[serve]`."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import uvicorn

from tagmask.errors import TagmaskError
from tagmask.inference.hub import is_address
from tagmask.inference.predictor import load
from tagmask.serving.guards import LOOPBACK, is_loopback
from tagmask.serving.server.app import build_app
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.service import Service

HEAD_BYTES = 16 * 1024
LAST_BYTES_SECONDS = 5  # for answers that are on their way when all is done
_TRIAL = (64, 64, 3)

Say = Callable[[str], None]


def serve(
    model: str | Path,
    host: str,
    port: int,
    allowed: Collection[str],
    limits: Limits,
    device: str | None,
    tiles: int | str,
    say: Say,
) -> int | None:
    """Serve a trained run until a signal asks to stop.

    Args:
        model: what ``tagmask.load`` takes.
        host: address to listen at.
        port: likewise; 0: any that is free.
        allowed: further names by which the server may be addressed.
        limits: what is taken on.
        device: as for ``tagmask.load``.
        tiles: likewise.
        say: tells a person something.

    Returns:
        The number of the signal that stopped it.

    Raises:
        TagmaskError: there is no such model, or the address cannot be listened at.
    """
    listening = listener(host, port)
    with listening, tempfile.TemporaryDirectory(prefix="tagmask-") as folder:
        predictor = load(model, device, tiles)
        predictor(np.zeros(_TRIAL, np.uint8))  # what is compiled on first use is compiled now, and what fails fails now
        service = Service(predictor, _name(model), Path(folder), limits)
        address, bound = listening.getsockname()[:2]
        is_local = is_loopback(address)
        app = build_app(service, LOOPBACK | {host, address} if is_local else tuple(allowed) or None, allowed)
        config = uvicorn.Config(
            app, http="h11", ws="none", lifespan="on", log_level="error", access_log=False, server_header=False,
            proxy_headers=False, h11_max_incomplete_event_size=HEAD_BYTES, limit_concurrency=limits.connections,
            timeout_graceful_shutdown=LAST_BYTES_SECONDS,
        )  # fmt: skip
        server = StoppingServer(config, service, lambda: _greet(say, service.name, address, bound, is_local, allowed))
        server.run(sockets=[listening])
        say(server.farewell())
    return server.stopped_by


def _name(model: str | Path) -> str:
    return str(model) if is_address(model) else Path(model).resolve().name


def listener(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address.

    Raises:
        TagmaskError: it cannot be.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return _bound(socket.socket(family, kind, protocol), address)
    except (OSError, OverflowError, UnicodeError) as error:
        raise TagmaskError(
            f"cannot listen at {host}, port {port}: {error}; choose another --port, or an address of this machine"
        ) from error


def _bound(found: socket.socket, address: tuple[Any, ...]) -> socket.socket:
    try:
        if os.name == "posix":  # elsewhere it would let several servers share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found


def _greet(say: Say, name: str, address: str, port: int, is_local: bool, allowed: Collection[str]) -> None:
    place = f"[{address}]" if ":" in address else address
    say(f"serving {name} at http://{place}:{port} (Ctrl-C ends it)")
    if not is_local:
        names = "" if allowed else "; --allow-host says by which names it may be addressed"
        say(
            f"warning: {address} can be reached from other machines, and whoever reaches it may use it; put a proxy "
            f"before it that asks who they are{names}"
        )


class StoppingServer(uvicorn.Server):
    """Finishes what is in hand when it is asked to stop, and takes nothing new; asked twice, it stops at once.

    Connections that send no request, or no whole head of one, are closed after a while.

    Args:
        config: of uvicorn.
        service: what is in hand.
        greet: called once it listens.
    """

    def __init__(self, config: uvicorn.Config, service: Service, greet: Callable[[], None]) -> None:
        super().__init__(config)
        self._greet = greet
        self.stopped_by: int | None = None
        self._service = service
        self._until = 0.0
        self._left = 0
        self._idle: dict[Any, tuple[object, float]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        self._greet()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop."""
        if self.stopped_by is not None:
            self._left = self._service.requests.inside
            self.should_exit = self.force_exit = True
            return
        self.stopped_by = sig
        self._until = time.monotonic() + self._service.limits.stop_seconds
        self._service.requests.is_closing = True

    async def on_tick(self, counter: int) -> bool:
        """What is looked at ten times a second; True: stop now."""
        self._close_idle()
        if self.stopped_by is not None and not self.should_exit:
            self._left = self._service.requests.inside
            self.should_exit = not self._left or time.monotonic() > self._until
        return await super().on_tick(counter)

    def _close_idle(self) -> None:
        now, idle = time.monotonic(), {}
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is None or cycle.response_complete:
                before, since = self._idle.get(connection, (cycle, now))
                idle[connection] = (cycle, since if before is cycle else now)
        self._idle = idle
        for connection, (_, since) in idle.items():
            if now - since > self._service.limits.head_seconds:
                connection.transport.abort()

    def farewell(self) -> str:
        """How it ended."""
        if self._left:
            return f"stopped; {self._left} requests in hand were not answered"
        return "stopped; all requests in hand were answered"
