"""The stage that finds instances: candidates of an image's maps, their walk, their parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from pydantic import BaseModel

from tagmask.config import InstancesConfig, IrnConfig, WalkConfig
from tagmask.contracts import AffinityModel, Dataset, Record
from tagmask.conventions import BACKGROUND
from tagmask.errors import TagmaskError
from tagmask.inference.passes import load_pyramids
from tagmask.masks.from_archives import walk_start
from tagmask.masks.grids import from_grid, long_side_factor, resized
from tagmask.masks.instances import (
    AnnotatedImage,
    Instance,
    annotation,
    candidate_maps,
    cluster_numbers,
    coco_instances,
    instances_of,
    winning_candidates,
)
from tagmask.masks.scores import argmax_classes
from tagmask.networks.memory_format import channels_last
from tagmask.stages.affinity import FindsCentres, Walk, neighbourhood, walker
from tagmask.stages.run import Run, trained_affinity_net
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import EachImage, Make, is_finished, missing
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import MapArchive, read_json_as, read_maps, write_json


def make_instances(run: Run) -> None:
    """Instance masks from the displacements of IRN; writes ``instances/`` and ``instances.json``.

    Raises:
        TagmaskError: the recipe asks for no instances, or its affinity network finds no centres of objects.
    """
    each = instances_of_each(run)
    if is_finished(run, "make-instances", [*each.files(), run.folder.instances]):
        return
    make = each.maker()
    with run.stage("make-instances", images=len(each.records)):
        make(each.records)
        this_process().wait_for_everyone()
        if this_process().is_main_process:
            write_json(run.folder.instances, merged_instances(run.folder, run.dataset, each.records))


def instances_of_each(run: Run) -> EachImage:
    """The instances of each image; raises as ``make_instances``."""
    config = run.recipe.instances
    if config is None:
        raise TagmaskError(
            f"recipe {run.recipe.name!r} asks for no instances; begin the run with --set instances={{}}, and with an "
            "affinity network of kind irn."
        )

    def maker() -> Make:
        run.require("train-affinity")
        return partial(_find_instances, run, trained_affinity_net(run, instances_affinity(run)), config)

    return EachImage(run.training_records, (run.folder.image_instances,), maker)


def instances_affinity(run: Run) -> IrnConfig:
    """The affinity network behind the recipe's instances, which is IRN: a run of another has not begun."""
    affinity = run.recipe.affinity
    assert isinstance(affinity, IrnConfig)
    return affinity


@torch.inference_mode()
def _find_instances(run: Run, net: AffinityModel, config: InstancesConfig, records: Sequence[Record]) -> None:
    assert isinstance(net, FindsCentres)
    walk, device, total = run.recipe.walk, this_process().device, len(records)
    left = missing(records, run.folder.image_instances)
    pyramids = load_pyramids(run.dataset, left, [1.0], walk.base_long_side, net.backbone.normalization, config.workers)
    maker = InstanceMaker(run.folder, config, walk, net.stride)
    for record, _, images in track(pyramids, "instances", total, total - len(left)):
        displacements = net.displacements(channels_last(images[0][None]).to(device))[0].float().cpu().numpy()
        along = walker(run, net, neighbourhood(net, images[0], walk))
        maker(record, (images[0].shape[1], images[0].shape[2]), displacements, along)


@dataclass(frozen=True)
class InstanceMaker:
    """Maps and displacements to the instances of an image.

    What wins a pixel must exceed the constant ``config.background``, as published. Where the method has learnt a
    background, that constant would say nothing: the walked maps, with the background among them, then decide the class
    of each pixel as they do for pseudo masks, and clusters only part the objects of a class.

    Attributes:
        run: where maps are read and instances are written.
        config: clusters, background, smallest instance.
        walk: how maps come to the grid.
        stride: cell of the grid in pixels of the image that was walked on.
    """

    run: RunFolder
    config: InstancesConfig
    walk: WalkConfig
    stride: int

    def __call__(
        self, record: Record, scaled: tuple[int, int], displacements: Float32[np.ndarray, "2 p q"], walk: Walk
    ) -> None:
        """Write the instances of one image.

        Args:
            record: the image; its maps exist.
            scaled: rows and columns of the image that the network saw, without padding.
            displacements: of that image, in cells.
            walk: the random walk along its affinities.
        """
        archive = read_maps(self.run.maps(record.id))
        found = self.instances(archive, scaled, displacements, walk)
        content = {"size": list(archive.size), "annotations": [annotation(instance) for instance in found]}
        write_json(self.run.image_instances(record.id), content)

    def instances(
        self,
        archive: MapArchive,
        scaled: tuple[int, int],
        displacements: Float32[np.ndarray, "2 p q"],
        walk: Walk,
    ) -> list[Instance]:
        """The instances at the size of the image; arguments as for a call."""
        size = archive.size
        is_class = archive.classes != BACKGROUND
        start = walk_start(resized(archive.maps[is_class], size), scaled, self.stride, self.walk)
        candidates, origins = candidate_maps(start, cluster_numbers(displacements, self.config))
        class_numbers = archive.classes[is_class][origins]
        cell = self.stride / long_side_factor(size, self.walk.base_long_side)
        mask = self._mask(archive, scaled, walk, cell) if archive.has_background else None

        def score(chosen: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "n h w"]:
            scores = from_grid(walk(candidates[chosen]), cell, size)
            return scores if mask is None else scores * (mask == class_numbers[chosen, None, None])

        shares, winner = winning_candidates(candidates, score, size, self.config.background if mask is None else 0.0)
        return list(instances_of(shares, winner, class_numbers, self.config))

    def _mask(self, archive: MapArchive, scaled: tuple[int, int], walk: Walk, cell: float) -> Int32[np.ndarray, "h w"]:
        """The class of each pixel where maps and learnt background walk together."""
        start = walk_start(resized(archive.maps, archive.size), scaled, self.stride, self.walk)
        return argmax_classes(from_grid(walk(start), cell, archive.size), archive.classes)


class _ImageInstances(BaseModel):
    """What the file of an image's instances holds."""

    size: tuple[int, int]
    annotations: list[dict[str, Any]]


def merged_instances(run: RunFolder, dataset: Dataset, records: Sequence[Record]) -> dict[str, Any]:
    """The instances of all images as one COCO file."""
    return coco_instances([_annotated(run, dataset, record) for record in records], dataset.classes)


def _annotated(run: RunFolder, dataset: Dataset, record: Record) -> AnnotatedImage:
    path = dataset.image_path(record)
    file = run.image_instances(record.id)
    remedy = "delete it, and `tagmask make-instances` writes it anew"
    content = read_json_as(file, _ImageInstances.model_validate, remedy)
    name = f"{record.id}{'.png' if path is None else path.suffix}"
    return AnnotatedImage(name, content.size, content.annotations)
