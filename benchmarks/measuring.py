"""Seconds and megabytes, measured the same way everywhere in this folder."""

import argparse
import ctypes
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def in_turn(*functions: Callable[[], object], repeats: int) -> list[float]:
    """Median seconds of functions measured in turn, so that a drifting machine slows all alike; after a warm-up."""
    for function in functions:
        function()
    rounds = [[seconds(function) for function in functions] for _ in range(repeats)]
    return [statistics.median(measured) for measured in zip(*rounds, strict=True)]


def seconds(function: Callable[[], object]) -> float:
    """Duration of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


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


def print_figures(run: Callable[[], dict[str, Any]], description: str | None) -> None:
    """The command line of a benchmark: print its figures, and write them to the file after ``--json``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    target = parser.parse_args().json
    text = json.dumps(run(), indent=2)
    print(text)
    if target is not None:
        target.write_text(text + "\n")
