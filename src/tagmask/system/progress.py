"""A progress bar with the time that is left, shown by the first process of a run on a terminal."""

import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int, done: int = 0) -> Iterator[T]:
    """Yield the items while a bar counts them.

    Args:
        items: what remains to be done.
        title: shown before the bar.
        total: how many there are in all.
        done: how many were done before.
    """
    console = Console(stderr=True, quiet=os.environ.get("LOCAL_RANK", "0") != "0")
    columns = (
        TextColumn("{task.description:<28}"),
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
