"""Heads of segmentation networks: from a backbone's grids to a score per class.

- v1 (Chen et al., ICLR 2015), LargeFOV in the form used with Wide ResNet-38: one dilated convolution.
- v2 (Chen et al., TPAMI 2018): the sum of dilated convolutions straight to the classes.
- v3 (Chen et al., arXiv 2017): dilated and image-wide features joined, normalised over the batch.
- v3+ (Chen et al., ECCV 2018): the same, refined with low-level features at stride 4. Its convolutions are separable,
  cheap without an accelerator, and its normalisation is over groups of channels (Wu & He, ECCV 2018): the image-wide
  branch has one value per channel, of which a batch of one has no statistics.
- semantic_fpn (Kirillov et al., CVPR 2019): levels narrowed, brought to the finest and added. Ours adds those of the
  backbone directly, without a pathway from above; for what is small, as nothing of a fine level is lost.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from tagmask.config import HeadConfig, SegmenterConfig
from tagmask.contracts import Level
from tagmask.errors import TagmaskError
from tagmask.networks.layers import FusedLevels, Grid, pointwise, resize, separable
from tagmask.networks.levels import fine_levels, main_levels

LOW_LEVEL_STRIDE = 4


class LargeFov(nn.Module):
    """v1: 3x3 dilated, 1x1, dropout, classifier; batch normalisation and ReLU behind the first two."""

    def __init__(self, config: SegmenterConfig, levels: tuple[Level, ...], num_logits: int) -> None:
        super().__init__()
        if len(config.rates) != 1:
            raise TagmaskError(f"deeplab_v1 has one dilated convolution, got rates {config.rates}; set rates: [12].")
        rate, width = config.rates[0], config.width
        self.layers = nn.Sequential(
            nn.Conv2d(levels[-1].channels, width, 3, padding=rate, dilation=rate, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Conv2d(width, num_logits, 1),
        )

    def forward(self, grids: list[Grid]) -> Grid:
        """Logits at the stride of the deepest level."""
        return self.layers(grids[-1])


class SummedAspp(nn.Module):
    """v2: dilated 3x3 convolutions to the classes, summed; weights N(0, 0.01), biases 0."""

    def __init__(self, config: SegmenterConfig, levels: tuple[Level, ...], num_logits: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(config.dropout)
        self.branches = nn.ModuleList(
            nn.Conv2d(levels[-1].channels, num_logits, 3, padding=rate, dilation=rate) for rate in config.rates
        )
        for name, parameter in self.branches.named_parameters():
            nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=0.01)

    def forward(self, grids: list[Grid]) -> Grid:
        """Logits at the stride of the deepest level."""
        features = self.dropout(grids[-1])
        logits = self.branches[0](features)
        for branch in self.branches[1:]:
            logits = logits + branch(features)
        return logits


class JoinedAspp(nn.Module):
    """v3: dilated 3x3 convolutions and image-wide features, joined and mixed, then dropout and a classifier.

    Batch normalisation and ReLU are behind every convolution but the last. A rate of 0 is a 1x1 convolution: the paper
    has one beside its dilated ones.
    """

    def __init__(self, config: SegmenterConfig, levels: tuple[Level, ...], num_logits: int) -> None:
        super().__init__()
        channels, width = levels[-1].channels, config.width
        self.branches = nn.ModuleList(_normalized(channels, width, rate) for rate in config.rates)
        self.pooled = _normalized(channels, width)
        self.mix = _normalized(width * (len(config.rates) + 1), width)
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Conv2d(width, num_logits, 1)

    def forward(self, grids: list[Grid]) -> Grid:
        """Logits at the stride of the deepest level.

        Raises:
            TagmaskError: a single image in training.
        """
        deep = grids[-1]
        if self.training and len(deep) == 1:
            raise TagmaskError(
                "deeplab_v3 normalises one image-wide value per channel over the images of a batch, and got 1 image; "
                "let at least 2 pass at a time (segmenter.training.batch_size over accumulation and processes, with "
                "segmenter.padding=pass), or take deeplab_v3plus"
            )
        pooled = self.pooled(deep.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *deep.shape[2:])
        joined = torch.cat([*(branch(deep) for branch in self.branches), pooled], dim=1)
        return self.classify(self.dropout(self.mix(joined)))


def _normalized(inner: int, out: int, rate: int = 0) -> nn.Sequential:
    """A 3x3 convolution of this dilation, 1x1 for 0, then batch normalisation and ReLU."""
    kernel = 3 if rate else 1
    convolution = nn.Conv2d(inner, out, kernel, padding=rate, dilation=max(1, rate), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class FineHead(nn.Module, ABC):
    """A head whose last step is a linear classifier of features on a fine grid, which can tell tags as well.

    Attributes:
        dropout: before the classifier.
        classify: from the features to background and classes.
    """

    dropout: nn.Dropout
    classify: nn.Conv2d

    @abstractmethod
    def features(self, grids: list[Grid]) -> Grid:
        """What the classifier reads, ``b width p q``."""

    def classified(self, features: Grid) -> Grid:
        """Logits of features."""
        return self.classify(self.dropout(features))

    def forward(self, grids: list[Grid]) -> Grid:
        """Logits on the grid of the features."""
        return self.classified(self.features(grids))


class PyramidDecoder(FineHead):
    """v3+: atrous spatial pyramid with image pooling, decoder with low-level features.

    Attributes:
        low_index: the level that the decoder adds, the main level nearest to stride 4.
    """

    def __init__(self, config: SegmenterConfig, levels: tuple[Level, ...], num_logits: int) -> None:
        super().__init__()
        channels, width = levels[-1].channels, config.width
        self.low_index = min(main_levels(levels), key=lambda i: abs(math.log2(levels[i].stride / LOW_LEVEL_STRIDE)))
        self.branches = nn.ModuleList(
            [pointwise(channels, width), *(separable(channels, width, rate) for rate in config.rates)]
        )
        self.pooled = pointwise(channels, width)
        self.project = pointwise(width * (len(config.rates) + 2), width)
        self.low = pointwise(levels[self.low_index].channels, config.low_level_width)
        self.decode = nn.Sequential(separable(width + config.low_level_width, width), separable(width, width))
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Conv2d(width, num_logits, 1)

    def features(self, grids: list[Grid]) -> Grid:
        """At the stride of the low-level features."""
        deep, low = grids[-1], self.low(grids[self.low_index])
        pooled = self.pooled(deep.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *deep.shape[2:])
        pyramid = self.project(torch.cat([*(branch(deep) for branch in self.branches), pooled], dim=1))
        return self.decode(torch.cat([resize(pyramid, low.shape[2:]), low], dim=1))


class LevelSum(FineHead):
    """Semantic FPN: the first level of each stride from 4 on and the last of all, added, then a classifier."""

    def __init__(self, config: SegmenterConfig, levels: tuple[Level, ...], num_logits: int) -> None:
        super().__init__()
        self.fused = FusedLevels(levels, fine_levels(levels, LOW_LEVEL_STRIDE), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Conv2d(config.width, num_logits, 1)

    def features(self, grids: list[Grid]) -> Grid:
        """At the stride of the finest level that is added."""
        return self.fused(grids)


HEADS: dict[str, type[LargeFov | SummedAspp | JoinedAspp | PyramidDecoder | LevelSum]] = {
    "deeplab_v1": LargeFov,
    "deeplab_v2": SummedAspp,
    "deeplab_v3": JoinedAspp,
    "deeplab_v3plus": PyramidDecoder,
    "semantic_fpn": LevelSum,
}


def prepare(head: nn.Module, config: HeadConfig) -> None:
    """Let the layers of a head start and learn as the settings say, in place.

    Affine parts of batch normalisation that do not learn stay at 1 and 0, their initial values.
    """
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d) and config.weights == "kaiming_fan_out":
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = config.batch_norm_momentum
            layer.requires_grad_(config.batch_norm == "train")
