"""What each part of the last network brings: the recipe with one setting changed at a time, on the same masks.

Takes finished runs of one recipe with several seeds, trains their segmentation network anew with each variant, and
scores it on the validation images. A second call goes on where the first one stopped; the runs stay as they are.

    python benchmarks/network_study.py runs/compare/folder-cpu/seed-* --out runs/study

writes ``study.json`` and prints a table: points of mean IoU against the recipe as it is, seed by seed, and minutes.
"""

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from changed_runs import carry_out

from tagmask.config.recipes import changed_recipe
from tagmask.scoring.comparison_table import shown
from tagmask.scoring.scores_file import read_scores
from tagmask.scoring.spreads import spread
from tagmask.stages.run import Run, open_run

VARIANTS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "DeepLab v3+ in place of the FPN": ("segmenter.kind=deeplab_v3plus",),
    "no tag head": ("segmenter.tag_weight=0",),
    "last weights, not their average": ("segmenter.training.average=0",),
    "from ImageNet weights": ("segmenter.initial=imagenet",),
    "classes weighed by the root of their rarity": ("segmenter.class_balance=0.5",),
    "classes not weighed": ("segmenter.class_balance=0",),
    "dice loss": ("segmenter.dice_weight=1",),
    "no dice loss": ("segmenter.dice_weight=0",),
    "unsure pixels left out": ("masks.ignore_below=0.6",),
    "classes drawn equally often": ("segmenter.training.sampling=balanced",),
    "images drawn equally often": ("segmenter.training.sampling=uniform",),
}


@dataclass(frozen=True)
class Outcome:
    """One training: mean IoU on validation images in percent, and its seconds."""

    mean_iou: float
    seconds: float


def variants_of(run: Run, shortened: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The variants that differ from the recipe of a run, the recipe as it is first."""
    changed = {name: changed_recipe(run.recipe, (*settings, *shortened)) for name, settings in VARIANTS.items()}
    same = changed["as it is"]
    return {name: VARIANTS[name] for name, recipe in changed.items() if name == "as it is" or recipe != same}


def outcome(source: Path, folder: Path, settings: tuple[str, ...]) -> Outcome:
    """Train and score a variant in a folder of its own, or read what an earlier call, or the run itself, has found."""
    if not settings:
        return _found(open_run(source, alone=False))
    done = folder / "outcome.json"
    if not done.exists():
        first = "make-masks" if any(setting.startswith("masks.") for setting in settings) else "train-segmenter"
        carry_out(source, folder, ("segmenter.revision=null", *settings), first, "prediction")
        found = _found(open_run(folder, alone=False))
        print(f"{folder}: {found.mean_iou:.1f}, {found.seconds:.0f} s", flush=True)
        done.write_text(json.dumps(vars(found)))
    return Outcome(**json.loads(done.read_text()))


def _found(run: Run) -> Outcome:
    mean = read_scores(run.folder)["prediction"]["mean_iou"]
    return Outcome(100 * mean, run.folder.manifest()["train-segmenter"]["seconds"])


def table(found: dict[str, list[Outcome]]) -> str:
    """Mean and deviation of each variant, its lead over the recipe as it is seed by seed, and minutes."""
    base = found["as it is"]
    lines = ["| variant | mean IoU | against the recipe, seed by seed | minutes |", "|---|---|---|---|"]
    for name, outcomes in found.items():
        means = [each.mean_iou for each in outcomes]
        leads = ", ".join(f"{each.mean_iou - same.mean_iou:+.1f}" for each, same in zip(outcomes, base, strict=True))
        minutes = statistics.mean(each.seconds for each in outcomes) / 60
        lead = "" if name == "as it is" else leads
        lines.append(f"| {name} | {shown(spread(means), 1, 1)} | {lead} | {minutes:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="finished runs of one recipe, one a seed")
    parser.add_argument("--out", type=Path, required=True, help="folder of all variants")
    parser.add_argument("--steps", type=int, help="shorten every training to so many steps")
    parser.add_argument("--only", nargs="*", help="names of variants")
    arguments = parser.parse_args()
    shortened = () if arguments.steps is None else (f"segmenter.training.steps={arguments.steps}",)
    chosen = variants_of(open_run(arguments.runs[0], alone=False), shortened)
    found: dict[str, list[Outcome]] = {}
    for name, settings in chosen.items():
        if arguments.only is None or name in ("as it is", *arguments.only):
            place = arguments.out / name.replace(" ", "-").replace(",", "").replace("+", "plus")
            each = [outcome(run, place / run.name, (*settings, *shortened)) for run in arguments.runs]
            found[name] = each
    print(table(found))
    content = {name: [vars(each) for each in outcomes] for name, outcomes in found.items()}
    (arguments.out / "study.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
