"""A comparison as Markdown and as CSV."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagmask.scoring.comparison_figures import (
    MASK_KEYS,
    SCORE_KEYS,
    ComparisonFigures,
    RecipeFigures,
    RunFigures,
    write_figures,
)
from tagmask.scoring.spreads import Spread
from tagmask.scoring.table import WORDS
from tagmask.system.storage import write_bytes


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        title: with its unit.
        value: of a recipe; None if it has none.
        digits: behind the point.
        factor: from the stored unit to the shown one.
        best: picks the best of several means.
    """

    title: str
    value: Callable[[RecipeFigures], Spread | None]
    digits: int
    factor: float
    best: Callable[[list[float]], float]

    def text(self, recipe: RecipeFigures) -> str:
        """Mean and deviation as they are shown."""
        return shown(self.value(recipe), self.digits, self.factor)


def columns(figures: ComparisonFigures) -> list[Column]:
    """The columns in which at least one recipe has a value."""
    scores = [Column(f"{WORDS[s]} (%)", lambda recipe, s=s: recipe.scores.get(s), 1, 100, max) for s in SCORE_KEYS]
    costs = [
        Column("of its ceiling (%)", lambda recipe: recipe.of_ceiling, 1, 100, max),
        _time(figures),
        Column("peak memory (GiB)", lambda recipe: recipe.memory, 2, 1 / 1024, min),
        Column("peak device memory (GiB)", lambda recipe: recipe.device_memory, 2, 1 / 1024, min),
    ]
    return [column for column in [*scores, *costs] if any(column.value(recipe) for recipe in figures.recipes)]


def _time(figures: ComparisonFigures) -> Column:
    longest = max((recipe.seconds.mean for recipe in figures.recipes if recipe.seconds), default=0.0)
    title, digits, factor = ("time (min)", 1, 1 / 60) if longest >= 600 else ("time (s)", 0, 1.0)
    return Column(title, lambda recipe: recipe.seconds, digits, factor, min)


def best_recipes(figures: ComparisonFigures, column: Column) -> set[str]:
    """Names of the recipes that are best in a column, as far as its digits tell; none where all are equal."""
    found = {recipe.name: column.value(recipe) for recipe in figures.recipes}
    means = {name: round(value.mean * column.factor, column.digits) for name, value in found.items() if value}
    best = {name for name, mean in means.items() if mean == column.best(list(means.values()))}
    return best if len(best) < len(means) else set()


def shown(value: Spread | None, digits: int, factor: float) -> str:
    """Mean ± deviation, or the mean alone of a single value.

    Example:
        >>> shown(Spread(count=2, mean=0.456, deviation=0.0123), 1, 100), shown(None, 1, 1)
        ('45.6 ± 1.2', '')
    """
    if value is None:
        return ""
    mean = f"{value.mean * factor:.{digits}f}"
    return mean if value.deviation is None else f"{mean} ± {value.deviation * factor:.{digits}f}"


def shown_gain(value: Spread | None) -> str:
    """Mean difference in points, and between what the true one lies with 95 % where several seeds tell.

    Example:
        >>> shown_gain(Spread(count=2, mean=0.1, deviation=0.01))
        '+10.0 (+1.0 to +19.0)'
    """
    if value is None:
        return ""
    mean, reach = 100 * value.mean, value.reach
    ends = "" if reach is None else f" ({signed(mean - 100 * reach)} to {signed(mean + 100 * reach)})"
    return signed(mean) + ends


def signed(points: float) -> str:
    """Points of a difference, with their sign."""
    return f"{round(points, 1) + 0.0:+.1f}"  # + 0.0: no negative zero


def row_name(recipe: RecipeFigures) -> str:
    """The recipe's name, and how many of its runs there are if not all."""
    finished = sum(run.finished for run in recipe.runs)
    return recipe.name if finished == len(recipe.runs) else f"{recipe.name} ({finished} of {len(recipe.runs)} runs)"


