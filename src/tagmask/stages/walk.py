"""The random walk of an image's maps, in the neighbourhood that an affinity network finds."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int16

from tagmask.affinity.random_walk import random_walk
from tagmask.config import AffinityConfig
from tagmask.contracts import AffinityModel, Neighbourhood, Record
from tagmask.inference.passes import load_pyramids, padded_to
from tagmask.masks.from_archives import scores_with_background, walk_start
from tagmask.masks.grids import resized
from tagmask.stages.run import Run
from tagmask.stages.sharing import missing
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import MapArchive, read_maps, write_maps

Walk = Callable[[Float[np.ndarray, "_ p q"]], Float[np.ndarray, "_ p q"]]


@torch.inference_mode()
def walk_maps(run: Run, net: AffinityModel, config: AffinityConfig) -> None:
    """Walk the maps of every training image that has no walk yet; writes ``walks/``."""
    walk, device, records = run.recipe.walk, this_process().device, run.training_records
    left = missing(records, run.folder.walks)
    pyramids = load_pyramids(
        run.dataset, left, [1.0], walk.base_long_side, net.backbone.normalization, run.recipe.maps.workers
    )
    for record, image, images in track(pyramids, "random walk", len(records), len(records) - len(left)):
        size = (images[0].shape[1], images[0].shape[2])
        scores, classes = _scores(run, record, (image.shape[0], image.shape[1]))
        found = net.neighbourhood(padded_to(images[0], config.stride)[None].to(device), walk.border)
        walked = walker(run, net, found)(walk_start(scores, size, config.stride, walk))
        write_maps(run.folder.walks(record.id), MapArchive(classes, walked, (image.shape[0], image.shape[1])))


def walker(run: Run, net: AffinityModel, found: Neighbourhood) -> Walk:
    """The walk of maps in the neighbourhood of one image."""
    walk = run.recipe.walk
    affinities = found.affinities[0].cpu().numpy()
    passable = np.float32(1) if found.passable is None else found.passable[0].cpu().numpy()
    return lambda maps: random_walk(
        maps * passable,
        affinities,
        net.offsets,
        beta=walk.beta,
        steps=walk.steps,
        form=walk.form,
        tolerance=walk.tolerance,
    )


def _scores(
    run: Run, record: Record, size: tuple[int, int]
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """What walks: the maps, and with them the background where it is a power of them or learnt."""
    archive = read_maps(run.folder.maps(record.id))
    background = run.recipe.masks.background
    if background.rule == "power" and background.when == "before_walk":
        return scores_with_background(archive, size, background)
    return resized(archive.maps, size), archive.classes
