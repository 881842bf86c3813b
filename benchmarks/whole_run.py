"""A whole run, stage by stage, beside the bare passes through its backbones: ``python benchmarks/whole_run.py``.

Protocol. A recipe goes all the way on a few images, with two steps a training and each stage in a process of its own,
whose memory is noted. Then each part of each stage is done again several times on some of the images, in turns with the
bare passes that it must make of the same tensors, in float32 whatever the recipe computes in; medians are told. Loaders
work in the process itself (``workers=0``), so that seconds add up and reading counts in full; ``--workers`` has them
beside it. The whole run takes each part as often as a run of ``--of`` images does. Weights are random: speed does not
depend on them.

    python benchmarks/whole_run.py --json FILE --page docs/speed.md
    python benchmarks/whole_run.py --quick
    TAGMASK_SHARED=../data python benchmarks/whole_run.py --recipe folder-cpu --images 48
"""

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring import Median, Row, held_megabytes, in_new_process, machine, nested, write_figures
from parts import Part, Subject
from run_parts import parts
from sample_data import data_folder, shared_photographs
from whole_table import between_markers, part_line, ratios, table, totals

from tagmask.config import Recipe
from tagmask.config.recipes import load_recipe
from tagmask.stages.pipeline import COMMANDS
from tagmask.stages.run import begin_run, open_run

TRAININGS = ("training", "affinity.training", "segmenter.training")
IN_PROCESS = (*(f"{name}.workers=0" for name in (*TRAININGS, "maps", "masks", "segmenter")), "backbone.weights=none")
HALF = ("data.largest_side=160", "training.augment.long_side=[128,192]")
FLOAT32 = tuple(f"{name}.precision=no" for name in TRAININGS)
HALF_CROPS = tuple(f"{name}.augment.crop=129" for name in TRAININGS)
REDONE = {"predict": "predictions", "revise-masks": "revised"}


@dataclass(frozen=True)
class Case:
    """A recipe and what is changed in it."""

    name: str
    recipe: str
    settings: tuple[str, ...] = ()


CASES = (
    Case("folder-cpu", "folder-cpu"),
    Case("folder-cpu, its trainings in float32", "folder-cpu", FLOAT32),
    Case("folder-cpu-cam", "folder-cpu-cam"),
    Case("folder-cpu, ResNet-50, half size", "folder-cpu", ("backbone.model=resnet50", *HALF, *HALF_CROPS)),
)


@dataclass(frozen=True)
class Protocol:
    """How much is measured.

    Attributes:
        images: training images of the sample.
        validation: its validation images.
        turns: how often each part is measured.
        steps: of a training in each turn, after one that is left out.
        of: training and validation images of the whole run that figures are told for.
        memory: whether stages run in processes of their own, whose memory is noted.
        workers: loader processes of the recipe instead of none.
    """

    images: int = 25
    validation: int = 10
    turns: int = 5
    steps: int = 3
    of: tuple[int, int] = (1600, 222)
    memory: bool = True
    workers: bool = False


QUICK = Protocol(images=5, validation=5, turns=5, steps=1, memory=False)


def run(protocol: Protocol = Protocol(), cases: Sequence[Case] = CASES, data: Path | None = None) -> Iterator[Row]:
    """All figures of all cases, each when it has been measured."""
    yield "protocol", vars(protocol) | {"data": "drawn scenes" if data is None else data.name}
    for place, case in enumerate(cases):
        for name, figures in measured(protocol, case, data):
            yield f"cases.{place}.{name}", figures


def measured(protocol: Protocol, case: Case, data: Path | None) -> Iterator[Row]:
    """The figures of one case: its parts in the order of a run, then the memory of its stages."""
    yield "name", case.name
    shared = (*case.settings, *(IN_PROCESS[-1:] if protocol.workers else IN_PROCESS))
    recipe = load_recipe(case.recipe, shared)
    small = load_recipe(case.recipe, [*shared, *(f"{name}.steps=2" for name in TRAININGS)])
    with tempfile.TemporaryDirectory() as root:
        photographs = data_folder(Path(root) / "data", protocol.images, protocol.validation, data)
        folder = Path(root) / "run"
        begun = begin_run(small, photographs, folder, alone=False)
        memory = gone_all_the_way(folder, in_new_process if protocol.memory else called)
        yield "memory_megabytes", memory if protocol.memory else {}
        subject = Subject(begun, recipe, *protocol.of, turns=protocol.turns, steps=protocol.steps)
        for number, part in enumerate(parts(subject)):
            yield f"parts.{number}", figures_of(part, protocol.turns)
            gc.collect()


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """In this process."""
    return function(*arguments)


