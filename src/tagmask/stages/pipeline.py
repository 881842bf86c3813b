"""The stages in their order. Each reads folders and writes folders, skips what is finished, and notes itself last."""

from collections.abc import Callable, Mapping
from contextlib import closing

from tagmask.conventions import Goal
from tagmask.errors import TagmaskError
from tagmask.stages.affinity import labels_of_each, train_affinity
from tagmask.stages.classifier import make_maps, make_seed_maps, maps_of_each, train_method
from tagmask.stages.instances import instances_of_each, make_instances
from tagmask.stages.keeping import images_to_look_at
from tagmask.stages.masks import make_masks, masks_of_each
from tagmask.stages.run import Run
from tagmask.stages.saliency import make_saliency, saliency_of_each
from tagmask.stages.segmenter import train_segmenter
from tagmask.stages.sharing import EachImage
from tagmask.stages.table import stage_named
from tagmask.system.lock import CLAIMS, InUseError, beside_others, lock_for
from tagmask.system.processes import this_process
from tagmask.system.shards.claims import living, told, waited_for
from tagmask.system.shards.shard import Shard
from tagmask.system.storage import is_whole, remove_abandoned

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

EACH_IMAGE: Mapping[str, Callable[[Run], EachImage]] = {
    "make-saliency": saliency_of_each,
    "make-maps": maps_of_each,
    "train-affinity": labels_of_each,
    "make-masks": masks_of_each,
    "make-instances": instances_of_each,
}
"""What stages do image by image: all of a stage but its tables, or the labels before its training."""


def run_all(run: Run, until: Goal = "prediction") -> None:
    """All stages in order, or those up to the maps of the images that score seeds, or up to the pseudo masks."""
    if run.recipe.segmenter.learn_from == "masks" and until == "prediction":
        if run.recipe.segmenter.initial == "method":
            train_method(run)
        train_segmenter(run)
        return
    train_method(run)
    if until == "seed":
        make_seed_maps(run, images_to_look_at(run))
        return
    make_maps(run)
    train_affinity(run)
    make_masks(run)
    if until == "mask":
        return
    if run.recipe.instances is not None:
        make_instances(run)
    train_segmenter(run)


# ── many machines ────────────────────────────────────────────────────────────────────────────────────────────────────


def carry_out_shard(run: Run, stage: str, shard: Shard) -> str:
    """Make the files of a shard's images; the last shard to end finishes the stage, unless that is a training.

    Args:
        run: as ``open_shard`` gives it.
        stage: one of ``EACH_IMAGE``.
        shard: which images.

    Returns:
        How far the stage is now, in a sentence.

    Raises:
        TagmaskError: several processes were started as one, the folder is in use, or what the stage raises.
    """
    if this_process().num_processes > 1:
        raise TagmaskError("--shard is for processes that do not know each other; start each without a launcher")
    each, claims = EACH_IMAGE[stage](run), run.folder.path / CLAIMS
    with beside_others(run.folder.path, f"{stage}-{shard.name}", f"{stage} --shard {shard}"):
        make = each.maker()
        if each.first:
            with waited_for(claims / f"{stage}-first.json", f"{stage} of the first images"):
                make(each.first)
        with closing(shard.parts(each.records, claims, stage)) as parts:
            for part in parts:
                make(part)
    return _finished_by_the_last(run, stage, each)


def _finished_by_the_last(run: Run, stage: str, each: EachImage) -> str:
    """Finish a stage if no other shard is at work and nothing is missing; what killed ones were writing is removed."""
    command = f"`tagmask {stage} {run.folder.path}`"
    if others := living(run.folder.path / CLAIMS):
        return f"this shard is done; at work: {'; '.join(map(told, others))}. The last one finishes {stage}."
    lacking = next((file for file in each.files() if not is_whole(file)), None)
    if lacking is not None:
        return f"this shard is done; others are not, {lacking} is missing. Run them, or {command} without --shard."
    if stage_named(stage).network is not None:
        return f"all shards are done. Next: {command}, which trains."
    try:
        lock_for(run, run.folder.path)
    except InUseError:
        return f"this shard is done; another call finishes {stage}."
    remove_abandoned(run.folder.path)
    COMMANDS[stage](run)
    return f"all shards are done, and so is {stage}."
