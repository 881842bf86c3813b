"""Writes the results section of ``README.md`` from the records: every number beside what it was measured with.

A record is a folder ``benchmarks/records/<date>_<recipe>_<hardware>/``; what it holds is told in ``records/README.md``.

Run: ``.venv/bin/python benchmarks/make_results.py``; ``--check`` only says whether the README is up to date.
"""

import argparse
import json
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagmask.scoring.comparison_figures import ComparisonFigures, read_figures
from tagmask.scoring.comparison_table import markdown

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
REQUIRED = ("Command", "Data", "Seeds", "Hardware")
SHOWN = ("Data", "Seeds", "Hardware", "Versions", "Commit", "Time")
NAMES = {
    "tags": "classifier, mean average precision",
    "seed_fixed": "seed, fixed threshold",
    "seed_best": "seed, best threshold",
    "seed_own": "seed, learnt background",
    "walk": "after the walk",
    "mask": "pseudo masks",
    "prediction": "segmentation network",
}
NO_RECORD = "No record yet."


@dataclass(frozen=True)
class Record:
    """One measured experiment.

    Attributes:
        name: of its folder.
        title: headline of its README.
        facts: the front lines of its README, by name.
        seeds: what ``scores.json`` held after each seed; empty for a comparison.
        comparison: of several recipes; None for a record of one.
    """

    name: str
    title: str
    facts: dict[str, str]
    seeds: list[dict[str, Any]]
    comparison: ComparisonFigures | None = None


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_records(folder: Path) -> list[Record]:
    """All records, newest first.

    Raises:
        ValueError: a record lacks a file or a front line.
    """
    return [read_record(path) for path in sorted(folder.iterdir(), reverse=True) if path.is_dir()]


def read_record(folder: Path) -> Record:
    """One record."""
    compared = (folder / "comparison.json").is_file()
    for needed in ("README.md", "comparison.json" if compared else "scores.json"):
        if not (folder / needed).is_file():
            raise ValueError(f"the record {folder.name} has no {needed}; add it, see records/README.md")
    title, facts = front_lines((folder / "README.md").read_text(encoding="utf-8"))
    missing = [name for name in REQUIRED if name not in facts]
    if missing:
        raise ValueError(f"the README of {folder.name} lacks the front line(s) {', '.join(missing)}; add them")
    if compared:
        return Record(folder.name, title, facts, [], read_figures(folder / "comparison.json"))
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return Record(folder.name, title, facts, content if isinstance(content, list) else [content])


def front_lines(text: str) -> tuple[str, dict[str, str]]:
    r"""The headline and the ``Name: value`` lines below it, up to the first line of another kind.

    >>> front_lines("# Cats\n\nSeeds: 0\nData: photos, 12 images\n\nThe cats sat still.\nNote: so they did.")
    ('Cats', {'Seeds': '0', 'Data': 'photos, 12 images'})
    """
    headline, *rest = [line.strip() for line in text.splitlines() if line.strip()]
    facts = {}
    for line in rest:
        found = re.fullmatch(r"([A-Z][a-z]+): (.+)", line)
        if not found:
            break
        facts[found[1]] = found[2]
    return headline.lstrip("# "), facts


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def section(records: list[Record]) -> str:
    """The Markdown between the markers."""
    return "\n\n".join(map(describe, records)) if records else NO_RECORD


def describe(record: Record) -> str:
    """Headline, facts, command and the tables of one record."""
    facts = [f"- {name}: {record.facts[name]}" for name in SHOWN if name in record.facts]
    command = record.facts["Command"].strip("`")
    link = f"- Record: [benchmarks/records/{record.name}](benchmarks/records/{record.name}/README.md)"
    return "\n".join([f"### {record.title}", "", *facts, link, "", "```sh", command, "```", "", table(record)])


def table(record: Record) -> str:
    """The scores of one recipe, a line each, or those of several, side by side."""
    if record.comparison is not None:
        return markdown(record.comparison).rstrip()
    rows = [row for name in NAMES if (row := score_row(name, record.seeds))]
    return "\n".join(["| score | % | protocol |", "|---|--:|---|", *rows])


def score_row(name: str, seeds: list[dict[str, Any]]) -> str | None:
    """The line of one score; None if not every seed has it. Several seeds: mean and sample standard deviation."""
    entries = [scores[name] for scores in seeds if name in scores]
    values = [entry.get("mean_iou", entry.get("mean_average_precision")) for entry in entries]
    if len(entries) < len(seeds) or None in values:
        return None
    percent = [100 * value for value in values]
    shown = f"{statistics.mean(percent):.1f}"
    if len(percent) > 1:
        shown += f" ± {statistics.stdev(percent):.1f}"
    protocols = dict.fromkeys(entry["protocol"] for entry in entries)
    return f"| {NAMES[name]} | {shown} | {' / '.join(protocols)} |"


def with_section(readme: str, text: str) -> str:
    """The README with ``text`` between the markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md must hold the lines {BEGIN} and {END} once each, in this order")
    return f"{readme[: readme.index(BEGIN)]}{BEGIN}\n{text}\n{readme[readme.index(END) :]}"


def main() -> None:
    """Write the section, or say that it is out of date."""
    parser = argparse.ArgumentParser(description="Write the results section of README.md from the records.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the section is out of date")
    asked = parser.parse_args()
    path = ROOT / "README.md"
    readme = path.read_text(encoding="utf-8")
    wanted = with_section(readme, section(read_records(ROOT / "benchmarks" / "records")))
    if asked.check:
        sys.exit("README.md: run benchmarks/make_results.py" if wanted != readme else 0)
    path.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
