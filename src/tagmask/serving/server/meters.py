"""What has happened so far, in the text format that Prometheus reads."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from itertools import accumulate

from tagmask.system.asgi import AsgiApp, Message, Receive, Scope, Send

KIND = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
GONE = 499  # no status of HTTP: the client hung up before it could get one


class Meters:
    """Counts requests, seconds and photographs.

    Args:
        paths: that are counted by their names; all others are counted as one.
    """

    def __init__(self, paths: Collection[str]) -> None:
        self.photographs = 0
        self.pixels = 0
        self._paths = frozenset(paths)
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request; the seconds of masks that were sent go into the histogram."""
        self._requests[path if path in self._paths else "other", status] += 1
        if path == "/predict" and status == 200:
            self._seconds[bisect_left(BOUNDS, seconds)] += 1
            self._total += seconds

    def text(self, waiting: int, in_hand: int) -> str:
        """Everything, with how many photographs wait for the network and how many requests for masks are in hand."""
        requests = [f'{{path="{path}",status="{status}"}} {n}' for (path, status), n in sorted(self._requests.items())]
        return "".join(
            (
                _metric("tagmask_requests_total", "counter", "Requests by path and status.", requests),
                self._histogram(),
                _metric("tagmask_photographs_total", "counter", "Photographs segmented.", [f" {self.photographs}"]),
                _metric("tagmask_pixels_total", "counter", "Pixels segmented.", [f" {self.pixels}"]),
                _metric("tagmask_queue_length", "gauge", "Photographs that wait for the network.", [f" {waiting}"]),
                _metric("tagmask_in_hand", "gauge", "Requests for masks that are in hand.", [f" {in_hand}"]),
            )
        )

    def _histogram(self) -> str:
        name = "tagmask_predict_seconds"
        bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        counts = list(accumulate(self._seconds))
        lines = [f'_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)]
        lines += [f"_sum {self._total:.6f}", f"_count {counts[-1]}"]
        return _metric(name, "histogram", "Seconds from the head of a request to the end of its mask.", lines)


def _metric(name: str, kind: str, text: str, values: list[str]) -> str:
    return "".join(
        f"{line}\n" for line in (f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(name + v for v in values))
    )


class Metered:
    """Counts every request that passes, with the status of its answer."""

    def __init__(self, app: AsgiApp, meters: Meters) -> None:
        self.app = app
        self.meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it when it is over."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = GONE, time.monotonic()

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self.meters.count(scope["path"], status, time.monotonic() - started)
