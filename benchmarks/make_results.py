"""Writes the results in ``README.md`` and ``docs`` from the records: every number beside what it was measured with.

A record is a folder ``benchmarks/records/<date>_<recipe>_<hardware>/``; what it holds is told in ``records/README.md``.
A page holds two markers, and what stands between them is made here:

- ``README.md``: one line for each recipe on photographs;
- ``docs/results.md``: every record with its circumstances and protocols;
- ``docs/methods/*.md``: the recipes that the first marker names.

Run: ``.venv/bin/python benchmarks/make_results.py``; ``--check`` only says which pages are out of date.
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
MARKERS = re.compile(r"<!-- results:begin( [^\n]*)? -->\n.*?<!-- results:end -->", re.DOTALL)
REQUIRED = ("Command", "Data", "Seeds", "Hardware")
SHOWN = ("Data", "Seeds", "Hardware", "Versions", "Commit", "Time")
NAMES = {
    "tags": "classifier, mean average precision",
    "seed_fixed": "seed, fixed threshold",
    "seed_best": "seed, best threshold",
    "seed_own": "seed, learnt background",
    "walk": "after the walk",
    "mask": "pseudo masks",
    "revised": "revised masks",
    "prediction": "segmentation network",
}
SHORT = {
    "seed_own": "seed, learnt background",
    "seed_best": "seed, best threshold",
    "walk": "walk",
    "mask": "pseudo masks",
    "revised": "revised masks",
    "prediction": "network",
}
IN_README = ("seed_best", "mask", "revised", "prediction")
DRAWN = "toy"  # recipes whose names begin so learn drawn scenes
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


# ── one record ───────────────────────────────────────────────────────────────────────────────────────────────────────


def section(records: list[Record], root: str = "") -> str:
    """All records, one below the other; ``root`` leads from the page to the repository."""
    return "\n\n".join(describe(record, root) for record in records) if records else NO_RECORD


def describe(record: Record, root: str) -> str:
    """Headline, facts, command and the tables of one record."""
    facts = [f"- {name}: {record.facts[name]}" for name in SHOWN if name in record.facts]
    command = record.facts["Command"].strip("`")
    link = f"- Record: [benchmarks/records/{record.name}]({place(record, root)})"
    return "\n".join([f"## {record.title}", "", *facts, link, "", "```sh", command, "```", "", table(record)])


def place(record: Record, root: str) -> str:
    """The path of a record's README."""
    return f"{root}benchmarks/records/{record.name}/README.md"


def table(record: Record) -> str:
    """The scores of one recipe, a line each, or those of several, side by side."""
    if record.comparison is not None:
        return markdown(record.comparison).rstrip()
    rows = [row for name in NAMES if (row := score_row(name, record.seeds))]
    return "\n".join(["| score | % | protocol |", "|---|--:|---|", *rows])


def score_row(name: str, seeds: list[dict[str, Any]]) -> str | None:
    """The line of one score; None if not every seed has it."""
    shown = percent(name, seeds)
    if shown is None:
        return None
    return f"| {NAMES[name]} | {shown} | {' / '.join(protocols(name, seeds))} |"


def percent(name: str, seeds: list[dict[str, Any]]) -> str | None:
    """A score in percent, of several seeds their mean and sample standard deviation; None if not every seed has it."""
    entries = [scores[name] for scores in seeds if name in scores]
    values = [entry.get("mean_iou", entry.get("mean_average_precision")) for entry in entries]
    if not values or len(entries) < len(seeds) or None in values:
        return None
    percents = [100 * value for value in values]
    shown = f"{statistics.mean(percents):.1f}"
    return shown if len(percents) == 1 else f"{shown} ± {statistics.stdev(percents):.1f}"


def protocols(name: str, seeds: list[dict[str, Any]]) -> list[str]:
    """The different protocols of one score."""
    return list(dict.fromkeys(scores[name]["protocol"] for scores in seeds if name in scores))


# ── several records ──────────────────────────────────────────────────────────────────────────────────────────────────


def recipe_of(record: Record) -> str:
    """The recipe that a record's command names first."""
    words = record.facts["Command"].strip("`").split()
    return words[2] if len(words) > 2 else ""


