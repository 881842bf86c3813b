"""How time and memory grow with images, with their side and with classes: ``python benchmarks/growth.py --json FILE``.

    python benchmarks/growth.py --small
    python benchmarks/growth.py --json FILE --docs docs
    python benchmarks/growth.py --json FILE --docs docs --images --side  # classes alone, beside what the file holds

Everything is measured in a process of its own, whose memory is told as growth above what it held before. Drawn scenes
are JPEG files; weights are random; loaders work in the process itself.

``images``: data folders of 200 to 3 200 files of 48 pixels. Every stage is carried out once on all of them, with two
steps a training; then what is done for a folder as a whole: begin and open a run, find the files that are missing,
tables, the order of a training. ``side``: one step (batch of 2, crop as large as the image) or one image of each part
of ``folder-cpu``, from 160 to 1 280 pixels square, six classes. ``classes``: the same with 3 to 300 classes at 240
pixels, two tags an image. Seconds are medians of three after one that warms up, but those of whole stages. The
exponent is that of the upper half of the points, see ``growth_fit``.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from growth_fit import exponent, plot
from measuring import Median, Row, in_new_process, machine, nested, peak_megabytes, seconds, write_figures
from parts import Part, Subject
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from run_parts import parts
from sample_data import TAGS, draw_scenes
from whole_run import IN_PROCESS, TRAININGS, called, gone_all_the_way, stages_of
from whole_table import between_markers

from tagmask.config import Recipe
from tagmask.config.recipes import load_recipe
from tagmask.stages.masks import write_quality
from tagmask.stages.pipeline import COMMANDS
from tagmask.stages.results import read_ranking
from tagmask.stages.run import Run, begin_run, open_run
from tagmask.stages.sharing import missing
from tagmask.training.batches import BalancedKeys
from tagmask.training.samples import TagSamples

FULL = {
    "images": (200, 400, 800, 1600, 3200),
    "side": (160, 240, 320, 480, 640, 960, 1280),
    "classes": (3, 10, 30, 100, 300),
}
SMALL = {"images": (50, 100, 200), "side": (96, 144, 192), "classes": (3, 10, 30)}
LABELS = {"images": "images", "side": "side in pixels", "classes": "classes"}
REPEATS = 3
TINY, USUAL = 48, 240  # sides
Figures = dict[str, Any]


def run(points: dict[str, Sequence[int]], small: bool = False) -> Iterator[Row]:
    """Every figure when it has been measured: axis, value, stage and part, seconds, megabytes."""
    yield "protocol", {"points": points, "repeats": REPEATS, "small": small}
    number = 0
    for axis, values in points.items():
        for value in values:
            for figures in measured(axis, value, small):
                yield f"points.{number}", {"axis": axis, "value": value} | figures
                number += 1


def measured(axis: str, value: int, small: bool) -> Iterator[Figures]:
    """All figures of one value of an axis."""
    with tempfile.TemporaryDirectory() as root:
        if axis == "images":
            data = draw_scenes(Path(root) / "data", value, 2, size=(TINY, TINY))
            yield from stages_of_all(Path(root) / "all", data)
            yield from tables_of(Path(root) / "run", data)
        else:
            yield from parts_of(
                Path(root), value if axis == "side" else USUAL, value if axis == "classes" else 6, small
            )


# ── with the images ──────────────────────────────────────────────────────────────────────────────────────────────────


def stages_of_all(folder: Path, data: Path) -> Iterator[Figures]:
    """Every stage of a run, which begins in the folder, on all of its images."""
    recipe = recipe_at(TINY)
    in_new_process(begun, recipe, data, folder)
    for stage in stages_of(recipe):
        taken, megabytes = in_new_process(stage_figures, folder, stage)
        yield {"stage": stage, "part": "all images", "seconds": taken, "megabytes": megabytes}


def begun(recipe: Recipe, data: Path, folder: Path) -> None:
    """Begin a run."""
    begin_run(recipe, data, folder, alone=False)


def stage_figures(folder: Path, stage: str) -> tuple[float, float | None]:
    """Seconds and memory of a whole stage."""
    opened, taken = open_run(folder, alone=False), []
    megabytes = peak_megabytes(lambda: taken.append(seconds(lambda: COMMANDS[stage](opened))))
    return taken[0], megabytes


def tables_of(folder: Path, data: Path) -> Iterator[Figures]:
    """What is done for a data folder as a whole."""
    in_new_process(called, begun_with_masks, data, folder)
    for name in TABLES:
        taken, megabytes = in_new_process(table_figures, name, folder)
        yield {"stage": "run", "part": name, "seconds": taken, "megabytes": megabytes}


def begun_with_masks(data: Path, folder: Path) -> None:
    """A run whose training images all have a mask and a confidence, which nothing has made."""
    begun = begin_run(load_recipe("folder-cpu", IN_PROCESS), data, folder, alone=False)
    header = PngInfo()
    header.add_text("quality", "0.5")
    for record in begun.training_records:
        for path in (begun.folder.mask(record.id), begun.folder.confidence(record.id)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((TINY, TINY), np.uint8)).save(path, pnginfo=header)
    write_quality(begun.folder, begun.training_records)


def begin_anew(run: Run) -> None:
    """Begin the same run in another folder."""
    with tempfile.TemporaryDirectory() as out:
        begin_run(run.recipe, run.data, Path(out) / "run", alone=False)


def order_of_training(run: Run) -> None:
    """Which images the steps of the balanced training see."""
    samples = TagSamples(run.dataset, run.training_records, run.recipe.training.augment, None)  # pyright: ignore[reportArgumentType] - no view is made
    keys = BalancedKeys(len(samples), 16, len(samples) // 4, 0, samples.groups())
    _ = [keys[step] for step in range(len(keys))]


TABLES: dict[str, Callable[[Run], object]] = {
    "begin": begin_anew,
    "open again": lambda run: open_run(run.folder.path, alone=False),
    "find missing files": lambda run: missing(run.training_records, run.folder.mask, run.folder.confidence),
    "write the table of qualities": lambda run: write_quality(run.folder, run.training_records),
    "read the table of qualities": read_ranking,
    "order of four epochs": order_of_training,
}


def table_figures(name: str, folder: Path) -> tuple[Median, float | None]:
    """Seconds and memory of one of ``TABLES``."""
    opened = open_run(folder, alone=False)
    TABLES[name](opened)
    megabytes = peak_megabytes(lambda: TABLES[name](opened))
    return Median([seconds(lambda: TABLES[name](opened)) for _ in range(REPEATS)]), megabytes


# ── with side and classes ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Small:
    """A run of very few images that has gone all the way.

    Attributes:
        folder: of the run.
        recipe: of it.
        images: its training images.
    """

    folder: Path
    recipe: Recipe
    images: int

    def subject(self) -> Subject:
        """What parts are measured on: one image a turn, one step a turn."""
        return Subject(open_run(self.folder, alone=False), self.recipe, 1, 1, turns=self.images, steps=1)


def parts_of(root: Path, side: int, classes: int, small: bool) -> Iterator[Figures]:
    """Every part of the stages at one size and number of classes; of a small growth only those with bare passes."""
    images = max(2, -(-classes // TAGS))  # no class is without an image
    data = draw_scenes(root / "data", images, 2, size=(side, side), classes=classes)
    run = Small(root / "run", recipe_at(side), images)
    for stage, name in in_new_process(made, run, data, small):
        taken, megabytes = in_new_process(part_figures, run, stage, name)
        yield {"stage": stage, "part": name, "seconds": taken, "megabytes": megabytes}


def recipe_at(side: int) -> Recipe:
    """``folder-cpu`` for images of a side, with batches of two."""
    training = [
        f"{name}.{setting}" for name in TRAININGS for setting in (f"augment.crop={side}", "batch_size=2", "steps=2")
    ]
    sizes = (f"training.augment.long_side=[{side},{side}]", "data.largest_side=null")
    return load_recipe("folder-cpu", [*IN_PROCESS, *training, *sizes])


def made(run: Small, data: Path, small: bool) -> list[tuple[str, str]]:
    """Let a run go all the way; returns its parts."""
    begin_run(run.recipe, data, run.folder, alone=False)
    gone_all_the_way(run.folder, called)
    return [(part.stage, part.name) for part in parts(run.subject()) if is_measured(part, small)]


def is_measured(part: Part, small: bool) -> bool:
    """What is done once a run does not grow with side or classes."""
    return part.unit != "run" and part.stage != "begin" and (part.bare is not None or not small)


def part_figures(run: Small, stage: str, name: str) -> tuple[Median, float | None]:
    """Seconds and memory of one part."""
    part = next(part for part in parts(run.subject()) if (part.stage, part.name) == (stage, name))
    part.work(0)
    megabytes = peak_megabytes(lambda: part.work(1))
    return Median([part.work(turn % 2)[0] for turn in range(REPEATS)]), megabytes


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def lines_of(points: Sequence[Figures], axis: str, key: str) -> dict[str, list[tuple[float, float]]]:
    """Measured values along an axis by stage and part."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        if point["axis"] == axis and point[key]:
            lines.setdefault(f"{point['stage']}: {point['part']}", []).append((point["value"], float(point[key])))
    return lines