def gained_scores(figures: ComparisonFigures) -> list[str]:
    """Names of the scores in which a recipe can be compared with the first."""
    return [name for name in SCORE_KEYS if any(name in recipe.gains for recipe in figures.recipes)]


def gain_texts(recipe: RecipeFigures, names: Sequence[str]) -> list[str]:
    """The gains of a recipe in some scores, as they are shown."""
    return [shown_gain(recipe.gains.get(name)) for name in names]


def write_tables(out: Path, figures: ComparisonFigures) -> None:
    """Write ``comparison.json``, ``comparison.csv``, ``comparison_classes.csv`` and ``comparison.md``."""
    write_figures(out / "comparison.json", figures)
    write_bytes(out / "comparison.csv", csv_table(figures).encode())
    write_bytes(out / "comparison_classes.csv", class_csv(figures).encode())
    write_bytes(out / "comparison.md", page(figures).encode())


def page(figures: ComparisonFigures) -> str:
    """The Markdown file: what was compared, then the tables."""
    title = ", ".join(recipe.name for recipe in figures.recipes)
    facts = [f"- Data: {figures.data}", *(f"- {name}: {value}" for name, value in figures.environment.items())]
    head = [f"# {title}", f"```sh\n{figures.command}\n```", "\n".join(facts)]
    return "\n\n".join([*head, markdown(figures), *class_tables(figures)])


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def markdown(figures: ComparisonFigures) -> str:
    """Tables, what they mean, and what is not the same for all recipes."""
    words = [reading(figures), ceiling_sentence(figures)]
    parts = [main_table(figures), *words, gains_table(figures), protocol_list(figures), warning_list(figures)]
    return "\n\n".join(part for part in parts if part) + "\n"


def main_table(figures: ComparisonFigures) -> str:
    """A line for each recipe; the best of each column in bold."""
    shown_columns = columns(figures)
    best = [best_recipes(figures, column) for column in shown_columns]
    rows = []
    for recipe in figures.recipes:
        texts = [column.text(recipe) for column in shown_columns]
        marked = [f"**{text}**" if recipe.name in names else text for text, names in zip(texts, best, strict=True)]
        rows.append([row_name(recipe), *marked])
    return _table(["recipe", *(column.title for column in shown_columns)], rows)


def reading(figures: ComparisonFigures) -> str:
    """What the figures are, in one sentence."""
    seeds, best = ", ".join(map(str, figures.seeds)), "Best of each column in bold"
    tags = any("tags" in recipe.scores for recipe in figures.recipes)
    what = "Mean IoU (of the classifier: mean average precision of its tags)" if tags else "Mean IoU"
    first = figures.recipes[0].name
    budget = "" if figures.equal is None else f" Each training has as many {figures.equal} as that of {first}."
    if len(figures.seeds) == 1:
        return f"{what} of one run (seed {seeds}); one run has no deviation. {best}.{budget}"
    spread = f"mean ± sample standard deviation over the runs with seeds {seeds}"
    return f"{what}: {spread}. {best}, however small its lead.{budget}"


def ceiling_sentence(figures: ComparisonFigures) -> str:
    """What the share of a ceiling is; empty without one."""
    if not any(recipe.of_ceiling for recipe in figures.recipes):
        return ""
    return (
        "Of its ceiling: the score of the segmentation network as a share of what the same network reaches with the "
        "same seed and as many steps when it learns from ground truth."
    )


def gains_table(figures: ComparisonFigures) -> str:
    """Differences to the first recipe, seed by seed; empty for a single recipe."""
    names = gained_scores(figures)
    rows = [[row_name(recipe), *gain_texts(recipe, names)] for recipe in figures.recipes[1:]]
    if not names:
        return ""
    several = "; between what the difference lies with 95 %, by a paired t-test" if len(figures.seeds) > 1 else ""
    title = f"Points more than `{figures.recipes[0].name}` with the same seed{several}:"
    return f"{title}\n\n{_table(['recipe', *(WORDS[name] for name in names)], rows)}"


