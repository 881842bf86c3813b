"""EPS: explicit pseudo-pixel supervision (Lee et al., CVPR 2021).

Tags say which objects an image shows, a saliency map says how far something reaches, but not what it is. EPS lets the
classifier explain the saliency map: maps of the classes and of a background compete for every pixel, and the maps of
the image's salient tags together have to be the saliency map. Tags keep the classes apart, the saliency map draws the
outline, and objects that the saliency map leaves out, or shows without a tag, are told apart by how much of a tag's map
is salient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import EpsConfig, EquivarianceConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup, Tags
from tagmask.errors import TagmaskError
from tagmask.methods.cam import tag_loss
from tagmask.methods.equivariance import equivariance_losses
from tagmask.methods.pixel_correlation import PixelCorrelation
from tagmask.methods.second_view import resized_aligned, smaller_size, smaller_view
from tagmask.networks.parameter_groups import grouped_parameters

AREA_FLOOR = 1e-4  # joins the area of a map at every pixel, not once


# ── the saliency loss ────────────────────────────────────────────────────────────────────────────────────────────────


def probabilities(scores: Float[Tensor, "b k p q"]) -> Float[Tensor, "b k p q"]:
    """Softmax over the classes and the background, in float32 also where the network is not; they sum to 1."""
    return scores.float().softmax(dim=1)


def resized_saliency(saliency: Float[Tensor, "b 1 h w"], size: tuple[int, int]) -> Float[Tensor, "b 1 p q"]:
    """The saliency of cell i of a grid is that of row or column floor(i * length / cells)."""
    return F.interpolate(saliency.float(), size, mode="nearest")


@torch.no_grad()
def salient_share(maps: Float[Tensor, "b k p q"], saliency: Float[Tensor, "b 1 p q"]) -> Float[Tensor, "b k"]:
    """How much of each map is salient, both cut at 0.5: |map and salient| / (|map| + 1e-4 * number of pixels).

    Exactly 0.5 counts as neither. A map that stays at or below it everywhere has the share 0. Nothing learns through a
    share.

    Args:
        maps: probability of each channel.
        saliency: in [0, 1], on the same grid.

    >>> maps, saliency = torch.tensor([[[[0.9, 0.6, 0.5, 0.1]]]]), torch.tensor([[[[1.0, 0.0, 1.0, 1.0]]]])
    >>> round(salient_share(maps, saliency).item(), 4)  # 1 / (2 + 4 * 1e-4)
    0.4999
    """
    inside = (maps > 0.5).to(maps.dtype)
    return (inside * (saliency > 0.5)).sum(dim=(2, 3)) / (inside + AREA_FLOOR).sum(dim=(2, 3))


def salient_tags(share: Float[Tensor, "b c"], tags: Tags, overlap: float) -> Bool[Tensor, "b c"]:
    """The tags that make up the foreground: those of whose map more than ``overlap`` is salient."""
    return (share > overlap) & (tags > 0)


def estimated_saliency(
    maps: Float[Tensor, "b k p q"], foreground: Bool[Tensor, "b c"], tags: Tags, absent_share: float
) -> Float[Tensor, "b 1 p q"]:
    """What the maps say about saliency: lambda F + (1 - lambda) (1 - B) (section 3.2).

    F sums the maps of the foreground's tags, B those of the other tags and of the background. As all maps sum to 1,
    this is F + (1 - lambda) A, where A sums the maps of the absent classes: one sum with a weight for each channel.

    Args:
        maps: probabilities that sum to 1, background first.
        foreground: of ``salient_tags``.
        tags: of the images.
        absent_share: 1 - lambda, the weight of the absent classes.
    """
    weights = foreground.to(maps.dtype) + absent_share * (1 - tags.to(maps.dtype))
    return (weights[:, :, None, None] * maps[:, 1:]).sum(dim=1, keepdim=True)


def saliency_loss(
    scores: Float[Tensor, "b k p q"],
    saliency: Float[Tensor, "b 1 h w"],
    tags: Tags,
    overlap: float = 0.4,
    absent_share: float = 0.5,
) -> Float[Tensor, ""]:
    """Mean squared difference of estimated and given saliency on the grid of the scores (section 3.3).

    Args:
        scores: before the softmax, background first.
        saliency: in [0, 1], 0 on padding, which counts as not salient.
        tags: of the images.
        overlap: a tag is foreground if more than this share of its map is salient.
        absent_share: share of the absent classes' probability that counts as salient.

    >>> scores = torch.tensor([9.0, 0.0, 0.0])[None, :, None, None]  # all background, which 1.2e-4 are not
    >>> round(saliency_loss(scores, torch.ones(1, 1, 8, 8), torch.tensor([[1.0, 0.0]])).item(), 3)
    1.0
    """
    maps, given = probabilities(scores), resized_saliency(saliency, (scores.shape[2], scores.shape[3]))
    foreground = salient_tags(salient_share(maps[:, 1:], given), tags, overlap)
    return F.mse_loss(estimated_saliency(maps, foreground, tags, absent_share), given)


# ── the method ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EpsActivation(Activation):
    """What EPS knows of an image beyond its maps.

    Attributes:
        scores: of each class and the background at each pixel before the softmax, background first, ``b k p q``.
    """

    scores: Float[Tensor, "b k p q"]


class Eps(Method[EpsActivation]):
    """A classifier with a map of the background, whose maps share every pixel and explain the saliency map.

    The tag loss teaches the classes and the backbone, the saliency loss those and the background's map. With
    ``equivariance`` a smaller view joins, and a pixel correlation module, as PPC on EPS is published (Du et al., CVPR
    2022); inference does without both.

    Args:
        config: settings of the method.
        backbone: where the features come from.
        num_classes: classes without background.

    Raises:
        TagmaskError: levels the backbone does not have.
    """

    config_type = EpsConfig

    def __init__(self, config: EpsConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_classes = num_classes
        self.num_views = 1 if config.equivariance is None else 2
        self.dropout = nn.Dropout2d(config.dropout)
        self.fc8 = nn.Conv2d(backbone.channels, num_classes + 1, kernel_size=1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)
        settings = config.equivariance
        self.correlation = None if settings is None else PixelCorrelation(settings, backbone)

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """The batch itself, and with ``equivariance`` a smaller copy of it."""
        settings = self.config.equivariance
        return [images] if settings is None else [images, smaller_view(images, settings.view_scale, settings.view_size)]

    def forward(self, images: Images) -> EpsActivation:
        """Logits ``b c`` (mean of the scores) and maps ``b c p q``, the softmax of the scores over k channels."""
        levels = self.backbone.forward_levels(images)
        scores = self.fc8(self.dropout(levels[-1]))
        logits, maps = scores[:, 1:].mean(dim=(2, 3)), probabilities(scores)
        background = maps[:, :1] if self.config.background == "learnt" else None
        # Only losses look at the refined maps.
        refined = self.correlation(scores, images, levels) if self.correlation is not None and self.training else None
        return EpsActivation(logits, maps[:, 1:], background, levels[-1], scores, refined=refined)

    def view_losses(self, activations: list[EpsActivation], batch: Batch) -> Losses:
        """Tag loss and saliency loss, each the mean over the views; and what ``equivariance`` adds.

        Raises:
            TagmaskError: the batch has no saliency maps.
        """
        tag_losses = [tag_loss(view.logits, batch.tags) for view in activations]
        losses = {
            "tags": torch.stack(tag_losses).mean(),
            "saliency": self._saliency_loss([view.scores for view in activations], batch),
        }
        settings = self.config.equivariance
        return losses if settings is None else losses | self._equivariance_losses(activations, batch, settings)

    def _saliency_loss(self, scores: Sequence[Float[Tensor, "b k _ _"]], batch: Batch) -> Float[Tensor, ""]:
        config, pairs = self.config, zip(scores, self._saliency_of_views(batch), strict=True)
        each = [saliency_loss(view, given, batch.tags, config.overlap, config.absent_share) for view, given in pairs]
        return config.saliency_weight * torch.stack(each).mean()

    def _saliency_of_views(self, batch: Batch) -> list[Float[Tensor, "b 1 _ _"]]:
        """What the saliency loss compares each view with, before it comes to the view's grid."""
        first, settings = saliency_of(batch), self.config.equivariance
        if settings is None:
            return [first]
        if self.config.second_saliency == "sampled":
            return [first, first]
        size = smaller_size((first.shape[2], first.shape[3]), settings.view_scale, settings.view_size)
        return [first, resized_aligned(first.float(), size)]

    def _equivariance_losses(self, views: list[EpsActivation], batch: Batch, settings: EquivarianceConfig) -> Losses:
        """SEAM's losses, each view on its own feature grid, and the saliency loss of the refined maps if asked for.

        The refined maps lie in [0, 1], and pass through a softmax all the same: that is what is published.
        """
        scores, refined = [view.scores for view in views], [view.refined for view in views if view.refined is not None]
        assert len(refined) == len(views), "refined maps are made in training mode alone"
        sizes = [(view.shape[2], view.shape[3]) for view in scores]
        exempt = 1 if self.config.background_last else 0  # the reference passes over its first channel: a class
        losses = equivariance_losses(scores, refined, batch.tags, settings, sizes, exempt, batch.most_tags)
        if self.config.refined_saliency:
            losses["refined_saliency"] = self._saliency_loss(refined, batch)
        return losses

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, classifier and correlation module as new ones."""
        return grouped_parameters(self.backbone, [m for m in (self.fc8, self.correlation) if m is not None])


def saliency_of(batch: Batch) -> Float[Tensor, "b 1 h w"]:
    """The saliency maps of a batch.

    Raises:
        TagmaskError: it has none.
    """
    if batch.saliency is None:
        raise TagmaskError(
            "The method learns from saliency maps, but the data have none. Give a folder with one map per image "
            "(--set data.saliency=FOLDER), or have them made from the images (--set data.saliency=built-in)."
        )
    return batch.saliency
