"""Maps resized to the image once or twice (``maps.resizing``): which of both finds the objects better?

    python benchmarks/resizing.py RUN [--data FOLDER] [--images N] [--json FILE]

RUN is a run with a trained classifier, and is only read; its data need ground-truth masks. Maps of N training images
with masks, spread evenly over all of them, are made both ways from the given tags. Scored is the argmax over a constant
background and the maps at the image's size: mIoU over the pixels of all images at the best constant of the recipe's
sweep, which is chosen on these very masks for each way by itself.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tagmask.config import MapsConfig
from tagmask.contracts import Method, Record
from tagmask.data.datasets import open_dataset, score_records
from tagmask.inference.passes import class_maps, load_pyramids, summed_activations
from tagmask.scoring.metrics import Protocol, best_threshold, score_counts, sweep_thresholds, threshold_sweep
from tagmask.stages.classifier import normalized_maps
from tagmask.stages.run import Run, trained_method
from tagmask.stages.run_folder import RunFolder
from tagmask.system.progress import track

WAYS = ("once", "twice")


def opened(folder: RunFolder, data: Path | None) -> Run:
    """A run of which nothing is written, not even that it has been opened."""
    recipe, root = folder.recipe(), data or folder.data()
    return Run(recipe, folder, open_dataset(recipe.data, root, verify=False), root)


def spread(records: tuple[Record, ...], number: int) -> list[Record]:
    """So many records, evenly from the first to the last."""
    places = np.linspace(0, len(records) - 1, min(number, len(records))).round().astype(int)
    return [records[place] for place in places]


def both_ways(
    method: Method, config: MapsConfig, record: Record, size: tuple[int, int], images: list[Tensor]
) -> dict[str, np.ndarray]:
    """The maps of an image's tags at its size, after a learnt background if there is one, made in each way."""
    activations, logits = summed_activations(method, images, config.flip)
    tags = torch.tensor(record.tags, dtype=torch.long, device=logits.device)
    known = torch.zeros_like(logits).index_fill_(0, tags, 1.0)[None]
    finished = [method.finish(activation, known) for activation in activations]
    summed = {way: class_maps(finished, tags, size, images if way == "twice" else None) for way in WAYS}
    passes = len(images) * (2 if config.flip else 1)
    return {way: normalized_maps(maps.cpu().numpy(), method, passes) for way, maps in summed.items()}


def figures(run: Run, number: int) -> dict[str, Any]:
    """Best threshold, mIoU there and at the recipe's fixed threshold, of each way."""
    method, config, k = trained_method(run), run.recipe.maps, len(run.dataset.classes) + 1
    thresholds = sweep_thresholds(run.recipe.evaluation.sweep)
    counts = {way: np.zeros((len(thresholds), 3, k), np.int64) for way in WAYS}
    records = spread(score_records(run.dataset, run.recipe.data, run.data), number)
    pyramids = load_pyramids(
        run.dataset, records, config.scales, config.base_long_side, method.backbone.normalization, workers=0
    )
    for record, image, images in track(pyramids, "both ways", len(records)):
        truth, tags = run.dataset.read_mask(record), np.array(record.tags, np.int64)
        assert truth is not None
        for way, maps in both_ways(method, config, record, (image.shape[0], image.shape[1]), images).items():
            counts[way] += threshold_sweep(truth, maps[len(maps) - len(tags) :], tags, thresholds, k)
    protocol = Protocol("seed", run.dataset.name, run.recipe.data.train_split, len(records), len(run.training_records))
    fixed = int(np.abs(thresholds - run.recipe.evaluation.threshold).argmin())
    found: dict[str, Any] = {"recipe": run.recipe.name, "images": len(records)}
    for way in WAYS:
        best = best_threshold(counts[way], protocol)
        found[way] = {
            "mean_iou": score_counts(counts[way][best], protocol).mean_iou,
            "best_threshold": round(float(thresholds[best]), 6),
            f"mean_iou_at_{thresholds[fixed]:.2f}": score_counts(counts[way][fixed], protocol).mean_iou,
        }
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run with a trained classifier")
    parser.add_argument("--data", type=Path, help="where its data lie now")
    parser.add_argument("--images", type=int, default=100, help="how many images with masks are looked at (100)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    text = json.dumps(figures(opened(RunFolder(options.run), options.data), options.images), indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