def gone_all_the_way(folder: Path, call: Callable[..., Any]) -> dict[str, float | None]:
    """Carry out every stage of a run that has begun; returns the memory (MiB) that each held at most."""
    recipe = open_run(folder, alone=False).recipe
    found = {"begin": call(opened, folder)}
    for stage in stages_of(recipe):
        found[stage] = call(carried_out, folder, stage)
    for stage, results in REDONE.items():
        if (folder / results).is_dir():
            found[stage] = call(carried_out, folder, "train-segmenter", results)
    return found


def stages_of(recipe: Recipe) -> list[str]:
    """The commands that a recipe needs."""
    needless = {"make-saliency", "make-instances"} | ({"train-affinity"} if recipe.affinity is None else set())
    return [name for name in COMMANDS if name not in needless]


def opened(folder: Path) -> float | None:
    """Memory held when a run has been opened."""
    open_run(folder, alone=False)
    return held_megabytes()


def carried_out(folder: Path, stage: str, without: str | None = None) -> float | None:
    """Carry out a stage, or what lacks the files of a folder; returns the memory held at most."""
    for file in (folder / without).rglob("*.png") if without else ():
        file.unlink()
    COMMANDS[stage](open_run(folder, alone=False))
    return held_megabytes()


def figures_of(part: Part, turns: int) -> dict[str, Any]:
    """A part and its bare passes in turns, after one turn that warms up."""
    rounds = [(part.work(turn), part.bare and part.bare(turn)) for turn in (0, *range(turns))][1:]
    taken, waited, bare = [work[0] for work, _ in rounds], [work[1] for work, _ in rounds], [bare for _, bare in rounds]
    found = {"stage": part.stage, "part": part.name, "unit": part.unit, "units": part.units}
    found |= {"seconds": Median(taken), "waiting_seconds": Median(waited)}
    return found | ({"bare_seconds": Median(bare), "times_bare": Median(ratios(taken, bare))} if part.bare else {})


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────────


def printed(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, each part printed as soon as it is there."""
    for name, figures in rows:
        if isinstance(figures, dict) and "part" in figures:
            print(part_line(figures), flush=True)
        elif name.endswith(".name"):
            print(figures, flush=True)
        yield name, figures


def tables(found: Any) -> str:
    """The table of each case under its name."""
    of, blocks = found["protocol"]["of"], []
    for case in found["cases"]:
        stages = totals(case["parts"], case["memory_megabytes"])
        blocks.append(f"{case['name']}, {of[0]} training and {of[1]} validation images:\n\n{table(stages, of[0])}")
    return "\n\n".join(blocks)


def protocol_of(arguments: argparse.Namespace) -> Protocol:
    """The quick protocol or the usual one, with what was asked for."""
    asked = {name: getattr(arguments, name) for name in ("images", "validation", "turns", "steps")}
    base = replace(QUICK if arguments.quick else Protocol(), workers=arguments.workers)
    return replace(base, **{name: value for name, value in asked.items() if value is not None}, of=tuple(arguments.of))


def cases_of(arguments: argparse.Namespace) -> Sequence[Case]:
    """The usual cases, the first of them, or a recipe that was asked for."""
    if arguments.recipe is not None:
        settings = tuple(arguments.set)
        return [Case(" ".join([arguments.recipe, *settings]), arguments.recipe, settings)]
    return CASES[:1] if arguments.quick else CASES


def main() -> None:
    """Print every part when it is measured, then a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", help="one recipe instead of the usual ones")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of that recipe")
    parser.add_argument("--data", type=Path, help="folder with tags.csv and images/; else TAGMASK_SHARED, else drawn")
    parser.add_argument("--quick", action="store_true", help="folder-cpu alone, few images, no memory")
    parser.add_argument("--workers", action="store_true", help="loader processes as the recipe has them")
    for name in ("images", "validation", "turns", "steps"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--of", type=int, nargs=2, default=Protocol.of, metavar=("TRAIN", "VAL"))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--page", type=Path, help="also write the tables into this page")
    arguments = parser.parse_args()
    rows = run(protocol_of(arguments), cases_of(arguments), arguments.data or shared_photographs())
    found = nested(printed(rows)) | {"machine": machine()}
    print(f"\n{tables(found)}")
    write_figures(arguments.json, found)
    if arguments.page is not None:
        text = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(between_markers(text, "whole", tables(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
