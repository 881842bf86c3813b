"""How far a long piece of work has come: a bar in a terminal, a line now and then everywhere else.

Other machines are told by claims, which are touched as the work goes on.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tagmask.system.shards.claims import beat

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 60.0


def track(items: Iterable[T], title: str, total: int, done: int = 0) -> Iterator[T]:
    """Yield the items while their number is shown on the error output of the first process.

    Args:
        items: what remains to be done.
        title: shown before the numbers.
        total: how many there are in all.
        done: how many were done before.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return iter(items)
    console = Console(stderr=True)
    has_bar = console.is_terminal and not console.is_dumb_terminal  # one that cannot move its cursor has none
    return _with_bar(items, title, total, done, console) if has_bar else _with_lines(items, title, total, done)


def _with_bar(items: Iterable[T], title: str, total: int, done: int, console: Console) -> Iterator[T]:
    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)
            beat()


def _with_lines(items: Iterable[T], title: str, total: int, done: int) -> Iterator[T]:
    """A line at the beginning, one about every minute, and one at the end."""
    began = last = time.monotonic()
    _say(f"{title}: {done} of {total}" + (" done before" if done else ""))
    number = done
    for item in items:
        yield item
        number += 1
        beat()
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and number < total:
            last = now
            _say(progress_line(title, number, total, number - done, now - began))
    _say(f"{title}: {number} of {total} in {clock(time.monotonic() - began)}")


def progress_line(title: str, number: int, total: int, made: int, seconds: float) -> str:
    """Share, rate and time left.

    Args:
        title: of the work.
        number: how many are done.
        total: how many there are in all.
        made: how many of those were done in this call.
        seconds: that this call has taken.

    Example:
        >>> progress_line("random walk", 300, 1600, 120, 60.0)
        'random walk: 300 of 1600 (19 %), 2 a second, 10:50 left'
    """
    rate = made / max(seconds, 1e-9)
    shown = f"{rate:.3g} a second" if rate >= 1 else f"{1 / rate:.3g} s each"
    return (
        f"{title}: {number} of {total} ({number / total:.0%}), {shown}, {clock((total - number) / rate)} left".replace(
            "%", " %"
        )
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any.

    Example:
        >>> clock(650), clock(7322)
        ('10:50', '2:02:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
