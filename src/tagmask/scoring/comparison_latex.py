"""A comparison as tables of LaTeX, for ``booktabs``: scores and costs, and the classes."""

from collections.abc import Iterable, Sequence

from tagmask.scoring.comparison_figures import ComparisonFigures
from tagmask.scoring.comparison_table import (
    best_recipes,
    class_row,
    classes_of,
    columns,
    compared_by_class,
    gain_texts,
    gained_scores,
    reading,
    row_name,
)
from tagmask.scoring.table import WORDS

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """Text in which no character means anything to LaTeX; ± stands as mathematics."""
    return "".join(_SPECIAL.get(character, character) for character in text).replace("±", r"$\pm$")


def latex(figures: ComparisonFigures) -> str:
    """All tables, each with what its numbers are in a comment above it."""
    parts = [_scores(figures), _gains(figures), *(_classes(figures, score) for score in compared_by_class(figures))]
    head = f"% {figures.command}\n% {figures.data}\n% Needs \\usepackage{{booktabs}}."
    return "\n\n".join([head, *(part for part in parts if part)]) + "\n"


def _scores(figures: ComparisonFigures) -> str:
    shown = columns(figures)
    best = [best_recipes(figures, column) for column in shown]
    rows = [
        [
            escaped(row_name(recipe)),
            *(_marked(column.text(recipe), recipe.name in names) for column, names in zip(shown, best, strict=True)),
        ]
        for recipe in figures.recipes
    ]
    return _table(reading(figures), ["recipe", *(column.title for column in shown)], rows)


def _gains(figures: ComparisonFigures) -> str:
    names = gained_scores(figures)
    if not names:
        return ""
    rows = [[escaped(row_name(recipe)), *map(escaped, gain_texts(recipe, names))] for recipe in figures.recipes[1:]]
    title = f"Points more than {figures.recipes[0].name} with the same seed, and the 95 % interval of a paired t-test."
    return _table(title, ["recipe", *(WORDS[name] for name in names)], rows)


def _classes(figures: ComparisonFigures, score: str) -> str:
    rows = [[*map(escaped, class_row(figures, score, name))] for name in classes_of(figures, score)]
    title = f"{WORDS[score]}: IoU of each class in percent."
    return _table(title, ["class", *(recipe.name for recipe in figures.recipes)], rows)


def _marked(text: str, is_best: bool) -> str:
    return rf"\textbf{{{escaped(text)}}}" if is_best else escaped(text)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        f"% {title}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        f"{' & '.join(map(escaped, head))} \\\\",
        r"\midrule",
        *(f"{' & '.join(cells)} \\\\" for cells in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)