def exponents_table(points: Sequence[Figures], axis: str) -> str:
    """Markdown: the exponents of seconds and memory of each part."""
    by_key = [lines_of(points, axis, key) for key in ("seconds", "megabytes")]
    rows = ["| part | exponent of seconds | exponent of memory |", "|---|--:|--:|"]
    for name in by_key[0]:
        powers = [exponent(lines.get(name, [])) for lines in by_key]
        rows.append(f"| {name} | {' | '.join('' if power is None else f'{power:.2f}' for power in powers)} |")
    return "\n".join(rows)


def write_docs(docs: Path, found: Any) -> None:
    """Plots as SVG, and their links with the exponents between the markers of the page."""
    blocks = []
    (docs / "growth").mkdir(exist_ok=True)
    for axis in found["protocol"]["points"]:
        blocks.append(f"### With {LABELS[axis]}")
        for key, unit in (("seconds", "seconds"), ("megabytes", "MiB above what was held before")):
            lines = lines_of(found["points"], axis, key)
            if lines:
                name = f"growth/{axis}-{key}.svg"
                (docs / name).write_text(plot(f"{unit}, by {LABELS[axis]}", lines, LABELS[axis]), encoding="utf-8")
                blocks.append(f"![{unit} by {LABELS[axis]}]({name})")
        blocks.append(exponents_table(found["points"], axis))
    page = docs / "growth.md"
    text = between_markers(page.read_text(encoding="utf-8"), "growth", "\n\n".join(blocks))
    page.write_text(text, encoding="utf-8")


