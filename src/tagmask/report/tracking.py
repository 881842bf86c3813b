"""What trackers of experiments are told at the end of a run: its scores, and the pictures of its report."""

from collections.abc import Mapping
from typing import Any

from tagmask.contracts import ImageArray
from tagmask.report.content import Card, ReportContent
from tagmask.scoring.table import in_order, mean_of
from tagmask.stages.run import Run
from tagmask.training.engine import num_steps
from tagmask.training.trackers import open_trackers

TOPIC = "results"


def tell_trackers(run: Run, scores: Mapping[str, Any], content: ReportContent) -> None:
    """Tell every tracker that any training of the run names: percentages by what was scored, pictures by image.

    Raises:
        TagmaskError: a tracker is not installed.
    """
    recipe = run.recipe
    trainings = [recipe.training, recipe.segmenter.training]
    trainings += [recipe.affinity.training] if recipe.affinity is not None else []
    names = dict.fromkeys(name for training in trainings for name in training.trackers)
    trackers = open_trackers([*names], run.folder.path, TOPIC, {"recipe": recipe.name, "data": run.dataset.name})
    last = num_steps(recipe.segmenter.training, len(run.training_records))
    means = {key: mean_of(scores[key]) for key in in_order(scores)}
    trackers.numbers({key: 100 * mean for key, mean in means.items() if mean is not None}, last)
    for card in (*content.training, *content.validation):
        trackers.pictures(pictures_of(card))
    trackers.finish()


def pictures_of(card: Card) -> dict[str, ImageArray]:
    """The pictures of an image by its name and what they show."""
    shown = [picture for picture in card.pictures if picture is not None]
    return {f"{card.id}/{picture.caption.replace(':', '')}": picture.pixels for picture in shown}
