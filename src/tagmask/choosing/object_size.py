"""Whether objects are small, found from tags alone: which pooling of a pretrained backbone tells held-out tags better.

The mean of a feature map describes what fills an image, its maximum what is anywhere in it. Linear classifiers on both
learn the tags of four fifths of some images and judge the last fifth, five times over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from PIL import Image

from tagmask.contracts import Backbone, Dataset, ImageArray, Record
from tagmask.doctor.census import tag_matrix
from tagmask.doctor.tags.out_of_fold import judge
from tagmask.scoring.metrics import mean_average_precision
from tagmask.system.progress import track

OF_EACH_CLASS = 40
LONGEST = 416  # pixels that an image is scaled down to
SHORTEST = 32
DRAWS = 200  # of the images, with replacement, to know how much is chance
CERTAINTY = 0.8  # of the interval


@dataclass(frozen=True)
class PoolingTrial:
    """How well held-out tags are told by either pooling.

    Attributes:
        by_mean: mean average precision of the mean.
        by_maximum: of the maximum.
        lead_between: between what the lead of the maximum lies, but for one case in five; None: it cannot be told,
            as too few images are alike.
    """

    by_mean: float = 0.0
    by_maximum: float = 0.0
    lead_between: tuple[float, float] | None = None


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
    mean, maximum = (judge(np.stack(each), tags, np.arange(len(records))) for each in zip(*vectors, strict=True))
    if not mean.judged.any():
        return PoolingTrial()
    judged = mean.judged
    return _compared(
        mean.probabilities[:, judged].astype(float), maximum.probabilities[:, judged].astype(float), tags[:, judged]
    )


def _compared(
    mean: Float[np.ndarray, "n c"], maximum: Float[np.ndarray, "n c"], tags: Bool[np.ndarray, "n c"]
) -> PoolingTrial:
    """Both scores, and by bootstrap over images between what their difference lies."""
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(tags), len(tags)) for _ in range(DRAWS)]
    leads = [lead for draw in draws if (lead := _lead(mean[draw], maximum[draw], tags[draw])) is not None]
    low, high = np.quantile(leads, [(1 - CERTAINTY) / 2, (1 + CERTAINTY) / 2])
    by_mean, by_maximum = (mean_average_precision(each, tags) or 0.0 for each in (mean, maximum))
    return PoolingTrial(by_mean, by_maximum, (float(low), float(high)))


def _lead(
    mean: Float[np.ndarray, "n c"], maximum: Float[np.ndarray, "n c"], tags: Bool[np.ndarray, "n c"]
) -> float | None:
    by_mean, by_maximum = mean_average_precision(mean, tags), mean_average_precision(maximum, tags)
    return None if by_mean is None or by_maximum is None else by_maximum - by_mean


def _vectors(backbone: Backbone, image: ImageArray) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, " d"]]:
    factor = min(1.0, LONGEST / max(image.shape[:2]))
    rows, columns = (max(SHORTEST, round(side * factor)) for side in image.shape[:2])
    pixels = np.asarray(Image.fromarray(image).resize((columns, rows), reducing_gap=3.0))
    grids = backbone.forward_levels(backbone.normalization.apply(pixels)[None])
    coarse = grids[2:] or grids
    mean = torch.cat([grid.mean(dim=(2, 3))[0] for grid in coarse])
    highest = torch.cat([grid.amax(dim=(2, 3))[0] for grid in coarse])
    return mean.float().numpy(), highest.float().numpy()
