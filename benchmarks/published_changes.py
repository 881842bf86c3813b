"""What single published settings change in points, by recipes for PASCAL VOC that are made small.

    python benchmarks/published_changes.py VOC2012 --out runs/published [--weights FILE] [--only voc-sipe]

VOC2012 may be written by ``voc_layout.py``. Every recipe keeps its method, labels, losses and rates; the networks are
MobileNetV2, images and trainings are small (``SMALL``). It is run to its last stage with seed 0, and with more seeds as
far as the score that is compared. Then its setting is changed to the plainer way and what follows is done anew. A
second call goes on where the first one stopped. Written are ``published.json`` and, on the terminal, a table.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from changed_runs import carry_out

from tagmask.config import Recipe
from tagmask.config.recipes import load_recipe
from tagmask.conventions import Goal
from tagmask.scoring.comparison_table import shown, shown_gain
from tagmask.scoring.evaluation import evaluate
from tagmask.scoring.spreads import spread
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import begin_run

SMALL = (
    *("data.train_split=train", "training.steps=200", "training.batch_size=16", "training.augment.crop=257"),
    *("training.augment.long_side=[256,384]", "segmenter.training.steps=120", "segmenter.training.augment.crop=257"),
    *("segmenter.width=128", "log_every=20", "report.num_images=4", "workers=0", "masks.workers=1"),
)
SMALL_AFFINITY = ("affinity.training.steps=150", "affinity.training.batch_size=8", "affinity.training.augment.crop=257")
MIDDLE = "pad_type: same, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]"  # as those of TensorFlow's MobileNetV2 were made


@dataclass(frozen=True)
class Comparison:
    """A published setting of a recipe beside the plainer way.

    Attributes:
        recipe: its name.
        published: the published way, in words.
        plainer: the setting of the other way.
        first: the first stage that the setting touches.
        goal: how far runs go for the score.
        score: the key of the score.
        seeds: how many runs.
        both: settings that are changed in both ways.
    """

    recipe: str
    published: str
    plainer: str
    first: str
    goal: Goal
    score: str
    seeds: int
    both: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the recipe and of what is compared, as a folder's."""
        return f"{self.recipe}, {self.published}".replace(", ", "-").replace(" ", "-")


ONE_LOSS = ("segmenter.maximum_over=[]", "train-segmenter", "prediction", "prediction")
COMPARISONS = (
    Comparison("voc-eps", "four losses", *ONE_LOSS, 1),
    Comparison("voc-eps", "four losses at a quarter of the rate", *ONE_LOSS, 1, ("segmenter.training.rate=0.0000625",)),
    Comparison("voc-seam-ppc", "maps resized twice", "maps.resizing=once", "make-seed-maps", "seed", "seed_best", 3),
    Comparison("voc-sipe", "padded to 512 pixels", "affinity.padded_to=null", "make-masks", "mask", "mask", 3),
)
RECIPES = ("voc-psa", "voc-eps", "voc-seam-ppc", "voc-sipe")


def small(name: str, seed: int, weights: Path | None) -> Recipe:
    """A published recipe with small networks, small images and short trainings."""
    published = load_recipe(name)
    settings = [f"seed={seed}", *SMALL, f"backbone={_backbone(weights, 16, published.backbone.batch_norm)}"]
    if published.affinity is not None:
        settings += SMALL_AFFINITY
    if published.segmenter.backbone is not None:
        settings.append(f"segmenter.backbone={_backbone(weights, 8, published.segmenter.backbone.batch_norm)}")
    if published.data.saliency is not None:
        settings.append("data.saliency=built-in")
    return load_recipe(name, settings)


def _backbone(weights: Path | None, stride: int, batch_norm: str) -> str:
    start = "weights: none" if weights is None else f"weights: {weights}, {MIDDLE}"
    return f"{{kind: timm, model: mobilenetv2_100, {start}, output_stride: {stride}, batch_norm: {batch_norm}}}"


def scores_of(recipe: Recipe, data: Path, folder: Path, goal: Goal) -> dict[str, Any]:
    """Run a recipe as far as a goal, and score it."""
    run = begin_run(recipe, data, folder)
    run_all(run, goal)
    return evaluate(run)


def both_ways(each: Comparison, data: Path, out: Path, weights: Path | None) -> list[tuple[float, float]]:
    """Mean IoU in [0, 1] of the published way and of the plainer one, seed by seed."""
    found = []
    for seed in range(each.seeds):
        folder, place = out / each.recipe / f"seed-{seed}", out / each.name
        published = scores_of(small(each.recipe, seed, weights), data, folder, each.goal)
        if each.both:
            published = carry_out(folder, place / f"seed-{seed}", each.both, each.first, each.goal)
        plainer = carry_out(folder, place / f"seed-{seed}-not", (*each.both, each.plainer), each.first, each.goal)
        found.append((published[each.score]["mean_iou"], plainer[each.score]["mean_iou"]))
        print(f"{each.name}, seed {seed}: {found[-1][0]:.2%}, not so {found[-1][1]:.2%}", flush=True)
    return found


def table(found: dict[str, list[tuple[float, float]]]) -> str:
    """Both ways in percent and the difference of each comparison, with its interval where several seeds tell."""
    lines = ["| recipe | setting | score | published | plainer | difference |", "|---|---|---|--:|--:|--:|"]
    for each in COMPARISONS:
        if each.name in found:
            values = found[each.name]
            cells = [
                shown(spread([p for p, _ in values]), 1, 100),
                shown(spread([q for _, q in values]), 1, 100),
                shown_gain(spread([p - q for p, q in values])),
            ]
            lines.append(f"| `{each.recipe}` | {each.published} | {each.score} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder VOC2012")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--weights", type=Path, help="MobileNetV2's weights, as TensorFlow trained them")
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=RECIPES)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    for each in (each for each in COMPARISONS if each.recipe in arguments.only):
        found[each.name] = both_ways(each, arguments.data, arguments.out, arguments.weights)
    whole = {}
    for name in arguments.only:
        recipe = small(name, 0, arguments.weights)
        scores = scores_of(recipe, arguments.data, arguments.out / name / "seed-0", "prediction")
        whole[name] = {key: value["mean_iou"] for key, value in scores.items() if "mean_iou" in value}
        print(f"{name}: {', '.join(f'{key} {value:.1%}' for key, value in whole[name].items())}", flush=True)
    print(table(found))
    content = {"both_ways": found, "whole": whole}
    (arguments.out / "published.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
