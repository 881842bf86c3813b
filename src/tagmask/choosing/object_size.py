"""Whether objects are small, found from tags alone: which pooling of a pretrained backbone tells held-out tags better.

The mean of a feature map describes what fills an image, its maximum what is anywhere in it. Linear classifiers on both
learn the tags of four fifths of some images and judge the last fifth, five times over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image

from tagmask.contracts import Backbone, Dataset, ImageArray, Record
from tagmask.doctor.census import tag_matrix
from tagmask.doctor.tags.out_of_fold import judge
from tagmask.scoring.metrics import average_precision
from tagmask.system.progress import track

OF_EACH_CLASS = 40
LONGEST = 416  # pixels that an image is scaled down to
SHORTEST = 32
CLEAR = 0.01  # of mean average precision by which the maximum must lead: less is chance


@dataclass(frozen=True)
class PoolingTrial:
    """Mean average precision of held-out tags by either pooling; None where no class has images enough."""

    by_mean: float | None
    by_maximum: float | None

    @property
    def objects_are_small(self) -> bool:
        """Whether the maximum tells tags clearly better."""
        known = self.by_mean is not None and self.by_maximum is not None
        return known and self.by_maximum > self.by_mean + CLEAR  # pyright: ignore[reportOptionalOperand] - known


def spread_over_classes(records: Sequence[Record], num_classes: int, number: int = OF_EACH_CLASS) -> list[Record]:
    """Some images of each class and some without any, evenly spaced over the list."""
    groups = [[record for record in records if place in record.tags] for place in range(num_classes)]
    groups.append([record for record in records if not record.tags])
    chosen: dict[str, Record] = {}
    for group in groups:
        count = min(number, len(group))
        chosen |= {group[i * len(group) // count].id: group[i * len(group) // count] for i in range(count)}
    return list(chosen.values())


@torch.no_grad()
def try_poolings(dataset: Dataset, records: Sequence[Record], backbone: Backbone) -> PoolingTrial:
    """Compare both poolings of all levels but the two finest.

    Args:
        dataset: where the images are.
        records: some of its training images.
        backbone: pretrained, in evaluation mode.
    """
    vectors = [
        _vectors(backbone, dataset.read_image(record))
        for record in track(records, "how large objects are", len(records))
    ]
    tags = tag_matrix(records, len(dataset.classes))
    precisions = []
    for place in range(2):
        said = judge(np.stack([pair[place] for pair in vectors]), tags, np.arange(len(records)))
        each = [
            average_precision(said.probabilities[:, c].astype(float), tags[:, c]) for c in np.flatnonzero(said.judged)
        ]
        known = [value for value in each if value is not None]
        precisions.append(fmean(known) if known else None)
    return PoolingTrial(*precisions)


def _vectors(backbone: Backbone, image: ImageArray) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, " d"]]:
    factor = min(1.0, LONGEST / max(image.shape[:2]))
    rows, columns = (max(SHORTEST, round(side * factor)) for side in image.shape[:2])
    pixels = np.asarray(Image.fromarray(image).resize((columns, rows), reducing_gap=3.0))
    grids = backbone.forward_levels(backbone.normalization.apply(pixels)[None])
    coarse = grids[2:] or grids
    mean = torch.cat([grid.mean(dim=(2, 3))[0] for grid in coarse])
    highest = torch.cat([grid.amax(dim=(2, 3))[0] for grid in coarse])
    return mean.float().numpy(), highest.float().numpy()
