"""Seconds and megabytes, measured the same way everywhere in this folder.

Seconds are those of the clock; with ``BENCH_CLOCK=processor`` those that the processor worked for this process, which
other work beside it leaves nearly alone. The work of loader processes is not among them.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tagmask.system.environment import keep_freed_memory

keep_freed_memory()  # as all commands do

CLOCK = os.environ.get("BENCH_CLOCK", "wall")
now = {"wall": time.perf_counter, "processor": time.process_time}[CLOCK]


class Median(float):
    """The median of repeated measurements, which it remembers.

    >>> Median([3.0, 1.0, 2.0]), Median([3.0, 1.0, 2.0]).repeats
    (2.0, (3.0, 1.0, 2.0))
    """

    repeats: tuple[float, ...]

    def __new__(cls, repeats: Sequence[float]) -> "Median":
        """Of one measurement at least."""
        found = super().__new__(cls, statistics.median(repeats))
        found.repeats = tuple(repeats)
        return found

    def __getnewargs__(self) -> tuple[tuple[float, ...]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (self.repeats,)


def in_turn(*functions: Callable[[], object], repeats: int) -> list[Median]:
    """Median seconds of functions measured in turn, so that a drifting machine slows all alike; after a warm-up."""
    for function in functions:
        function()
    rounds = [[seconds(function) for function in functions] for _ in range(repeats)]
    return [Median(measured) for measured in zip(*rounds, strict=True)]


def seconds(function: Callable[[], object]) -> float:
    """Duration of one call."""
    began = now()
    function()
    return now() - began


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function where no freed memory of earlier work can be taken up again."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_megabytes(function: Callable[[], object]) -> float | None:
    """Growth of resident memory (MiB) up to its peak during a call; None where Linux does not tell.

    Meant for ``in_new_process``, after a call on a small input that loads what is loaded once. What the function
    returns counts, as it is still there at the peak.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)  # or memory freed before would be taken up again unseen
        Path("/proc/self/clear_refs").write_text("5")  # starts the high-water mark anew
        before = _resident_kilobytes("VmRSS")
        function()
        return (_resident_kilobytes("VmHWM") - before) / 1024
    except (OSError, AttributeError):
        return None


def _resident_kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def held_megabytes() -> float | None:
    """The most memory (MiB) that this process has held so far; None where Linux does not tell."""
    try:
        return _resident_kilobytes("VmHWM") / 1024
    except OSError:
        return None


# ── what is printed and written ──────────────────────────────────────────────────────────────────────────────────────

Row = tuple[str, Any]
"""A figure or several with a dotted name; numbers in it are places in a list."""


def machine() -> dict[str, Any]:
    """What the figures of a run depend on."""
    import torch  # noqa: PLC0415 - what only reads figures needs none

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "clock": CLOCK,
    }


def leaves(found: object, name: str = "") -> Iterator[Row]:
    """The leaves of nested figures with dotted names.

    >>> [*leaves({"walk": {"seconds": 1.0}, "grid": [3, 4]})]
    [('walk.seconds', 1.0), ('grid.0', 3), ('grid.1', 4)]
    """
    members = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list | tuple) else ()
    for key, value in members:
        yield from leaves(value, f"{name}.{key}" if name else str(key))
    if not isinstance(found, dict | list | tuple):
        yield name, found


def nested(rows: Iterable[Row]) -> Any:
    """Figures by dotted names put together; whatever has the names 0, 1 ... is a list.

    >>> nested([("walk.grid", 3), ("walk.results.0", {"seconds": 1.0}), ("walk.results.1", {"seconds": 2.0})])
    {'walk': {'grid': 3, 'results': [{'seconds': 1.0}, {'seconds': 2.0}]}}
    """
    tree: dict[str, Any] = {}
    for name, figures in rows:
        *place, last = name.split(".")
        branch = tree
        for key in place:
            branch = branch.setdefault(key, {})
        branch[last] = figures
    return _with_lists(tree)


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    grown = {key: _with_lists(value) for key, value in tree.items()}
    return [*grown.values()] if grown and all(str(key).isdigit() for key in grown) else grown


def with_repeats(found: Any) -> Any:
    """Figures as they are written: beside each median, under its name and ``_repeats``, what it is the median of.

    >>> with_repeats({"seconds": Median([1.0, 3.0, 2.0]), "images": 4})
    {'seconds': 2.0, 'seconds_repeats': [1.0, 3.0, 2.0], 'images': 4}
    """
    if isinstance(found, dict):
        written = {}
        for key, value in found.items():
            written[key] = with_repeats(value)
            if isinstance(value, Median):
                written[f"{key}_repeats"] = [*value.repeats]
        return written
    if isinstance(found, list | tuple):
        return [with_repeats(value) for value in found]
    return float(found) if isinstance(found, Median) else found


def told(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, each printed as soon as it is there."""
    for name, figures in rows:
        for leaf, value in leaves(figures, name):
            print(f"{leaf:<60} {value:.4g}" if isinstance(value, float) else f"{leaf:<60} {value}", flush=True)
        yield name, figures


def write_figures(path: Path | None, found: Any) -> None:
    """Figures as JSON with what medians are made of, if a file is asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(with_repeats(found), indent=2) + "\n")


def print_figures(run: Callable[[], Iterable[Row]], description: str | None) -> Any:
    """The command line of a benchmark: print its figures as they come, and write them to the file after ``--json``.

    Returns:
        The figures.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    target = parser.parse_args().json
    found = nested(told(run()))
    write_figures(target, found)
    return found
