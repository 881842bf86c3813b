"""What choosing without masks costs: points of mean IoU lost against the best value that masks would have chosen.

Takes finished runs of one recipe, makes their pseudo masks of the annotated training images anew with other values of
one setting at a time, and of background factor and power together, and scores them. Masks of the truth are read here,
and the runs stay as they are.

    python benchmarks/regret.py runs/compare/folder-cpu/seed-* --out runs/regret.json

Walks are taken as the runs keep them: what came before them is not varied.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Int

from tagmask.config import CrfConfig
from tagmask.contracts import Record
from tagmask.masks.agreement import count_agreement, mean_iou
from tagmask.masks.outlines import FACTORS
from tagmask.masks.scores import argmax_classes
from tagmask.scoring.comparison_table import shown
from tagmask.scoring.spreads import spread
from tagmask.stages.masks import MaskMaker, mask_maker
from tagmask.stages.run import Run, open_run
from tagmask.stages.sharing import spread_evenly
from tagmask.system.progress import track
from tagmask.system.storage import write_json

POWERS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
CRF = CrfConfig(gaussian_sxy=2, gaussian_weight=3, bilateral_sxy=20, bilateral_srgb=5, bilateral_weight=5, iterations=5)


@dataclass(frozen=True)
class Way:
    """One way to make masks of the same maps or walks.

    Attributes:
        factor: on the background's score.
        power: of the background; None: the recipe's background has none, or has walked along with it.
        crf: whether a dense CRF follows.
    """

    factor: float
    power: float | None
    crf: bool


def way_of(maker: MaskMaker) -> Way:
    """The way of a run."""
    background = maker.config.background
    has_walked = maker.walk is not None and background.when == "before_walk"
    power = float(background.value) if background.rule == "power" and not has_walked else None
    return Way(round(maker.factor, 4), power, maker.config.crf is not None)


def ways(own: Way) -> dict[str, list[Way]]:
    """What is varied, the run's own way first."""
    factors = [round(factor, 4) for factor in FACTORS]
    powers = [] if own.power is None else POWERS
    grids = {
        "background factor": [replace(own, factor=factor) for factor in factors],
        "background power": [replace(own, power=power) for power in powers],
        "dense CRF or none": [replace(own, crf=not own.crf)],
    }
    if powers and not own.crf:  # a CRF for each of a hundred pairs would take hours
        pairs = product(factors, powers)
        grids["factor and power together"] = [Way(factor, power, own.crf) for factor, power in pairs]
    return {name: [own, *(way for way in found if way != own)] for name, found in grids.items() if found}


def maker_of(maker: MaskMaker, way: Way) -> MaskMaker:
    """What makes masks in a way."""
    config = maker.config
    background = config.background if way.power is None else config.background.model_copy(update={"value": way.power})
    crf = (config.crf or CRF) if way.crf else None
    return replace(maker, config=config.model_copy(update={"background": background, "crf": crf}), factor=way.factor)


def counts_of(run: Run, makers: Sequence[MaskMaker], records: Sequence[Record]) -> Iterator[Int[np.ndarray, "_ 3 k"]]:
    """Right, true and predicted pixels of each image, with each maker."""
    known = len(run.dataset.classes)
    for record in track(records, run.folder.path.name, len(records)):
        image, truth = run.dataset.read_image(record), run.dataset.read_mask(record)
        assert truth is not None
        made = []
        for maker in makers:
            scores, classes = maker.scores(record, (image.shape[0], image.shape[1]))
            mask = argmax_classes(maker.refined(image, scores, classes, maker.factor), classes)
            made.append(count_agreement(truth, mask, known))
        yield np.stack(made)


def regrets(run: Run, images: int) -> dict[str, dict[str, object]]:
    """For each setting: points with the value that was chosen, with the best one, and what was lost."""
    own = mask_maker(run)
    grids = ways(way_of(own))
    each = list(dict.fromkeys(way for grid in grids.values() for way in grid))
    records = spread_evenly(run.records_with_truth, images)
    total = np.zeros((len(each), 3, len(run.dataset.classes) + 1), np.int64)
    for counts in counts_of(run, [maker_of(own, way) for way in each], records):
        total += counts
    points = dict(zip(each, (100 * mean_iou(total)).tolist(), strict=True))
    return {name: _regret(grid, points) for name, grid in grids.items()}


def _regret(grid: list[Way], points: dict[Way, float]) -> dict[str, object]:
    best = max(grid, key=points.__getitem__)
    chosen = points[grid[0]]
    return {
        "chosen": {**vars(grid[0]), "points": chosen},
        "best": {**vars(best), "points": points[best]},
        "regret": points[best] - chosen,
    }


def table(found: list[dict[str, dict[str, object]]]) -> str:
    """Regret of each setting: mean and deviation over the runs, and run by run."""
    lines = ["| setting | regret | run by run |", "|---|--:|---|"]
    for name in found[0]:
        lost = [float(str(each[name]["regret"])) for each in found]
        lines.append(f"| {name} | {shown(spread(lost), 1, 1)} | {', '.join(f'{value:.1f}' for value in lost)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="finished runs of one recipe, one a seed")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of what was found")
    parser.add_argument("--images", type=int, default=150, help="annotated training images, evenly over the split")
    arguments = parser.parse_args()
    found = [regrets(open_run(path, alone=False), arguments.images) for path in arguments.runs]
    write_json(arguments.out, dict(zip(map(str, arguments.runs), found, strict=True)))
    print(table(found))
    print(json.dumps(found[0], indent=1))


if __name__ == "__main__":
    main()
