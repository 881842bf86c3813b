"""A comparison carried out: run by run, each in a process of its own, with the tables written anew after each.

A run in its own process has a peak memory of its own, and takes no other with it when it fails. Any number of calls, on
any machines that see the folder, carry out the same comparison together: each makes the runs that nobody else is at.
"""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tagmask.errors import TagmaskError
from tagmask.scoring.comparison import Comparison, PlannedRun
from tagmask.scoring.comparison_figures import ComparisonFigures, collect
from tagmask.scoring.comparison_latex import latex
from tagmask.scoring.comparison_table import write_tables
from tagmask.system.lock import CLAIMS
from tagmask.system.shards.claims import BEAT, beat, claimed, told, waited_for
from tagmask.system.storage import write_bytes

Failures = dict[Path, str]


def carry_out(comparison: Comparison, say: Callable[[str], None]) -> tuple[ComparisonFigures, Failures]:
    """Make or continue all runs that are unfinished and that no other call is at.

    One that fails keeps no other from being made.

    Args:
        comparison: which runs.
        say: told, before each run, where its output goes, or who is at it.

    Returns:
        The figures of all runs, and the reason of each that failed by its folder.
    """
    failures: Failures = {}
    for run in comparison.unfinished:
        claim = claim_of(comparison, run)
        with claimed(claim, str(run)) as is_ours:
            if not is_ours:
                say(f"{run}: left to another call: {told(claim)}; the last to end writes the whole table")
                continue
            if comparison.is_finished(run):
                continue  # another call has made it since the list was made
            say(f"{run}: see {run.log}")
            reason = execute(comparison, run)
        if reason is not None:
            failures[run.folder.path] = reason
        write_results(comparison, failures)
    return write_results(comparison, failures), failures


def claim_of(comparison: Comparison, run: PlannedRun) -> Path:
    """The file by which a call tells others that it is at a run."""
    return comparison.out / CLAIMS / f"{run.competitor.name}-seed-{run.seed}.json"


def write_results(comparison: Comparison, failures: Failures) -> ComparisonFigures:
    """Collect the figures of a comparison and write its tables: for programs, for people and for papers.

    The last call to end has seen all runs, so that it must not be another's older tables that are written last.
    """
    with waited_for(comparison.out / CLAIMS / "tables.json", "tables"):
        figures = collect(comparison, failures)
        write_tables(comparison.out, figures)
        write_bytes(comparison.out / "comparison.tex", latex(figures).encode())
    return figures


def refuse_failures(comparison: Comparison, failures: Failures) -> None:
    """Say which runs failed, and why.

    Raises:
        TagmaskError: any did.
    """
    if failures:
        head = f"{len(failures)} of {len(comparison.runs)} runs failed; the same command continues them:"
        raise TagmaskError("\n".join([head, *(f"{folder}: {reason}" for folder, reason in failures.items())]))


# ── one run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def execute(comparison: Comparison, run: PlannedRun) -> str | None:
    """Make or continue a run in a process of its own; returns why it failed, or None."""
    reason = _call(comparison.command(run), run.log)
    if reason is None and not comparison.has_scores(run):
        return f"it ended without its scores ({', '.join(sorted(run.competitor.wanted))})"
    return reason


def _call(command: list[str], log: Path) -> str | None:
    """Run a command of tagmask with this interpreter; returns why it failed, or None."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        file.write(f"$ {shlex.join(command)}\n".encode())
        file.flush()
        code = _exit_code([sys.executable, "-m", *command], file)
    return None if code == 0 else _reason(log.read_text(encoding="utf-8", errors="replace"), code)


def _exit_code(command: list[str], output: BinaryIO) -> int:
    """Run a command to its end, while the claims of this process stay alive; it does not outlive this process."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
        try:
            while True:
                try:
                    return process.wait(BEAT)
                except subprocess.TimeoutExpired:
                    beat()
        except BaseException:
            process.kill()
            raise


def _reason(text: str, code: int) -> str:
    r"""The error message at the end of what a process printed, or else its last line.

    Example:
        >>> _reason("training\nerror: no space left\nfree some", 2), _reason("", -9)
        ('no space left\nfree some', 'it ended with exit code -9')
    """
    _, found, message = text.rpartition("\nerror: ")
    if found:
        return message.strip()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("$ ")]
    return lines[-1].strip() if lines else f"it ended with exit code {code}"
