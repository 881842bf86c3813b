"""The body of a request, written to a file while it arrives: slow clients cost no memory, large ones are cut short."""

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

from tagmask.serving.server.limits import Limits
from tagmask.serving.server.refusals import GoneError, RefusedError, too_large
from tagmask.system.asgi import Receive

LINGER_SECONDS = 2.0


class Body:
    """What a client sends, piece by piece.

    Args:
        receive: gives the next message of the client.
        declared: the length that the client claims, if it does; believed only where it is too large.
    """

    def __init__(self, receive: Receive, declared: str | None) -> None:
        self._receive = receive
        self._declared = declared
        self.is_over = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces that have not been taken yet.

        Raises:
            GoneError: the client hung up before the end.
        """
        while not self.is_over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_over = True
                raise GoneError
            self.is_over = not message.get("more_body", False)
            yield message.get("body", b"")

    async def keep(self, path: Path, limits: Limits) -> None:
        """Write the body to a file of our own naming.

        Raises:
            RefusedError: it is empty, too large, too slow, or the disk is full.
            GoneError: the client hung up before the end.
        """
        most, seconds = limits.body_bytes, limits.send_seconds
        if self._declared is not None and self._declared.isdecimal() and int(self._declared[:20]) > most:
            raise too_large(f"{self._declared[:20]} bytes", f"{most}")
        try:
            async with asyncio.timeout(seconds):
                taken = await self._written(path, most)
        except TimeoutError:
            sentence = f"the photograph has not arrived within {seconds:g} s; send a smaller file, or send it faster"
            raise RefusedError(408, sentence) from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise RefusedError(503, "the server's disk is full; send the photograph again later", 30) from error
        if not taken:
            raise RefusedError(
                400, "the body is empty, expected the bytes of a photograph, as `curl --data-binary @photo.jpg` sends"
            )

    async def _written(self, path: Path, most: int) -> int:
        taken = 0
        with path.open("wb") as file:
            async for piece in self.pieces():
                taken += len(piece)
                if taken > most:
                    raise too_large(f"more than {most} bytes", f"{most}")
                file.write(piece)
        return taken

    async def discard(self) -> None:
        """Take the rest without keeping it, for a short time: a client that is still sending can then read its answer.

        Where both sides would close at once, the system throws away what has not been read yet, the answer included.
        """
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                async for _ in self.pieces():
                    pass
        except TimeoutError:
            return