def of_recipes(records: list[Record], recipes: list[str]) -> list[Record]:
    """The newest record of each recipe, in the order of their names; no name: all on photographs."""
    found = {recipe_of(record): record for record in reversed(records) if record.comparison is None}
    chosen = recipes or sorted(name for name in found if not name.startswith(DRAWN))
    return [found[name] for name in chosen if name in found]


def side_by_side(records: list[Record], names: tuple[str, ...], root: str, minutes: bool = False) -> str:
    """A table for each data set: a line for each record, then what was scored, once."""
    sets = dict.fromkeys(record.facts["Data"] for record in records)
    groups = ([record for record in records if record.facts["Data"] == data] for data in sets)
    return "\n\n".join(on_one_data_set(group, names, root, minutes) for group in groups) or NO_RECORD


def on_one_data_set(records: list[Record], names: tuple[str, ...], root: str, minutes: bool) -> str:
    """A line for each record on the same data, then what was scored, once."""
    columns = [name for name in names if any(percent(name, record.seeds) for record in records)]
    head = ["recipe", *(f"{SHORT[name]} (%)" for name in columns), *(["minutes"] if minutes else [])]
    rows = [cells(record, columns, root, minutes) for record in records]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---", *["--:"] * (len(head) - 1)], *rows)]
    return "\n".join([*lines, "", *legend(records, columns)])


def cells(record: Record, columns: list[str], root: str, minutes: bool) -> list[str]:
    """One line of such a table."""
    scores = [percent(name, distinct(name, record.seeds)) or "" for name in columns]
    found = re.match(r"\d+(?= min)", record.facts.get("Time", ""))
    time = [found.group() if found else ""] if minutes else []
    return [f"[`{recipe_of(record)}`]({place(record, root)})", *scores, *time]


def distinct(name: str, seeds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All seeds; one of them where all have the same score, because runs have shared what it was measured on."""
    entries = [scores.get(name) for scores in seeds]
    return seeds[:1] if all(entry == entries[0] for entry in entries) else seeds


def legend(records: list[Record], columns: list[str]) -> list[str]:
    """Data and protocols of a table, each once. Thresholds differ from run to run, so their values are left out."""
    lines = [f"- Data: {data}." for data in dict.fromkeys(record.facts["Data"] for record in records)]
    for name in columns:
        said = [text for record in records for text in protocols(name, record.seeds)]
        short = dict.fromkeys(re.sub(r"threshold [\d.]+, chosen", "threshold chosen run by run", text) for text in said)
        lines.append(f"- {SHORT[name].capitalize()}: {' / '.join(short)}")
    return lines


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def pages() -> list[Path]:
    """The pages that hold results."""
    return [ROOT / "README.md", ROOT / "docs" / "results.md", *sorted((ROOT / "docs" / "methods").glob("*.md"))]


def page_text(path: Path, records: list[Record]) -> str:
    """A page with its results as the records have them; a page without markers as it is."""
    text = path.read_text(encoding="utf-8")
    if path.name == "README.md":
        return with_section(text, side_by_side(of_recipes(records, []), IN_README, "", minutes=True))
    if path.name == "results.md":
        return with_section(text, section(records, "../"))
    return MARKERS.sub(lambda found: chosen_section(found, records), text)


def chosen_section(found: re.Match[str], records: list[Record]) -> str:
    """The results of the recipes that a marker names."""
    recipes = (found[1] or "").split()
    shown = side_by_side(of_recipes(records, recipes), tuple(SHORT), "../../")
    return f"<!-- results:begin{found[1] or ''} -->\n{shown}\n{END}"


def with_section(page: str, text: str) -> str:
    """The page with ``text`` between the markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page must hold the lines {BEGIN} and {END} once each, in this order")
    return f"{page[: page.index(BEGIN)]}{BEGIN}\n{text}\n{page[page.index(END) :]}"


def main() -> None:
    """Write the results, or say which pages are out of date."""
    parser = argparse.ArgumentParser(description="Write the results in README.md and docs from the records.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    asked = parser.parse_args()
    records = read_records(ROOT / "benchmarks" / "records")
    wanted = {path: page_text(path, records) for path in pages()}
    stale = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    if asked.check:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"{names}: run benchmarks/make_results.py" if stale else 0)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")


if __name__ == "__main__":
    main()
