"""Who gets in: a door that counts, and an allowance of pixels, so that memory has a bound whatever is sent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tagmask.serving.server.refusals import RefusedError, too_late


class Door:
    """Lets so many in at a time, and nobody once it closes.

    Args:
        places: how many may be inside.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.inside = 0
        self.is_closing = False

    def refuse(self, retry_after: int) -> None:
        """Refuse if nobody gets in now.

        Raises:
            RefusedError: the server stops (503), or all places are taken (429).
        """
        if self.is_closing:
            raise RefusedError(503, "the server is stopping and takes no more; send the photograph again later", 5)
        if self.inside >= self.places:
            raise RefusedError(
                429,
                f"{self.inside} photographs are in hand, expected fewer than {self.places}; send this one again after "
                f"{retry_after} s",
                retry_after,
            )

    @contextmanager
    def entered(self, retry_after: int = 1) -> Iterator[None]:
        """Inside while the block lasts.

        Raises:
            RefusedError: as for ``refuse``.
        """
        self.refuse(retry_after)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


class Allowance:
    """Pixels that may be in memory at a time; first come, first served.

    Args:
        most: how many; a photograph that is larger comes in alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def of(self, pixels: int, deadline: float, seconds: float) -> AsyncIterator[None]:
        """Hold so many pixels while the block lasts.

        Args:
            pixels: how many.
            deadline: until when to wait for them, on the clock of the event loop.
            seconds: how long that is, to be told.

        Raises:
            RefusedError: they have not become free in time (503).
        """
        try:
            async with asyncio.timeout_at(deadline), self._turn:
                while self.taken and self.taken + pixels > self.most:
                    self._changed.clear()
                    await self._changed.wait()
                self.taken += pixels
        except TimeoutError:
            raise too_late(seconds) from None
        try:
            yield
        finally:
            self.taken -= pixels
            self._changed.set()
