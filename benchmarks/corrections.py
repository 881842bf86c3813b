"""What correcting a few masks buys: a run on photographs, some masks corrected, and the run improved from there.

    python benchmarks/corrections.py voc-animals --out runs/corrections [--photographs 200] [--corrected 20]

The data have masks of training and validation photographs; they score, stand for what a person would correct, and
reach nothing else. So many of the training photographs with masks are taken, evenly over the list, and the recipe runs
to its end with every seed. Then so many of them get their true masks as corrections, and ``tagmask improve`` trains
again: once with the least trustworthy ones, as the review page shows them first, and once with photographs drawn by
chance. Compared are the masks of the training photographs that were not corrected, and the network on the validation
photographs. A second call goes on where the first one stopped. Written are ``corrections.json`` and a table.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tagmask.config.recipes import load_recipe
from tagmask.contracts import MaskArray, Record
from tagmask.improving.beginning import begin_improved
from tagmask.masks.agreement import count_agreement, mean_iou
from tagmask.reviewing.images import RunImages
from tagmask.reviews.accuracy import random_order
from tagmask.reviews.store import Review
from tagmask.scoring.comparison_table import shown, shown_gain
from tagmask.scoring.spreads import spread
from tagmask.stages.pipeline import run_all
from tagmask.stages.results import best_pseudo_mask, read_prediction
from tagmask.stages.run import Run, begin_run
from tagmask.system.storage import write_json
from tagmask.system.whole_folders import writing_folder

CHOICES: dict[str, Callable[[Run], list[str]]] = {
    "least trustworthy": lambda run: [record.id for record in RunImages(run).records],
    "by chance": lambda run: random_order([record.id for record in run.given_records]),
}
"""In which order photographs are corrected."""


def few_photographs(data: Path, out: Path, number: int) -> None:
    """A folder of ``number`` training photographs that have masks and of all validation ones; images are links."""
    with (data / "tags.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scored = [row for row in rows if row["split"] == "train" and _mask(data, row).exists()]
    chosen = [scored[len(scored) * place // number] for place in range(number)]
    kept = chosen + [row for row in rows if row["split"] == "val"]
    with writing_folder(out) as draft:
        for name in ("images", "masks"):
            (draft / name).symlink_to((data / name).resolve())
        (draft / "classes.txt").write_bytes((data / "classes.txt").read_bytes())
        with (draft / "tags.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows(kept)


def _mask(data: Path, row: dict[str, str]) -> Path:
    return data / "masks" / f"{Path(row['image']).stem}.png"


def correct(run: Run, image_ids: Iterable[str]) -> None:
    """Replace the reviews of a run: these images are corrected, others were not looked at."""
    wanted = set(image_ids)
    for record in run.given_records:
        if record.id in wanted:
            run.reviews.write(record.id, Review(decision="corrected"), _truth(run, record))
        else:
            run.reviews.remove(record.id)


def _truth(run: Run, record: Record) -> MaskArray:
    mask = run.dataset.read_mask(record)
    if mask is None:
        raise ValueError(f"{record.id} has no mask to correct it by")
    return mask


def agreement(run: Run, records: Sequence[Record], made: Callable[[Run, Record, tuple[int, int]], MaskArray]) -> float:
    """Mean IoU in percent of masks that a run has made, over these images together."""
    counts = []
    for record in records:
        truth = _truth(run, record)
        mask = made(run, record, (truth.shape[0], truth.shape[1]))
        counts.append(count_agreement(truth, mask, len(run.dataset.classes)))
    return float(100 * mean_iou(np.sum(counts, axis=0)))


def improve(first: Run, out: Path, choice: str, number: int) -> dict[str, list[float]]:
    """Before and after, in percent, of masks and network, and how good the corrected masks had been."""
    chosen = CHOICES[choice](first)[:number]
    if not out.exists():
        correct(first, chosen)
    improved = begin_improved(first, out, share=0)
    run_all(improved, "prediction")
    wrong = [record for record in first.given_records if record.id in chosen]
    rest = [record for record in first.given_records if record.id not in chosen]
    return {
        "corrected": [agreement(first, wrong, best_pseudo_mask)],
        "masks": [agreement(run, rest, best_pseudo_mask) for run in (first, improved)],
        "network": [agreement(run, run.validation_records, read_prediction) for run in (first, improved)],
    }


def table(found: dict[str, list[dict[str, list[float]]]]) -> str:
    """Mean and deviation over seeds, and the gain of pairs of the same seed with its interval."""
    lines = ["| corrected | they had been | score | before | after | gain |", "|---|--:|---|--:|--:|--:|"]
    for choice, seeds in found.items():
        had_been = shown(spread([each["corrected"][0] for each in seeds]), 1, 1)
        for subject in ("masks", "network"):
            pairs = [each[subject] for each in seeds]
            cells = [shown(spread([pair[side] for pair in pairs]), 1, 1) for side in (0, 1)]
            gain = shown_gain(spread([(after - before) / 100 for before, after in pairs]))
            lines.append(f"| {choice} | {had_been} | {subject} | {' | '.join(cells)} | {gain} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with tags.csv, images/ and masks/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data that are taken, and of all runs")
    parser.add_argument("--recipe", default="folder-cpu")
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--corrected", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="settings of the recipe")
    arguments = parser.parse_args()
    few = arguments.out / "data"
    if not few.exists():
        few_photographs(arguments.data, few, arguments.photographs)
    found: dict[str, list[dict[str, list[float]]]] = {}
    for choice in arguments.choices:
        found[choice] = []
        for seed in arguments.seeds:
            recipe = load_recipe(arguments.recipe, ["data.masks=masks", *arguments.settings, f"seed={seed}"])
            place = arguments.out / f"seed-{seed}"
            first = begin_run(recipe, few, place / "first")
            run_all(first, "prediction")
            found[choice].append(improve(first, place / choice.replace(" ", "-"), choice, arguments.corrected))
            print(f"{choice}, seed {seed}: {json.dumps(found[choice][-1])}", flush=True)
    print(table(found))
    write_json(arguments.out / "corrections.json", found)


if __name__ == "__main__":
    main()
