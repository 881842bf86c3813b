"""What the parts of ``benchmarks/gpu.py`` share: sizes, rows that are printed as they come, a device's limits."""

import gc
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tagmask.contracts import Backbone

Figures = dict[str, Any]

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Network:
    """A backbone, and how many images a step of it sees."""

    name: str
    build: Callable[[], Backbone]
    batch: int


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        networks: which, the first of them in the checks.
        pixels: side of the images.
        checked_pixels: likewise in the checks, where the processor computes the maps, too.
        seconds: of each measurement, about.
        matrix: side of the matrices whose product is the limit.
        copied: numbers of the copy that measures the memory.
    """

    networks: tuple[Network, ...]
    pixels: int
    checked_pixels: int
    seconds: float
    matrix: int
    copied: int


@dataclass
class Report:
    """Rows that are printed and kept as they come.

    Attributes:
        device: where everything is measured.
        file: where the rows go, if anywhere.
        minutes: after so many nothing new is begun.
        rows: those found.
    """

    device: torch.device
    file: Path | None
    minutes: float
    rows: list[Figures] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def row(self, part: str, what: str, find: Callable[[], Figures]) -> Figures:
        """Measure, print and keep; an error is a row as well, as the others are worth having without it."""
        if time.perf_counter() - self.began > 60 * self.minutes:
            found: Figures = {"left_out": "no time left"}
        else:
            try:
                found = find()
            except Exception as error:
                found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        self.rows.append({"part": part, "what": what} | found)
        told = "  ".join(f"{name} {shown(value)}" for name, value in found.items())
        print(f"{time.perf_counter() - self.began:6.1f} s  {part:10} {what:55} {told}", flush=True)
        self._write()
        self._free()
        return found

    def _write(self) -> None:
        if self.file is not None:
            facts = {"device": name_of(self.device), "torch": torch.__version__, "rows": self.rows}
            self.file.write_text(json.dumps(facts, indent=2) + "\n")

    def _free(self) -> None:
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def failed(self) -> list[str]:
        """What ended in an error or out of tolerance, or was left out."""
        bad = [row for row in self.rows if {"error", "left_out"} & row.keys() or row.get("good") is False]
        return [f"{row['part']}: {row['what']}" for row in bad]


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def seconds_of(work: Callable[[], object], device: torch.device, target: float) -> float:
    """Seconds of a call, as the mean over about ``target`` seconds of them after two that warm up."""

    def timed(times: int) -> float:
        wait_for(device)
        began = time.perf_counter()
        for _ in range(times):
            work()
        wait_for(device)
        return (time.perf_counter() - began) / times

    timed(1)
    once = timed(1)
    return timed(min(200, math.ceil(target / once))) if target > once else once


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def mixed(device: torch.device, precision: str) -> AbstractContextManager:
    """As ``engine.train`` computes with ``training.precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def limits(report: Report, sizes: Sizes) -> dict[str, float]:
    """Operations a second of matrix products, by the precision whose limit they are."""
    n, found = sizes.matrix, {}
    for name, dtype, tf32 in (
        ("float32 proper", torch.float32, False),
        ("float32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        one, other = (torch.randn(n, n, device=report.device).to(dtype) for _ in range(2))

        torch.backends.cuda.matmul.allow_tf32 = tf32
        row = report.row(
            "limits", f"product of {n} x {n}, {name}", partial(multiplied, one, other, report.device, sizes)
        )
        found[name] = 1e12 * row.get("tera_operations_per_second", math.nan)
    torch.backends.cuda.matmul.allow_tf32 = False
    report.row("limits", "copy", lambda: {"gigabytes_per_second": copied(report.device, sizes)})
    return found


def multiplied(one: Tensor, other: Tensor, device: torch.device, sizes: Sizes) -> Figures:
    seconds = seconds_of(lambda: one @ other, device, sizes.seconds)
    return {"tera_operations_per_second": 2e-12 * len(one) ** 3 / seconds}


def copied(device: torch.device, sizes: Sizes) -> float:
    """Read and written."""
    source = torch.zeros(sizes.copied, device=device)
    target = torch.empty_like(source)
    return 8e-9 * sizes.copied / seconds_of(lambda: target.copy_(source), device, sizes.seconds)
