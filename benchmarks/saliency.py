"""How well saliency maps find the objects: a folder of them, or those that tagmask makes, against ground truth.

    python benchmarks/saliency.py RECIPE [--data FOLDER] [--set KEY=VALUE ...] [--every N] [--json FILE]

The maps are those of the recipe's `data.saliency` (`built-in` if it names none), the backbone is the recipe's. Scored
are the training images with masks that also score the seeds; every pixel with a class is foreground, pixels without
label do not count. IoU and its precision and recall are over the pixels of all images; the F-measure is that of the
literature (beta^2 = 0.3, precision and recall averaged over images, best threshold).
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from tagmask.config.recipes import load_recipe
from tagmask.contracts import Dataset, Record
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.datasets.saliency_files import BUILT_IN
from tagmask.masks.grids import resized
from tagmask.stages.saliency import built_in_saliency, initial_backbone

LEVELS = 256
BETA_SQUARED = 0.3


def hits(
    saliency: Float[np.ndarray, "h w"], mask: Int[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], int]:
    """Foreground and background pixels above each of 256 thresholds, and all foreground pixels."""
    known = mask >= 0
    level = np.minimum((saliency[known] * LEVELS).astype(int), LEVELS - 1)
    counts = [np.bincount(level[(mask[known] > 0) == wanted], minlength=LEVELS) for wanted in (True, False)]
    inside, outside = (count[::-1].cumsum()[::-1] for count in counts)
    return inside, outside, int(inside[0])


def scores(
    found: list[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], int]], errors: list[float]
) -> dict[str, float]:
    """The figures over all images."""
    inside, outside, total = (np.array(values) for values in zip(*found, strict=True))
    iou = inside.sum(0) / np.maximum(total.sum() + outside.sum(0), 1)
    precision = (inside / np.maximum(inside + outside, 1)).mean(0)
    recall = (inside / np.maximum(total, 1)[:, None]).mean(0)
    f_measure = (1 + BETA_SQUARED) * precision * recall / np.maximum(BETA_SQUARED * precision + recall, 1e-9)
    half = LEVELS // 2
    return {
        "iou_at_half": float(iou[half]),
        "precision_at_half": float(inside.sum(0)[half] / max(1, (inside + outside).sum(0)[half])),
        "recall_at_half": float(inside.sum(0)[half] / max(1, total.sum())),
        "best_iou": float(iou.max()),
        "best_threshold": float(iou.argmax() / LEVELS),
        "mean_absolute_error": float(np.mean(errors)),
        "max_f_measure": float(f_measure.max()),
    }


def measure(dataset: Dataset, records: tuple[Record, ...], read) -> dict[str, float]:
    found, errors, seconds = [], [], []
    for record in records:
        began = time.perf_counter()
        saliency = read(record)
        seconds.append(time.perf_counter() - began)
        mask = dataset.read_mask(record)
        if saliency.shape != mask.shape:
            saliency = resized(saliency[None], mask.shape)[0]
        known = mask >= 0
        found.append(hits(saliency, mask))
        errors.append(float(np.abs(saliency - (mask > 0))[known].mean()))
    return {"images": len(records), **scores(found, errors), "median_seconds": statistics.median(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--every", type=int, default=1, help="take one image in so many")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe(arguments.recipe, arguments.settings)
    dataset = open_dataset(recipe.data, arguments.data, verify=False)
    records = score_records(dataset, recipe.data, arguments.data)[:: arguments.every]
    if recipe.data.saliency in (None, BUILT_IN):
        backbone = initial_backbone(recipe.backbone)
        figures = measure(dataset, records, lambda record: built_in_saliency(dataset.read_image(record), backbone))
    else:
        figures = measure(dataset, records, dataset.read_saliency)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
