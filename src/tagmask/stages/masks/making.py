"""The stage that makes pseudo masks: maps walk along the affinities, a dense CRF sharpens them, the best class wins.

An image is read once: while its neighbour's maps walk, threads make its mask of the walk that has just ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tagmask.config import AffinityConfig
from tagmask.contracts import AffinityModel, ImageArray, Record
from tagmask.stages.affinity import walk_maps, walked_maps
from tagmask.stages.classifier import make_maps_again
from tagmask.stages.keeping import Keeping, background_images, keeping
from tagmask.stages.masks.maker import MaskMaker
from tagmask.stages.masks.quality import write_quality
from tagmask.stages.masks.strength import background_factor, is_to_be_found
from tagmask.stages.run import Run, trained_affinity_net
from tagmask.stages.sharing import EachImage, Make, crf_device, is_finished, make_of_each, missing
from tagmask.system.processes import this_process
from tagmask.system.storage import MapArchive, as_written, is_whole, write_maps
from tagmask.system.workers import available_cores, behind


def make_masks(run: Run) -> None:
    """Random walk and CRF; writes ``walks/``, ``masks/``, ``confidence/`` and ``quality.csv``."""
    each, kept = masks_of_each(run), keeping(run)
    if not is_finished(run, "make-masks", [*each.files(), run.folder.quality]):
        make = each.maker()
        with run.stage("make-masks", images=len(each.records)):
            make(each.records)
            if this_process().is_main_process:
                write_quality(run.folder, each.records)
            this_process().wait_for_everyone()
    if this_process().is_main_process:
        kept.remove_the_rest()


def masks_of_each(run: Run) -> EachImage:
    """Walk, confidence and mask; those first on which the strength of the background is found, if it is."""
    walks = [] if run.recipe.affinity is None else [keeping(run).walk_file]
    paths = (*walks, run.folder.confidence, run.folder.mask)
    return EachImage(run.training_records, paths, partial(_maker, run), background_images(run))


def _maker(run: Run) -> Make:
    config = run.recipe.affinity
    run.require("make-maps" if config is None else "train-affinity")
    net = None if config is None else trained_affinity_net(run, config)

    def make(records: Sequence[Record]) -> None:
        make_maps_again(run, records)
        if config is not None and net is not None:
            if is_to_be_found(run):
                walk_maps(run, net, config, background_images(run))
            _walk_and_make(run, net, config, records)
        made, maker = (run.folder.confidence, run.folder.mask), mask_maker(run)
        make_of_each(run, maker, records, "pseudo masks (CRF)", *made, device=maker.device)

    return make


def mask_maker(run: Run) -> MaskMaker:
    """What makes the pseudo masks of a run whose maps, and walks if it has any, are there."""
    affinity, masks = run.recipe.affinity, run.recipe.masks
    walk, stride = (None, 1) if affinity is None else (run.recipe.walk, affinity.stride)
    device = crf_device(masks.crf, masks.confident and masks.confident.crf)
    maker = MaskMaker(run.folder, run.dataset, masks, walk, stride, device=device)
    return replace(maker, factor=background_factor(run, maker))


# ── walk and mask at once ────────────────────────────────────────────────────────────────────────────────────────────


def _walk_and_make(run: Run, net: AffinityModel, config: AffinityConfig, records: Sequence[Record]) -> None:
    """Walk the maps of every image that lacks a walk, and make its mask of it."""
    finish = _Finish(mask_maker(run), keeping(run))
    lacking = missing(records, finish.kept.walk_file, run.folder.confidence, run.folder.mask)
    left = [record for record in lacking if finish.needs_a_walk(record)]
    threads = min(max(1, run.recipe.masks.workers), available_cores())
    with behind(2 * threads, threads) as put:
        for record, image, walked in walked_maps(run, net, config, left, "walks and pseudo masks", len(records)):
            put(finish, record, image, walked)
    this_process().wait_for_everyone()


@dataclass(frozen=True)
class _Finish:
    """What is done with a walk: it is written if it is kept, and the mask is made of it if there is none."""

    maker: MaskMaker
    kept: Keeping

    def needs_a_walk(self, record: Record) -> bool:
        from_walk = self.maker.config.confident is None
        return (self.kept.walk(record.id) or from_walk) and not is_whole(self.maker.run.walks(record.id))

    def __call__(self, record: Record, image: ImageArray, walked: MapArchive) -> None:
        run = self.maker.run
        path = run.walks(record.id)
        if self.kept.walk(record.id):
            write_maps(path, walked)
        if not all(is_whole(made(record.id)) for made in (run.confidence, run.mask)):
            self.maker.make(record, image, as_written(path, walked))
