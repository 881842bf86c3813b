"""Activation maps of one image: all scales through the method, summed, normalised, written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tagmask.config import MapsConfig
from tagmask.contracts import Method, Record
from tagmask.inference.passes import class_maps, summed_activations
from tagmask.masks.grids import feature_grid
from tagmask.masks.scores import normalize_max, normalize_min_max
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, write_maps


@dataclass(frozen=True)
class MapMaker:
    """Writes the maps of an image.

    Attributes:
        folder: the run.
        config: scales and grid of the maps.
        method: a trained method in evaluation mode.
    """

    folder: RunFolder
    config: MapsConfig
    method: Method

    def __call__(
        self, record: Record, size: tuple[int, int], images: Sequence[Float[Tensor, "3 _ _"]], tags_given: bool
    ) -> None:
        """Write the maps of an image's tags, or of those that are predicted.

        Args:
            record: the image.
            size: its rows and columns.
            images: the normalised image at each scale.
            tags_given: whether its own tags are used.
        """
        activations, logits = summed_activations(self.method, images, self.config.flip)
        predicted = (logits.sigmoid() >= self.config.tag_threshold).nonzero().flatten().tolist()
        tags = torch.tensor(list(record.tags) if tags_given else predicted, dtype=torch.long)
        known = torch.zeros_like(logits).index_fill_(0, tags.to(logits.device), 1.0)[None]
        finished = [self.method.finish(activation, known) for activation in activations]
        grid = size if self.config.size == "image" else feature_grid(size, self.method.backbone.stride)
        maps = class_maps(finished, tags.to(logits.device), grid).cpu().numpy()
        normalize = normalize_max if self.method.map_normalization == "max" else normalize_min_max
        has_background = len(maps) > len(tags)
        classes = np.array([0] * has_background + [tag + 1 for tag in tags.tolist()], np.int16)
        write_maps(self.folder.maps(record.id), MapArchive(classes, normalize(maps) if len(maps) else maps, size))