def beside(path: Path | None, found: Any) -> Any:
    """Figures, and beside them those of a file whose axes were not measured anew."""
    if path is None or not path.exists():
        return found
    before, points = json.loads(path.read_text()), found["protocol"]["points"]
    kept = [point for point in before["points"] if point["axis"] not in points]
    axes = {axis: before["protocol"]["points"][axis] for axis in dict.fromkeys(point["axis"] for point in kept)}
    return found | {"points": kept + found["points"], "protocol": found["protocol"] | {"points": axes | points}}


def printed(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, each point printed as soon as it is there."""
    for name, figures in rows:
        if "axis" in figures:
            memory = "" if figures["megabytes"] is None else f"{figures['megabytes']:9.1f} MiB"
            part = f"{figures['stage']}: {figures['part']}"
            print(
                f"{figures['axis']} {figures['value']:>5}  {part:<42} {figures['seconds']:9.4f} s {memory}", flush=True
            )
        yield name, figures


def main() -> None:
    """Print every point when it is measured; write JSON and the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="three small values an axis, parts with networks alone")
    for axis in FULL:
        parser.add_argument(f"--{axis}", type=int, nargs="*", metavar="VALUE", help="other values; none: leave it out")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--docs", type=Path, help="also draw plots into this folder and its growth.md")
    arguments = parser.parse_args()
    usual = SMALL if arguments.small else FULL
    asked = {axis: usual[axis] if (given := getattr(arguments, axis)) is None else tuple(given) for axis in FULL}
    rows = run({axis: values for axis, values in asked.items() if values}, arguments.small)
    found = beside(arguments.json, nested(printed(rows)) | {"machine": machine()})
    write_figures(arguments.json, found)
    for axis in found["protocol"]["points"]:
        print(f"\n{exponents_table(found['points'], axis)}")
    if arguments.docs is not None:
        write_docs(arguments.docs, found)


if __name__ == "__main__":
    main()
