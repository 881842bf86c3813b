"""Segmentation networks: DeepLab v1, v2 and v3+ heads on any backbone, and a feature pyramid's.

- v1 (Chen et al., ICLR 2015), LargeFOV in the form used with Wide ResNet-38: one dilated convolution.
- v2 (Chen et al., TPAMI 2018): the sum of dilated convolutions straight to the classes.
- v3+ (Chen et al., ECCV 2018): dilated and image-wide features joined, refined with low-level features at stride 4.
  Its convolutions are separable, cheap without an accelerator, and its normalisation is over groups of channels (Wu &
  He, ECCV 2018): the image-wide branch has one value per channel, of which a batch of one has no statistics.
- semantic_fpn (Kirillov et al., CVPR 2019): levels narrowed, brought to the finest and added. Ours adds those of the
  backbone directly, without a pathway from above; for what is small, as nothing of a fine level is lost.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import SegmenterConfig
from tagmask.contracts import Backbone, Batch, Images, Level, Losses, Masks, Normalization, ParameterGroup, Trainable
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.networks.layers import FusedLevels, Grid, pointwise, resize, separable
from tagmask.networks.levels import fine_levels, main_levels
from tagmask.networks.padding import put_back, without_padding
from tagmask.networks.parameter_groups import grouped_parameters
from tagmask.networks.tag_head import TagHead

LOW_LEVEL_STRIDE = 4
RAREST = 1e-6  # share below which a class weighs no more


class DeepLab(Trainable):
    """A backbone and one of the `HEADS`.

    Args:
        config: kind and sizes of the head.
        backbone: where the features come from.
        num_classes: classes without background.

    Attributes:
        class_weights: of the pixels of each class in the cross-entropy, background first; all 1 until they are set.

    Raises:
        TagmaskError: settings that the kind of head does not take.
    """

    def __init__(self, config: SegmenterConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_classes = num_classes
        self.dice_weight = config.dice_weight
        self.cuts_padding = config.padding == "cut"
        self.head = HEADS[config.kind](config, backbone.levels, num_classes + 1)
        self.tag_weight = config.tag_weight
        self.tags = TagHead(config.width, num_classes) if config.tag_weight else None
        if self.tags is not None and not isinstance(self.head, FineHead):
            raise TagmaskError(
                f"segmenter.tag_weight is {config.tag_weight:g}, and {config.kind} has no fine features to tell tags "
                "from; set it to 0, or take deeplab_v3plus or semantic_fpn"
            )
        self.class_weights: Tensor
        self.register_buffer("class_weights", torch.ones(num_classes + 1), persistent=False)

    @property
    def normalization(self) -> Normalization:
        """How photographs must be normalised."""
        return self.backbone.normalization

    def forward(self, images: Images) -> Float[Tensor, "b k p q"]:
        """Class scores before the softmax, background first; with a tag head the log-probability of the tag is added.

        Returns:
            One grid cell per stride of the backbone; of the low-level features (4 where the backbone has it) for v3+.
        """
        logits, tags = self._logits(images)
        if tags is None:
            return logits
        return logits + F.pad(F.logsigmoid(tags), (1, 0))[:, :, None, None].to(logits.dtype)

    def _logits(self, images: Images) -> tuple[Float[Tensor, "b k p q"], Float[Tensor, "b c"] | None]:
        grids = self.backbone.forward_levels(images)
        if self.tags is None or not isinstance(self.head, FineHead):
            return self.head(grids), None
        features = self.head.features(grids)
        return self.head.classified(features), self.tags(features)

    def outputs(self, batch: Batch) -> list[Tensor]:
        """The logits, and those of the tags if there is a head for them; of each image by itself if padding is cut."""
        if not self.cuts_padding:
            return [each for each in self._logits(batch.images) if each is not None]
        images = without_padding(batch)
        alone = [self._logits(image) for image in images]
        pixels = [resize(logits.float(), image.shape[2:]) for image, (logits, _) in zip(images, alone, strict=True)]
        tags = [tags for _, tags in alone if tags is not None]
        return [put_back(pixels, batch), *([torch.cat(tags)] if tags else [])]

    def losses_from(self, outputs: list[Tensor], batch: Batch) -> Losses:
        """Cross-entropy with the masks at their own size, and the losses of dice and tags if they have a weight."""
        assert batch.masks is not None, "a segmenter learns from masks, and the batch has none"
        logits, *tags = outputs
        losses = {"pixels": pixel_loss(logits, batch.masks, self.class_weights)}
        if self.dice_weight:
            losses["dice"] = self.dice_weight * dice_loss(logits, batch.masks)
        if tags:
            losses["tags"] = self.tag_weight * F.multilabel_soft_margin_loss(tags[0].float(), batch.tags)
        return losses

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, the head as new ones."""
        return grouped_parameters(self.backbone, [self.head, *([self.tags] if self.tags is not None else [])])


