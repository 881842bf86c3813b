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
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import PyramidConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Level, Losses, Method, ParameterGroup, Tags
from tagmask.errors import TagmaskError
from tagmask.methods.cam import tag_loss
from tagmask.networks.layers import FusedLevels
from tagmask.networks.parameter_groups import grouped_parameters

RARE = -2.0  # logit that a class starts from: most images do not show it
PEAK = 4.0  # logits below its largest score at which what is tiny ends
TINY = 20.0  # pixels across up to which the peak alone decides
QUANTILE = 0.95  # of the scores of images without the tag: what is wide lies above it
MARGIN = 32  # pixels around images: what the border of a picture changes fades within
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


def log_mean_exp(
    scores: Float[Tensor, "b c p q"], sharpness: Float[Tensor, " c"], inside: Bool[Tensor, "b p q"] | None = None
) -> Float[Tensor, "b c"]:
    """(1 / r) log mean exp(r s) over the cells of each image (Pinheiro & Collobert, eq. 6).

    Args:
        scores: of each class in each cell.
        sharpness: r of each class, above 0.
        inside: cells that count; None: all. An image without any counts as a whole.

    >>> scores = torch.tensor([0.0, 2.0])[None, None, None]
    >>> log_mean_exp(scores, torch.tensor([1.0])).item()  # log((1 + e^2) / 2)
    1.4337809085845947
    """
    flat = scores.flatten(2) * sharpness[:, None]
    if inside is None:
        return (flat.logsumexp(2) - math.log(flat.shape[2])) / sharpness
    counted = inside.flatten(1)[:, None]
    counted = counted | ~counted.any(2, keepdim=True)
    return (flat.masked_fill(~counted, -torch.inf).logsumexp(2) - counted.sum(2).log()) / sharpness


def cells_inside(valid: Bool[Tensor, "b h w"], grid: Float[Tensor, "b _ p q"]) -> Bool[Tensor, "b p q"]:
    """Cells of a grid that see more than padding."""
    return F.adaptive_max_pool2d(valid[:, None].float(), grid.shape[2:])[:, 0] > 0


def fine_levels(levels: tuple[Level, ...], finest: int) -> tuple[int, ...]:
    """The deepest level of each stride, none finer than ``finest`` pixels, and of the deepest stride the last two.

    >>> levels = tuple(Level(8, stride) for stride in (2, 4, 8, 16, 16, 16))
    >>> fine_levels(levels, 4)
    (1, 2, 4, 5)
    """
    last = {level.stride: index for index, level in enumerate(levels) if level.stride >= finest}
    before = [i for i in range(len(levels) - 1) if levels[i].stride == levels[-1].stride][-1:]
    return tuple(sorted({*last.values(), *before, len(levels) - 1}))


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
        features = self._features(images)
        scores = self.classify(self.dropout(features)).float() + self.bias[:, None, None]
        maps = torch.sigmoid(scores - object_thresholds(scores, self.negative_level, self.width))
        background = 1 - maps.amax(dim=1, keepdim=True)
        logits = log_mean_exp(scores, self.log_sharpness.exp())
        return ScoredActivation(logits, maps, background, features, scores, torch.ones_like(background))

    def _features(self, images: Images) -> Float[Tensor, "b d p q"]:
        """Fused levels of images that have a margin of the mean colour while they pass through; its cells are cut off.

        Training views that are larger than their image have such a margin anyway. Without one, the border of an image
        looks like nothing that has been learned, and a soft maximum listens to a single cell.
        """
        if any(MARGIN % level.stride for level in self.backbone.levels):  # of patches that would be moved
            return self.fused(self.backbone.forward_levels(images))
        start = MARGIN // self.cell
        rows, columns = (-(-side // self.cell) for side in images.shape[2:])
        fused = self.fused(self.backbone.forward_levels(F.pad(images, (MARGIN,) * 4)))
        return fused[..., start : start + rows, start : start + columns]

    def finish(
        self, activation: ScoredActivation, tags: Tags | None = None, valid: Bool[Tensor, "b h w"] | None = None
    ) -> ScoredActivation:
        """The background is where none of the tags is; logits again, without the cells that see nothing but padding."""
        if tags is not None:
            best = (activation.maps * tags[:, :, None, None]).amax(dim=1, keepdim=True)
            activation = replace(activation, background=activation.passes - best)
        if valid is not None:
            inside = cells_inside(valid, activation.scores)
            activation = replace(activation, logits=log_mean_exp(activation.scores, self.log_sharpness.exp(), inside))
        return activation

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure each class's scores on images without its tag, and how wide it is at its peak.

        Widths are those in images enlarged twice: in smaller ones all that is tiny is as wide as the blur of the maps.
        """
        without: list[list[Tensor]] = [[] for _ in range(self.num_classes)]
        across: list[list[float]] = [[] for _ in range(self.num_classes)]
        for batch in batches:
            scores = self(batch.images).scores
            for image, each, inside, tags in zip(
                batch.images, scores, cells_inside(batch.valid, scores), batch.tags, strict=True
            ):
                seen = each[:, inside][:, :: max(1, int(inside.sum()) // CELLS)]
                for number in (tags == 0).nonzero().flatten().tolist():
                    without[number].append(seen[number])
                for number, width in self._widths(image, inside, tags).items():
                    across[number].append(width)
        for number in range(self.num_classes):
            if without[number] and across[number]:  # a class that all images have keeps to its peak
                self.negative_level[number] = torch.cat(without[number]).quantile(QUANTILE)
                self.width[number] = statistics.median(across[number])

    def _widths(
        self, image: Float[Tensor, "3 h w"], inside: Bool[Tensor, "p q"], tags: Float[Tensor, " c"]
    ) -> dict[int, float]:
        """Pixels across of each tag where it is near its peak."""
        numbers = tags.nonzero().flatten().tolist()
        if not numbers:
            return {}
        enlarged = F.interpolate(image[None], scale_factor=2, mode="bilinear", align_corners=False)
        scores = self(enlarged).scores[0]
        within = F.interpolate(inside[None, None].float(), size=scores.shape[1:])[0, 0] > 0
        peaks = {number: scores[number] > scores[number][within].max() - PEAK for number in numbers}
        return {number: self.cell * widest((peak & within).cpu().numpy()) / 2 for number, peak in peaks.items()}

    def view_losses(self, activations: list[ScoredActivation], batch: Batch) -> Losses:
        """The classification loss alone."""
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, all else as new ones."""
        new = nn.ParameterList([self.log_sharpness, self.bias])
        return grouped_parameters(self.backbone, [self.fused, self.classify, new])
