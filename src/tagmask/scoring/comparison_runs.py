"""A comparison carried out: run by run, with the tables written anew after each."""

from collections.abc import Callable
from pathlib import Path

from tagmask.errors import TagmaskError
from tagmask.scoring.comparison import Comparison, execute
from tagmask.scoring.comparison_figures import ComparisonFigures, collect
from tagmask.scoring.comparison_latex import latex
from tagmask.scoring.comparison_table import write_tables
from tagmask.system.storage import write_bytes

Failures = dict[Path, str]


def carry_out(comparison: Comparison, say: Callable[[str], None]) -> tuple[ComparisonFigures, Failures]:
    """Make or continue all runs that are unfinished; one that fails keeps no other from being made.

    Args:
        comparison: which runs.
        say: told, before each run, where its output goes.

    Returns:
        The figures of all runs, and the reason of each that failed by its folder.
    """
    failures: Failures = {}
    for run in comparison.unfinished:
        say(f"{run.competitor.name}, seed {run.seed}: see {run.log}")
        reason = execute(comparison, run)
        if reason is not None:
            failures[run.folder.path] = reason
        write_results(comparison.out, collect(comparison, failures))
    figures = collect(comparison, failures)
    write_results(comparison.out, figures)
    return figures, failures


def write_results(out: Path, figures: ComparisonFigures) -> None:
    """Write the tables of a comparison: for programs, for people and for papers."""
    write_tables(out, figures)
    write_bytes(out / "comparison.tex", latex(figures).encode())


def refuse_failures(comparison: Comparison, failures: Failures) -> None:
    """Say which runs failed, and why.

    Raises:
        TagmaskError: any did.
    """
    if failures:
        head = f"{len(failures)} of {len(comparison.runs)} runs failed; the same command continues them:"
        raise TagmaskError("\n".join([head, *(f"{folder}: {reason}" for folder, reason in failures.items())]))
