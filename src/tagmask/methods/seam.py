"""SEAM: self-supervised equivariant attention (Wang et al., CVPR 2020).

Maps of a classifier change with the size of the image, though the objects do not. Here a smaller copy of every image
passes through the same network, and the maps of both are pulled together (section 3.3). A pixel correlation module
refines the maps by the likeness of pixels (section 3.4); it learns from the maps of the other view (section 3.5).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import SeamConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup
from tagmask.methods.cam import tag_loss
from tagmask.methods.equivariance import equivariance_losses, mean_of_resized
from tagmask.methods.pixel_correlation import PixelCorrelation
from tagmask.methods.second_view import smaller_size, smaller_view
from tagmask.networks.parameter_groups import grouped_parameters


@dataclass(frozen=True)
class SeamActivation(Activation):
    """What SEAM knows of an image beyond its maps.

    Attributes:
        scores: of the classifier at each pixel, of either sign, ``b k p q``; the background's learn nothing.
    """

    scores: Float[Tensor, "b k p q"]


class Seam(Method[SeamActivation]):
    """A classifier on two views of each image, with a pixel correlation module that refines its maps.

    Tag loss and equivariance loss teach classifier and backbone; the equivariant cross loss and the min-pool loss teach
    the correlation module alone, unless ``equivariance.cross_reaches`` says otherwise.

    Args:
        config: settings of the method.
        backbone: where the features come from; at least three levels, unless ``equivariance.levels`` names two.
        num_classes: classes without background.

    Raises:
        TagmaskError: levels the backbone does not have.
    """

    config_type = SeamConfig
    num_views = 2
    map_normalization = "min_max"

    def __init__(self, config: SeamConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_classes = num_classes
        self.dropout = nn.Dropout2d(config.dropout)
        self.fc8 = nn.Conv2d(backbone.channels, num_classes + 1, kernel_size=1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)
        self.correlation = PixelCorrelation(config.equivariance, backbone)

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """The batch itself and a smaller copy of it."""
        settings = self.config.equivariance
        return [images, smaller_view(images, settings.view_scale, settings.view_size)]

    def forward(self, images: Images) -> SeamActivation:
        """Logits ``b c``, maps ``b c p q``, and what the losses look at.

        The logits are means over the pixels of the view, to which scores are resized with aligned corners; the mean
        over the cells of the grid would differ, as cells at the border cover fewer pixels.
        """
        levels = self.backbone.forward_levels(images)
        features = self.dropout(levels[-1])
        scores = self.fc8(features)
        refined = self.correlation(scores, images, levels)
        maps = refined if self.config.maps == "refined" else F.relu(scores)
        logits = mean_of_resized(scores[:, 1:], (images.shape[2], images.shape[3]))
        return SeamActivation(logits, maps[:, 1:], None, features, scores, refined=refined)

    def view_losses(self, activations: list[SeamActivation], batch: Batch) -> Losses:
        """The classification loss, averaged over the views, and the three losses of ``equivariance_losses``."""
        settings, size = self.config.equivariance, (batch.images.shape[2], batch.images.shape[3])
        sizes = [size, smaller_size(size, settings.view_scale, settings.view_size)]
        scores = [view.scores for view in activations]
        refined = [view.refined for view in activations if view.refined is not None]
        tag_losses = [tag_loss(view.logits, batch.tags) for view in activations]
        losses = equivariance_losses(scores, refined, batch.tags, settings, sizes, most_tags=batch.most_tags)
        return {"tags": torch.stack(tag_losses).mean(), **losses}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, classifier and correlation module as new ones."""
        return grouped_parameters(self.backbone, [self.fc8, self.correlation])
