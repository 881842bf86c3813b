"""What is done to one image to find its instances: candidates of its maps, their walk, their parts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from tagmask.config import InstancesConfig, WalkConfig
from tagmask.contracts import Dataset, Images, Record
from tagmask.conventions import BACKGROUND
from tagmask.masks.grids import from_grid, long_side_factor, to_image
from tagmask.masks.instances import (
    AnnotatedImage,
    Instance,
    annotation,
    candidate_maps,
    cluster_numbers,
    coco_instances,
    instances_of,
    winners,
)
from tagmask.masks.scores import argmax_classes
from tagmask.stages.masks import has_background, walk_start
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, read_json, read_maps, write_json

Walk = Callable[[Float[np.ndarray, "_ p q"]], Float[np.ndarray, "_ p q"]]


@runtime_checkable
class FindsCentres(Protocol):
    """A network that says how far each cell is from the centre of its object, and in which direction."""

    def displacements(self, images: Images) -> Float[Tensor, "b 2 p q"]:
        """(rows, columns) in cells of the affinity grid."""
        ...

    def calibrate(self, images: Iterable[Float[Tensor, "_ 3 _ _"]]) -> None:
        """Measure, after training, the mean displacement, which pairs of cells cannot tell."""
        ...


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
        start = walk_start(to_image(archive.maps[is_class], size), scaled, self.stride, self.walk)
        candidates, origins = candidate_maps(start, cluster_numbers(displacements, self.config))
        class_numbers = archive.classes[is_class][origins]
        cell = self.stride / long_side_factor(size, self.walk.base_long_side)
        mask = self._mask(archive, scaled, walk, cell) if has_background(archive.classes) else None

        def score(chosen: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "n h w"]:
            scores = from_grid(walk(candidates[chosen]), cell, size)
            return scores if mask is None else scores * (mask == class_numbers[chosen, None, None])

        shares, winner = winners(candidates, score, size, self.config.background if mask is None else 0.0)
        return list(instances_of(shares, winner, class_numbers, self.config))

    def _mask(self, archive: MapArchive, scaled: tuple[int, int], walk: Walk, cell: float) -> Int32[np.ndarray, "h w"]:
        """The class of each pixel where maps and learnt background walk together."""
        start = walk_start(to_image(archive.maps, archive.size), scaled, self.stride, self.walk)
        return argmax_classes(from_grid(walk(start), cell, archive.size), archive.classes)


def merged_instances(run: RunFolder, dataset: Dataset, records: Sequence[Record]) -> dict[str, Any]:
    """The instances of all images as one COCO file."""
    return coco_instances([_annotated(run, dataset, record) for record in records], dataset.classes)


def _annotated(run: RunFolder, dataset: Dataset, record: Record) -> AnnotatedImage:
    path = dataset.image_path(record)
    content = cast(dict[str, Any], read_json(run.image_instances(record.id)))
    rows, columns = content["size"]
    return AnnotatedImage(
        f"{record.id}{'.png' if path is None else path.suffix}", (rows, columns), content["annotations"]
    )