def pixel_loss(
    logits: Float[Tensor, "b k p q"], masks: Masks, class_weights: Float[Tensor, " k"] | None = None
) -> Float[Tensor, ""]:
    """Mean cross-entropy over labelled pixels, after bilinear resizing of the logits to the masks.

    Args:
        logits: class scores on a grid of any size.
        masks: class per pixel, ``IGNORE`` where unlabelled.
        class_weights: factor of the pixels of each class; the sum is divided by the number of pixels all the same.

    Returns:
        The mean; exactly 0, with zero gradient, if no pixel is labelled.

    >>> masks = torch.tensor([[[1, 0], [IGNORE, IGNORE]]])
    >>> pixel_loss(torch.zeros(1, 2, 1, 1), masks).item()  # log 2
    0.6931471824645996
    >>> pixel_loss(torch.zeros(1, 2, 1, 1), torch.full((1, 2, 2), IGNORE)).item()
    0.0
    """
    resized = resize(logits.float(), masks.shape[1:])
    total = F.cross_entropy(resized, masks.long(), class_weights, ignore_index=IGNORE, reduction="sum")
    return total / (masks != IGNORE).sum().clamp(min=1)


def class_weights(shares: Float[Tensor, " k"], power: float) -> Float[Tensor, " k"]:
    """Weights (1 / share)^power of classes whose pixels have these shares, scaled to a mean of 1 over all pixels.

    Args:
        shares: of the labelled pixels, background first, with sum 1; 0 for a class that never occurs.
        power: 0: all weigh 1; 1: each class weighs as much as any other, however small it is.

    >>> class_weights(torch.tensor([0.75, 0.25]), 1.0)
    tensor([0.6667, 2.0000])
    """
    if power == 0 or not shares.any():
        return torch.ones_like(shares)  # exactly: rounding would change trainings that weigh nothing
    weights = shares.clamp(min=RAREST) ** -power
    return weights / (weights * shares).sum()


def dice_loss(logits: Float[Tensor, "b k p q"], masks: Masks) -> Float[Tensor, ""]:
    """1 - dice of each class that is in an image, background left out: 2 |prediction x mask| / (|prediction| + |mask|).

    The mean over the classes of all images (Milletari et al., 3DV 2016, on the softmax of each image); 0 without any. A
    class counts alike whether it covers the image or ten pixels of it.

    >>> masks = torch.tensor([[[1, 0], [IGNORE, 0]]])
    >>> round(dice_loss(torch.zeros(1, 2, 2, 2), masks).item(), 4)  # 1 - (2 * 0.5 + 1) / (1.5 + 1 + 1)
    0.4286
    """
    labelled = (masks != IGNORE)[:, None]
    truth = F.one_hot(masks.clamp(min=0).long(), logits.shape[1]).movedim(3, 1)[:, 1:] * labelled
    found = resize(logits.float(), masks.shape[1:]).softmax(dim=1)[:, 1:] * labelled
    sizes = truth.sum(dim=(2, 3))
    dice = (2 * (found * truth).sum(dim=(2, 3)) + 1) / (found.sum(dim=(2, 3)) + sizes + 1)
    return ((1 - dice) * (sizes > 0)).sum() / (sizes > 0).sum().clamp(min=1)


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


HEADS: dict[str, type[LargeFov | SummedAspp | PyramidDecoder | LevelSum]] = {
    "deeplab_v1": LargeFov,
    "deeplab_v2": SummedAspp,
    "deeplab_v3plus": PyramidDecoder,
    "semantic_fpn": LevelSum,
}
