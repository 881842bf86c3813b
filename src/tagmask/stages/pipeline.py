"""The stages in their order. Each reads folders and writes folders, skips what is finished, and notes itself last."""

from collections.abc import Callable, Mapping

from tagmask.contracts import Record
from tagmask.conventions import Goal
from tagmask.data.datasets import score_records
from tagmask.stages.affinity import train_affinity
from tagmask.stages.classifier import make_maps, make_seed_maps, train_method
from tagmask.stages.instances import make_instances
from tagmask.stages.masks import make_masks
from tagmask.stages.run import Run
from tagmask.stages.saliency import make_saliency
from tagmask.stages.segmenter import train_segmenter

COMMANDS: Mapping[str, Callable[[Run], None]] = {
    "make-saliency": make_saliency,
    "train-method": train_method,
    "make-maps": make_maps,
    "train-affinity": train_affinity,
    "make-masks": make_masks,
    "make-instances": make_instances,
    "train-segmenter": train_segmenter,
}
"""What carries out each stage that is a command of its own."""


def _shown(run: Run) -> tuple[Record, ...]:
    """The tagged training images whose maps a report shows, where no image has a mask to score maps on."""
    tagged = [record for record in run.training_records if record.tags]
    step = max(1, len(tagged) // max(1, run.recipe.report.num_images))
    return tuple(tagged[::step])


def run_all(run: Run, until: Goal = "prediction") -> None:
    """All stages in order, or those up to the maps of the images that score seeds, or up to the pseudo masks."""
    if run.recipe.segmenter.learn_from == "masks" and until == "prediction":
        if run.recipe.segmenter.initial == "method":
            train_method(run)
        train_segmenter(run)
        return
    train_method(run)
    if until == "seed":
        make_seed_maps(run, score_records(run.dataset, run.recipe.data, run.data) or _shown(run))
        return
    make_maps(run)
    train_affinity(run)
    make_masks(run)
    if until == "mask":
        return
    if run.recipe.instances is not None:
        make_instances(run)
    train_segmenter(run)
