"""The queue before the network: one thread computes, and photographs of one size may go through together."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tagmask.contracts import ImageArray, MaskArray
from tagmask.errors import TagmaskError
from tagmask.serving.predict_folder import is_out_of_memory
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.refusals import RefusedError, too_late

Segment = Callable[[list[ImageArray]], list[MaskArray]]

_INERTIA = 0.9


@dataclass(eq=False)
class _Job:
    pixels: ImageArray
    mask: "asyncio.Future[MaskArray]"


class MaskQueue:
    """Masks of photographs, in the order in which they come; lives on one event loop.

    Args:
        segment: masks of photographs of one size; called in a thread of its own, never twice at a time.
        batch: how many photographs it takes at most.
        limits: how long photographs wait.
    """

    def __init__(self, segment: Segment, batch: int, limits: Limits) -> None:
        self._segment = segment
        self._batch = batch
        self._limits = limits
        self._waiting: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "network")
        self.seconds_each = 0.0

    def __len__(self) -> int:
        """Photographs that wait for the network."""
        return len(self._waiting)

    def seconds_for(self, photographs: int) -> int:
        """How long so many photographs take, by what the last ones took; 1 to 60 whole seconds."""
        return min(60, max(1, math.ceil(photographs * self.seconds_each)))

    async def mask_of(self, pixels: ImageArray, deadline: float) -> MaskArray:
        """The mask of a photograph.

        Args:
            pixels: as the predictor takes them.
            deadline: until when the network must have begun with it, on the clock of the event loop.

        Raises:
            RefusedError: it has not (503), or there is not enough memory for the photograph (413).
        """
        loop = asyncio.get_running_loop()
        job = _Job(pixels, loop.create_future())
        self._waiting.append(job)
        self._arrived.set()
        timer = loop.call_at(deadline, self._give_up, job)
        try:
            return await job.mask
        finally:
            timer.cancel()

    def _give_up(self, job: _Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            job.mask.set_exception(too_late(self._limits.queue_seconds))

    async def work(self) -> None:
        """Compute what comes, for ever."""
        while True:
            await self._arrived.wait()
            if self._batch > 1:
                await asyncio.sleep(self._limits.gather_seconds)
            jobs = self._next()
            if jobs:
                await self._compute(jobs)

    def _next(self) -> list[_Job]:
        """The first that waits, and others of its size; those whose client was sent away are dropped."""
        waiting = [job for job in self._waiting if not job.mask.done()]
        jobs = [job for job in waiting if job.pixels.shape == waiting[0].pixels.shape][: self._batch]
        self._waiting = deque(job for job in waiting if job not in jobs)
        if not self._waiting:
            self._arrived.clear()
        return jobs

    async def _compute(self, jobs: list[_Job]) -> None:
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            masks = await loop.run_in_executor(self._thread, self._segment, [job.pixels for job in jobs])
        except Exception as error:  # whatever it is, it concerns these photographs alone
            await self._failed(jobs, error)
            return
        for job, mask in zip(jobs, masks, strict=True):
            if not job.mask.done():
                job.mask.set_result(mask)
        each = (time.monotonic() - started) / len(jobs)
        self.seconds_each = _INERTIA * self.seconds_each + (1 - _INERTIA) * each if self.seconds_each else each

    async def _failed(self, jobs: list[_Job], error: Exception) -> None:
        """Try each alone, as the fault may be that of one, or of their number; what fails alone is told its client."""
        if len(jobs) > 1:
            for job in jobs:
                await self._compute([job])
        elif not jobs[0].mask.done():
            jobs[0].mask.set_exception(_explained(error))

    def close(self) -> None:
        """Let the thread end; photographs that wait are not computed."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _explained(error: Exception) -> Exception:
    if is_out_of_memory(error):
        return RefusedError(413, "there is not enough memory to segment the photograph; make it smaller")
    return RefusedError(422, str(error)) if isinstance(error, TagmaskError) else error
