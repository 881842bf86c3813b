"""Segmentation networks: a backbone, one of the `HEADS`, and the losses that both learn from."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import SegmenterConfig
from tagmask.contracts import Backbone, Batch, Images, Losses, Masks, Normalization, ParameterGroup, Trainable
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.networks.heads import HEADS, FineHead, prepare
from tagmask.networks.layers import Grid, resize
from tagmask.networks.many_scales import labels_at, maximum, scaled
from tagmask.networks.padding import put_back, without_padding
from tagmask.networks.parameter_groups import grouped_parameters
from tagmask.networks.tag_head import TagHead

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
        self.maximum_over = config.maximum_over
        self.head = HEADS[config.kind](config, backbone.levels, num_classes + 1)
        prepare(self.head, config.head)
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

        Of a network that looks at several scales, the largest score of any of them.

        Returns:
            One grid cell per stride of the backbone; of the low-level features (4 where the backbone has it) for v3+.
        """
        if self.maximum_over:
            return self._at_scales(images)[-1]
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

    def _at_scales(self, images: Images) -> list[Grid]:
        """The logits of every scale on a grid of its own and, last, their maximum on the grid of scale 1."""
        found = [self._logits(scaled(images, scale))[0] for scale in self.maximum_over]
        return [*found, maximum(found)]

    def outputs(self, batch: Batch) -> list[Tensor]:
        """The logits, and those of the tags if there is a head for them; of each image by itself if padding is cut.

        Of a network that looks at several scales, the logits of each and their maximum.
        """
        if self.maximum_over:
            return self._at_scales(batch.images)
        if not self.cuts_padding:
            return [each for each in self._logits(batch.images) if each is not None]
        images = without_padding(batch)
        alone = [self._logits(image) for image in images]
        pixels = [resize(logits.float(), image.shape[2:]) for image, (logits, _) in zip(images, alone, strict=True)]
        tags = [tags for _, tags in alone if tags is not None]
        return [put_back(pixels, batch), *([torch.cat(tags)] if tags else [])]

    def losses_from(self, outputs: list[Tensor], batch: Batch) -> Losses:
        """Cross-entropy with the masks at their own size, and the losses of dice and tags if they have a weight.

        Of a network that looks at several scales, as published: one cross-entropy for each scale and one for their
        maximum, with the masks brought to the grid of the logits; the engine adds them.
        """
        assert batch.masks is not None, "a segmenter learns from masks, and the batch has none"
        if self.maximum_over:
            names = [*(f"pixels_{scale:g}" for scale in self.maximum_over), "pixels_maximum"]
            return {name: self._loss_on_grid(grid, batch.masks) for name, grid in zip(names, outputs, strict=True)}
        logits, *tags = outputs
        losses = {"pixels": pixel_loss(logits, batch.masks, self.class_weights)}
        if self.dice_weight:
            losses["dice"] = self.dice_weight * dice_loss(logits, batch.masks)
        if tags:
            losses["tags"] = self.tag_weight * F.multilabel_soft_margin_loss(tags[0].float(), batch.tags)
        return losses

    def _loss_on_grid(self, logits: Grid, masks: Masks) -> Float[Tensor, ""]:
        return pixel_loss(logits, labels_at(masks, (logits.shape[2], logits.shape[3])), self.class_weights)

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
