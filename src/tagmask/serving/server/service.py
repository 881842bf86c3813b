"""What the server does with one photograph, from its first byte to its mask."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tagmask.contracts import ImageArray, MaskArray
from tagmask.inference.predictor import Predictor
from tagmask.inference.together import gains_together, masks_together
from tagmask.serving.server.admission import Allowance, Door
from tagmask.serving.server.answers import FORMATS, Answer
from tagmask.serving.server.bodies import Body
from tagmask.serving.server.decoding import decoded, pixel_count
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.mask_queue import MaskQueue
from tagmask.serving.server.meters import Meters

Result = TypeVar("Result")

PATHS = ("/", "/predict", "/classes", "/health", "/metrics", "/docs", "/openapi.json")


class Service:
    """A predictor at work for many clients.

    The network has a thread of its own, decoding and encoding have some others, and the event loop only waits. Bytes
    lie in files until they are decoded; decoded are at most ``limits.pixels`` at a time.

    Args:
        predictor: makes the masks.
        name: of the model, for people.
        folder: an empty folder for photographs on their way in.
        limits: what is taken on.
    """

    def __init__(self, predictor: Predictor, name: str, folder: Path, limits: Limits) -> None:
        self.predictor = predictor
        self.name = name
        self.limits = limits
        self.meters = Meters(PATHS)
        self.requests = Door(2 * limits.queue)
        self.photographs = Door(limits.queue)
        self.queue = MaskQueue(self._segment, limits.batch if gains_together(predictor) else 1, limits)
        self._folder = folder
        self._allowance = Allowance(limits.pixels)
        self._threads = ThreadPoolExecutor(limits.threads, "pictures")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names without background."""
        return tuple(self.predictor.classes)

    @property
    def retry_after(self) -> int:
        """Seconds after which a client that is sent away may come back."""
        return self.queue.seconds_for(self.photographs.inside)

    async def answer(self, body: Body, form: str) -> Answer:
        """The mask of the photograph that a client sends, in one of ``FORMATS``.

        Raises:
            RefusedError: it is not done.
            GoneError: the client hung up before the end.
        """
        self.photographs.refuse(self.retry_after)
        path = self._folder / secrets.token_hex(12)
        try:
            await body.keep(path, self.limits)
            with self.photographs.entered(self.retry_after):
                return await self._masked(path, form)
        finally:
            path.unlink(missing_ok=True)

    async def _masked(self, path: Path, form: str) -> Answer:
        seconds = self.limits.queue_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        count = await self._in_thread(pixel_count, path, self.limits.pixels)
        async with self._allowance.of(count, deadline, seconds):
            pixels = await self._in_thread(decoded, self.predictor, path)
            mask = await self.queue.mask_of(pixels, deadline)
            answer = await self._in_thread(FORMATS[form], pixels, mask, self.classes)
        self.meters.photographs += 1
        self.meters.pixels += count
        return answer

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _segment(self, images: list[ImageArray]) -> list[MaskArray]:
        if len(images) == 1:
            return [self.predictor(images[0])]
        return masks_together(self.predictor, images)

    def close(self) -> None:
        """Let all threads end."""
        self.queue.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