def protocol_list(figures: ComparisonFigures) -> str:
    """The sentences without which the scores mean nothing."""
    return "\n".join(f"- {WORDS[name]}: {sentence}" for name, sentence in protocols(figures).items())


def protocols(figures: ComparisonFigures) -> dict[str, str]:
    """What each score is; thresholds that every run chose for itself are left out."""
    found: dict[str, str] = {}
    for name in SCORE_KEYS:
        runs = [run for recipe in figures.recipes for run in recipe.runs if name in run.protocols]
        sentences = dict.fromkeys(
            re.sub(r"threshold [\d.e-]+, chosen", "threshold chosen run by run", run.protocols[name]) for run in runs
        )
        if sentences:
            found[name] = " / ".join(sentences)
    return found


def warning_list(figures: ComparisonFigures) -> str:
    """What is not the same for all recipes, and which runs failed."""
    return "\n".join(f"- **Note:** {text}" for text in [*figures.warnings, *failures(figures)])


def failures(figures: ComparisonFigures) -> list[str]:
    """A sentence for each run that is missing from the means."""
    return [
        f"{run.folder} is missing" + (f": {run.error.splitlines()[0]}" if run.error else ".")
        for recipe in figures.recipes
        for run in recipe.runs
        if not run.finished
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    line = ["---", *(["--:"] * (len(head) - 1))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, line, *rows])


# ── classes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def compared_by_class(figures: ComparisonFigures) -> list[str]:
    """Names of the scores whose classes are shown: the last one on training images, and that of the networks."""
    found = [name for name in MASK_KEYS if any(recipe.classes.get(name) for recipe in figures.recipes)]
    return [*[name for name in found if name != "prediction"][-1:], *[name for name in found if name == "prediction"]]


def classes_of(figures: ComparisonFigures, score: str) -> list[str]:
    """Background and classes, in the order of the data."""
    return list(dict.fromkeys(name for recipe in figures.recipes for name in recipe.classes.get(score, {})))


def class_row(figures: ComparisonFigures, score: str, name: str) -> list[str]:
    """A class, and its IoU in percent with each recipe."""
    return [name, *(shown(recipe.classes.get(score, {}).get(name), 1, 100) for recipe in figures.recipes)]


def class_tables(figures: ComparisonFigures) -> list[str]:
    """IoU of each class with each recipe, as Markdown: a table for each score of ``compared_by_class``."""
    head = ["class", *(recipe.name for recipe in figures.recipes)]
    return [
        f"{WORDS[score].capitalize()}, IoU of each class (%):\n\n"
        + _table(head, [class_row(figures, score, name) for name in classes_of(figures, score)])
        for score in compared_by_class(figures)
    ]


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def csv_table(figures: ComparisonFigures) -> str:
    """A line for each run: scores as shares, seconds, MiB; empty where there is no value."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["recipe", "method", "seed", "finished", *SCORE_KEYS, "seconds", "memory_mib", "device_memory_mib"])
    for recipe in figures.recipes:
        for run in recipe.runs:
            table.writerow([recipe.name, recipe.method, run.seed, int(run.finished), *_cells(run)])
    return text.getvalue()


def class_csv(figures: ComparisonFigures) -> str:
    """A line for each run, score and class: its IoU as a share."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["recipe", "seed", "score", "class", "iou"])
    for recipe in figures.recipes:
        for run in recipe.runs:
            for score, classes in run.classes.items():
                table.writerows([recipe.name, run.seed, score, name, value] for name, value in classes.items())
    return text.getvalue()


def _cells(run: RunFigures) -> list[float | str]:
    values = [*(run.scores.get(name) for name in SCORE_KEYS), round(sum(run.seconds.values()), 2)]
    return ["" if value is None else value for value in [*values, run.memory, run.device_memory]]
