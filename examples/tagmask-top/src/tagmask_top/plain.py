"""An affinity network of one's own: recipes name it as ``affinity.kind: plain``."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.affinity import affinity_losses, feature_affinities, pair_codes, pair_exists, pair_offsets
from tagmask.config import AffinityConfig, AnyLabels, PowerLabels
from tagmask.contracts import AffinityModel, Backbone, Batch, Images, Losses, Neighbourhood, ParameterGroup
from tagmask.networks import grouped_parameters


class PlainConfig(AffinityConfig):
    """Settings of ``Plain``."""

    kind: Literal["plain"] = "plain"
    width: int = Field(default=64, gt=0, description="Channels of the projection.")
    stride: int = Field(default=8, ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(default=5, ge=2, description="Pairs closer than this many grid cells are compared.")
    labels: AnyLabels = Field(default=PowerLabels(), description="How the labels it learns from are made of the maps.")


class Plain(AffinityModel):
    """exp(-mean difference) of one projection of the deepest features."""

    config_type = PlainConfig

    def __init__(self, config: PlainConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config, self.backbone, self.stride = config, backbone, config.stride
        self.offsets = pair_offsets(config.radius)
        self.project = nn.Conv2d(backbone.channels, config.width, kernel_size=1, bias=False)

    def forward(self, images: Images) -> Float[Tensor, "b s p q"]:
        """Affinities of all pairs on the grid, one cell for each started stride."""
        rows, columns = (-(-side // self.stride) for side in images.shape[2:])
        features = F.interpolate(self.project(self.backbone(images)), (rows, columns), mode="bilinear")
        return feature_affinities(features, self.offsets)

    def neighbourhood(self, images: Images, border: Literal["full", "interior"] = "full") -> Neighbourhood:
        """Affinities for the walk, 0 where there is no pair."""
        affinities = self(images)
        exists = pair_exists(*affinities.shape[2:], self.offsets, border).to(affinities.device)
        return Neighbourhood(affinities * exists)

    def outputs(self, batch: Batch) -> Float[Tensor, "b s p q"]:
        """The affinities."""
        return self(batch.images)

    def losses_from(self, outputs: Float[Tensor, "b s p q"], batch: Batch) -> Losses:
        """Cross-entropy over the pairs of the confident labels."""
        assert batch.masks is not None, "an affinity network learns from confident labels, and the batch has none"
        return affinity_losses(outputs, pair_codes(batch.masks, self.offsets, self.config.training_border))

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, the projection as new ones."""
        return grouped_parameters(self.backbone, [self.project])
