"""A record of measured runs: what somebody needs to repeat a number, in one small folder."""

import shutil
from pathlib import Path

from tagmask.errors import TagmaskError
from tagmask.scoring.comparison import Comparison
from tagmask.scoring.comparison_figures import ComparisonFigures, RecipeFigures
from tagmask.system.storage import read_json, write_bytes, write_json
from tagmask.system.whole_folders import writing_folder

README = "README.md"


def write_record(comparison: Comparison, figures: ComparisonFigures, hardware: str, words: str) -> Path:
    """Write the record of a comparison of one recipe; returns its folder, ``record`` beside the runs.

    Args:
        comparison: the runs.
        figures: what they scored.
        hardware: of the runs, in words.
        words: what is said below the front lines.

    Raises:
        TagmaskError: a run is not finished.
    """
    recipe, out = figures.recipes[0], comparison.out / "record"
    missing = [run.folder for run in recipe.runs if not run.finished]
    if missing:
        raise TagmaskError(f"{', '.join(missing)} is not finished, so there is no record yet; the same command goes on")
    folders = [comparison.planned(comparison.competitors[0], seed).folder for seed in comparison.seeds]
    with writing_folder(out, refuse_foreign) as draft:
        write_bytes(draft / README, readme(figures, recipe, hardware, words).encode())
        write_json(draft / "recipe.json", read_json(folders[0].path / "recipe.json"))
        write_json(draft / "scores.json", [read_json(folder.scores) for folder in folders])
        for seed, folder in zip(comparison.seeds, folders, strict=True):
            shutil.copy(folder.log, draft / f"seed{seed}.jsonl")
    return out


def refuse_foreign(folder: Path) -> None:
    """Refuse to replace a folder that is no record.

    Raises:
        TagmaskError: it holds something else.
    """
    if folder.exists() and not (folder / README).is_file():
        raise TagmaskError(f"{folder} is in the way of the record and is none; move it elsewhere")


def readme(figures: ComparisonFigures, recipe: RecipeFigures, hardware: str, words: str) -> str:
    """The record's first page: a headline, front lines of which each is one line, and words."""
    minutes = [sum(run.seconds.values()) / 60 for run in recipe.runs]
    front = {
        "Command": figures.command,
        "Data": figures.data,
        "Seeds": ", ".join(map(str, figures.seeds)),
        "Hardware": hardware,
        "Versions": figures.environment["versions"],
        "Commit": figures.environment["commit"],
        "Time": ", ".join(f"{each:.0f} min" for each in minutes),
    }
    lines = "\n".join(f"{name}: {value}" for name, value in front.items())
    return f"# {recipe.name}\n\n{lines}\n\n{words}\n"
