"""Class maps for small objects: scores on a fine grid of several levels, pooled by log-sum-exp.

The mean over an image drowns an object of a thousandth of it, and the maximum teaches one pixel at a time. Pinheiro &
Collobert (CVPR 2015) take what lies between, (1 / r) log mean exp(r s): the mean for small r, the maximum for large r.
Here each class learns its r. A grid as fine as 4 or 8 pixels comes from levels of the backbone that are added.

No constant tells object from background for scores like these: what is tiny stands out by its peak and is blurred
around it, what is wide rises above what images without the tag reach. Both are known without a mask. After training
each class's width at its peak and its scores on images without its tag are measured, and the threshold of an image is a
mean of both rules, weighted by the width.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import PyramidConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup, Tags
from tagmask.errors import TagmaskError
from tagmask.methods.cam import tag_loss
from tagmask.networks.layers import FusedLevels
from tagmask.networks.levels import fine_levels
from tagmask.networks.padding import without_padding
from tagmask.networks.parameter_groups import grouped_parameters

RARE = -2.0  # logit that a class starts from: most images do not show it
PEAK = 4.0  # logits below its largest score at which what is tiny ends
TINY = 20.0  # pixels across up to which the peak alone decides
QUANTILE = 0.95  # of the scores of images without the tag: what is wide lies above it
CELLS = 256  # of an image that are looked at to find that quantile


@dataclass(frozen=True)
class ScoredActivation(Activation):
    """What the method knows beyond its maps.

    Attributes:
        scores: of each class in each cell, ``b c p q``.
        passes: how many passes have been added, in each cell, ``b 1 p q``.
    """

    scores: Float[Tensor, "b c p q"]
    passes: Float[Tensor, "b 1 p q"]


def log_mean_exp(scores: Float[Tensor, "b c p q"], sharpness: Float[Tensor, " c"]) -> Float[Tensor, "b c"]:
    """(1 / r) log mean exp(r s) over the cells of each image (Pinheiro & Collobert, eq. 6).

    Args:
        scores: of each class in each cell.
        sharpness: r of each class, above 0.

    >>> scores = torch.tensor([0.0, 2.0])[None, None, None]
    >>> log_mean_exp(scores, torch.tensor([1.0])).item()  # log((1 + e^2) / 2)
    1.4337809085845947
    """
    flat = scores.flatten(2) * sharpness[:, None]
    return (flat.logsumexp(2) - math.log(flat.shape[2])) / sharpness


def object_thresholds(
    scores: Float[Tensor, "b c p q"], negative_level: Float[Tensor, " c"], width: Float[Tensor, " c"]
) -> Float[Tensor, "b c 1 1"]:
    """Where objects end: w (largest score - PEAK) + (1 - w) negative level, w = min(1, TINY / width)^2.

    Args:
        scores: of each class in each cell.
        negative_level: of each class, what images without its tag hardly exceed.
        width: of each class, pixels across of what rises to its peak.
    """
    peak = scores.amax(dim=(2, 3), keepdim=True) - PEAK
    weight = (TINY / width.clamp(min=TINY)).square()[:, None, None]
    return weight * peak + (1 - weight) * torch.minimum(negative_level[:, None, None], peak)


def widest(region: Bool[np.ndarray, "p q"]) -> float:
    """Cells across of the largest disc in a region: twice the largest distance to what is outside, border included.

    >>> widest(np.ones((3, 9), bool))
    4.0
    """
    return 2.0 * float(np.max(np.asarray(distance_transform_edt(np.pad(region, 1)))))


def _joined(alone: Sequence[ScoredActivation]) -> ScoredActivation:
    """One batch of single images; grids that are smaller than the largest end with zeros."""
    rows, columns = (max(each.scores.shape[axis] for each in alone) for axis in (2, 3))

    def grids(name: str) -> Tensor:
        each = (getattr(one, name) for one in alone)
        return torch.cat([F.pad(grid, (0, columns - grid.shape[3], 0, rows - grid.shape[2])) for grid in each])

    names = ("maps", "background", "embedding", "scores", "passes")
    return ScoredActivation(torch.cat([each.logits for each in alone]), **{name: grids(name) for name in names})


class Pyramid(Method[ScoredActivation]):
    """A classifier on several levels of a backbone whose image scores are soft maxima of its maps.

    Args:
        config: settings of the method.
        backbone: where the features come from.
        num_classes: classes without background.

    Raises:
        TagmaskError: levels the backbone does not have.
    """

    config_type = PyramidConfig
    num_views = 1
    map_normalization = "mean"

    def __init__(self, config: PyramidConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_classes = num_classes
        chosen = config.levels or fine_levels(backbone.levels, config.finest_stride)
        if max(chosen) >= len(backbone.levels):
            raise TagmaskError(
                f"method.levels {list(chosen)}: the backbone has the levels 0 to {len(backbone.levels) - 1}; choose "
                "among them, or none to have them found"
            )
        self.fused = FusedLevels(backbone.levels, chosen, config.width)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(config.width, num_classes, 1)
        nn.init.zeros_(self.classify.bias)  # pyright: ignore[reportArgumentType] - it has one
        self.log_sharpness = nn.Parameter(torch.full((num_classes,), math.log(config.sharpness)))
        self.bias = nn.Parameter(torch.full((num_classes,), RARE))
        self.cell = backbone.levels[chosen[0]].stride
        self.negative_level: Tensor
        self.width: Tensor
        self.register_buffer("negative_level", torch.zeros(num_classes))
        self.register_buffer("width", torch.full((num_classes,), TINY))

    @property
    def embedding_channels(self) -> int:
        """Those of the fused levels."""
        return self.config.width

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """One view: the batch itself."""
        return [images]

    def forward(self, images: Images) -> ScoredActivation:
        """Logits ``b c``, the soft maxima of the scores; maps ``b c p q``, the probability of lying in an object."""
        features = self.fused(self.backbone.forward_levels(images))
        scores = self.classify(self.dropout(features)).float() + self.bias[:, None, None]
        maps = torch.sigmoid(scores - object_thresholds(scores, self.negative_level, self.width))
        background = 1 - maps.amax(dim=1, keepdim=True)
        logits = log_mean_exp(scores, self.log_sharpness.exp())
        return ScoredActivation(logits, maps, background, features, scores, torch.ones_like(background))

    def outputs(self, batch: Batch) -> list[ScoredActivation]:
        """One view, whose images pass one by one without their padding, as they will be seen later.

        Padding would count in the features' normalisation, and the border of an image would look like nothing that is
        learned, while a soft maximum listens to a single cell. Grids smaller than the largest end with zeros.
        """
        alone = [self(image) for image in without_padding(batch.images, batch.valid)]
        return [_joined(alone)]

    def finish(
        self,
        activation: ScoredActivation,
        tags: Tags | None = None,
        valid: Bool[Tensor, "b h w"] | None = None,  # noqa: ARG002
    ) -> ScoredActivation:
        """The background is where none of the tags is."""
        if tags is None:
            return activation
        best = (activation.maps * tags[:, :, None, None]).amax(dim=1, keepdim=True)
        return replace(activation, background=activation.passes - best)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure each class's scores on images without its tag, and how wide it is at its peak.

        Widths are those in images enlarged twice: in smaller ones all that is tiny is as wide as the blur of the maps.
        """
        without: list[list[Tensor]] = [[] for _ in range(self.num_classes)]
        across: list[list[float]] = [[] for _ in range(self.num_classes)]
        for batch in batches:
            for image, tags in zip(without_padding(batch.images, batch.valid), batch.tags, strict=True):
                seen = self(image).scores[0].flatten(1)
                seen = seen[:, :: max(1, seen.shape[1] // CELLS)]
                for number in (tags == 0).nonzero().flatten().tolist():
                    without[number].append(seen[number])
                for number, width in self._widths(image, tags).items():
                    across[number].append(width)
        for number in range(self.num_classes):
            if without[number] and across[number]:  # a class that all images have keeps to its peak
                self.negative_level[number] = torch.cat(without[number]).quantile(QUANTILE)
                self.width[number] = statistics.median(across[number])

    def _widths(self, image: Float[Tensor, "1 3 h w"], tags: Float[Tensor, " c"]) -> dict[int, float]:
        """Pixels across of each tag where it is near its peak."""
        numbers = tags.nonzero().flatten().tolist()
        if not numbers:
            return {}
        enlarged = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
        scores = self(enlarged).scores[0]
        peaks = {number: scores[number] > scores[number].max() - PEAK for number in numbers}
        return {number: self.cell * widest(peak.cpu().numpy()) / 2 for number, peak in peaks.items()}

    def view_losses(self, activations: list[ScoredActivation], batch: Batch) -> Losses:
        """The classification loss alone."""
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, all else as new ones."""
        new = nn.ParameterList([self.log_sharpness, self.bias])
        return grouped_parameters(self.backbone, [self.fused, self.classify, new])
