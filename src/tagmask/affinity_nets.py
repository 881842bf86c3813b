"""Networks that learn which neighbouring pixels belong together."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.affinity import (
    Border,
    Offset,
    affinity_losses,
    feature_affinities,
    fitting_radius,
    pair_codes,
    pair_exists,
    pair_offsets,
)
from tagmask.config import AffinityNetConfig, AnyAffinity
from tagmask.contracts import AffinityModel, Backbone, Batch, Images, Losses, Neighbourhood, ParameterGroup
from tagmask.errors import TagmaskError
from tagmask.parameter_groups import grouped_parameters


def build_affinity_net(config: AnyAffinity, backbone: Backbone) -> AffinityModel:
    """The affinity network a config asks for, on a backbone."""
    return AFFINITY_NETS[type(config)](config, backbone)


class AffinityNet(AffinityModel):
    """AffinityNet (Ahn & Kwak, CVPR 2018, section 3.2) on any backbone.

    Three feature levels become narrow side features on one grid, of which a last layer makes the features whose
    distances are the affinities. Parameters bear the names of the published ResNet-38 network.

    Attributes:
        config: settings.
        backbone: where the features come from; its freezing is the caller's choice.
        levels: the levels of the backbone that are read, from 0.
        offsets: (dy, dx) of each plane of ``affinities``.
    """

    def __init__(self, config: AffinityNetConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.stride = config.stride
        self.levels = _levels(config.levels, len(backbone.levels))
        self.offsets = pair_offsets(config.radius)
        channels = [backbone.levels[level].channels for level in self.levels]
        self.f8_3, self.f8_4, self.f8_5 = (
            nn.Conv2d(d, width, 1, bias=False) for d, width in zip(channels, config.widths, strict=True)
        )
        self.f9 = nn.Conv2d(sum(config.widths), sum(config.widths), 1, bias=False)
        for side in (self.f8_3, self.f8_4, self.f8_5):
            nn.init.kaiming_normal_(side.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def forward(self, images: Images) -> Float[Tensor, "b d p q"]:
        """Features on the affinity grid, one cell for each started ``config.stride`` pixels."""
        grid = self._grid(images.shape[-2], images.shape[-1])
        levels = self.backbone.forward_levels(images)
        convolutions = (self.f8_3, self.f8_4, self.f8_5)
        sides = [F.elu(side(levels[level])) for level, side in zip(self.levels, convolutions, strict=True)]
        return F.elu(self.f9(torch.cat([_resized(side, grid) for side in sides], dim=1)))

    def neighbourhood(self, images: Images, border: Border = "full") -> Neighbourhood:
        """Affinity in [0, 1] of each pixel to its partner at each of ``offsets``; 0 where there is no pair.

        Under the ``interior`` border small grids have no pairs at the longest offsets, as in training.
        """
        features = self(images).float()
        height, width = features.shape[-2:]
        offsets = self._offsets(height, width, border)
        kept = [self.offsets.index(offset) for offset in offsets]
        affinities = features.new_zeros(len(features), len(self.offsets), height, width)
        exists = pair_exists(height, width, offsets, border).to(features.device)
        affinities[:, kept] = feature_affinities(features, offsets) * exists
        return Neighbourhood(affinities)

    def losses(self, batch: Batch) -> Losses:
        """The terms ``background``, ``foreground`` and ``negative`` over the pairs of the confident labels.

        Raises:
            ValueError: if the batch has no masks, or not on the affinity grid.
        """
        grid = self._grid(batch.images.shape[-2], batch.images.shape[-1])
        labels = batch.masks
        if labels is None or tuple(labels.shape[-2:]) != grid:
            found = "no masks" if labels is None else f"masks of {labels.shape[-2]} x {labels.shape[-1]} cells"
            raise ValueError(
                f"an affinity net learns from confident labels of {grid[0]} x {grid[1]} cells for these images, but "
                f"got {found}; make them with confident_labels(..., pool={self.config.stride})."
            )
        border = self.config.training_border
        offsets = self._offsets(*grid, border)
        affinities = feature_affinities(self(batch.images).float(), offsets)
        return affinity_losses(affinities, pair_codes(labels, offsets, border))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The backbone as existing, the head as new layers."""
        return grouped_parameters(self.backbone, [self.f8_3, self.f8_4, self.f8_5, self.f9])

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.config.stride), -(-width // self.config.stride)

    def _offsets(self, height: int, width: int, border: Border) -> list[Offset]:
        """Offsets with pairs on this grid: all, or those that fit where only interior sources count."""
        radius = self.config.radius
        return self.offsets if border == "full" else pair_offsets(fitting_radius(height, width, radius))


def _levels(chosen: tuple[int, int, int] | None, count: int) -> tuple[int, ...]:
    """The levels to read: as chosen, or the last three, the first of them repeated where there are fewer."""
    if chosen is None:
        return tuple(max(0, level) for level in range(count - 3, count))
    if not all(-count <= level < count for level in chosen):
        raise TagmaskError(
            f"affinity.levels is {list(chosen)}, but the backbone has {count} levels; choose from 0 to {count - 1}."
        )
    return tuple(level % count for level in chosen)


def _resized(features: Float[Tensor, "b d _ _"], grid: tuple[int, int]) -> Float[Tensor, "b d p q"]:
    if features.shape[-2:] == grid:
        return features
    return F.interpolate(features, grid, mode="bilinear", align_corners=False)


AFFINITY_NETS: dict[type[BaseModel], Callable[[Any, Backbone], AffinityModel]] = {AffinityNetConfig: AffinityNet}
