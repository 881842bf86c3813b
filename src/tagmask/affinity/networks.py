"""Networks that learn which neighbouring pixels belong together."""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.affinity.boundaries import displacement_losses, path_affinities
from tagmask.affinity.irn_heads import BoundaryHead, DisplacementHead, pooled_levels
from tagmask.affinity.pair_losses import affinity_losses
from tagmask.affinity.pairs import (
    Border,
    Offset,
    feature_affinities,
    fitting_radius,
    pair_codes,
    pair_exists,
    pair_offsets,
)
from tagmask.config import AffinityNetConfig, IrnConfig
from tagmask.contracts import AffinityModel, Backbone, Batch, Images, Level, Losses, Neighbourhood, ParameterGroup
from tagmask.networks.levels import chosen_levels, main_levels, spread_levels
from tagmask.networks.parameter_groups import grouped_parameters


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

    config_type = AffinityNetConfig

    def __init__(self, config: AffinityNetConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.stride = config.stride
        self.levels = _three_levels(config, backbone.levels)
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
        grid = _grid(images, self.stride)
        levels = self.backbone.forward_levels(images)
        convolutions = (self.f8_3, self.f8_4, self.f8_5)
        sides = [F.elu(side(levels[level])) for level, side in zip(self.levels, convolutions, strict=True)]
        return F.elu(self.f9(torch.cat([_resized(side, grid) for side in sides], dim=1)))

    def neighbourhood(self, images: Images, border: Border = "full") -> Neighbourhood:
        """Affinity in [0, 1] of each pixel to its partner at each of ``offsets``; 0 where there is no pair.

        Images are completed to whole cells, with the mean colour at the right and the bottom, as published. Under the
        ``interior`` border small grids have no pairs at the longest offsets, as in training.
        """
        features = self(_completed(images, self.stride)).float()
        exists = _exists(features, self.config.radius, border)
        return Neighbourhood(feature_affinities(features, self.offsets) * exists)

    def outputs(self, batch: Batch) -> Float[Tensor, "b d p q"]:
        """The features on the affinity grid."""
        return self(batch.images)

    def losses_from(self, outputs: Float[Tensor, "b d p q"], batch: Batch) -> Losses:
        """The terms ``background``, ``foreground`` and ``negative`` over the pairs of the confident labels.

        Raises:
            ValueError: if the batch has no masks, or not on the affinity grid.
        """
        labels = _labels(batch, self.stride)
        border = self.config.training_border
        offsets = _fitting_offsets(labels, self.config.radius, border)
        affinities = feature_affinities(outputs.float(), offsets)
        return affinity_losses(affinities, pair_codes(labels, offsets, border))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The backbone as existing, the head as new layers."""
        return grouped_parameters(self.backbone, [self.f8_3, self.f8_4, self.f8_5, self.f9])


class Irn(AffinityModel):
    """IRN (Ahn, Cho & Kwak, CVPR 2019) on any backbone.

    Two heads read the levels of a backbone that never learns. One sees class boundaries: pairs with none on the path
    between them belong together (section 4.1). The other sees the displacement of each cell to the centre of its
    object (section 4.2). See ``irn_heads`` for their layers.

    Attributes:
        config: settings.
        backbone: where the features come from; frozen here, with its statistics, and without its dropout.
        levels: the levels of the backbone that are read, from 0.
        offsets: (dy, dx) of each plane of affinities at inference; training compares pairs farther apart.
        displacement_head: None under ``config.displacements: false``. The heads share nothing that learns, so that
            boundaries are the same without it.
        mean_displacement: what ``measure_shift`` found, rows and columns; 0 before.
    """

    config_type = IrnConfig
    mean_displacement: Float[Tensor, " 2"]

    def __init__(self, config: IrnConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone.requires_grad_(False)
        self.stride = config.stride
        self.levels = _boundary_levels(config, backbone.levels)
        self.offsets = pair_offsets(config.walk_radius)
        self.boundary_head = BoundaryHead(self._shapes, config.stride, config.edge_width)
        self.displacement_head = (
            DisplacementHead(self._shapes, config.stride, config.displacement_width) if config.displacements else None
        )
        self.register_buffer("mean_displacement", torch.zeros(2))

    def forward(self, images: Images) -> tuple[Float[Tensor, "b 1 p q"], Float[Tensor, "b 2 p q"] | None]:
        """Logits of the boundaries, and displacements before the mean shift, if they are learned."""
        levels, grid = self._read(images), _grid(images, self.stride)
        field = None if self.displacement_head is None else self.displacement_head(levels, grid).float()
        return self.boundary_head(levels, grid).float(), field

    @property
    def _shapes(self) -> list[Level]:
        return [self.backbone.levels[level] for level in self.levels]

    @torch.no_grad()
    def _read(self, images: Images) -> list[Float[Tensor, "b _ _ _"]]:
        """The levels that the heads see, none finer than the grid, of the images completed to whole cells."""
        if self.backbone.training:  # train() of the whole network reaches the backbone too
            self.backbone.eval()
        levels = self.backbone.forward_levels(self._completed(images))
        return pooled_levels([levels[level] for level in self.levels], self._shapes, self.stride)

    def _completed(self, images: Images) -> Float[Tensor, "b 3 _ _"]:
        """Images with the mean colour at the right and the bottom up to whole cells, the grid's and the backbone's."""
        whole = math.lcm(self.stride, self.backbone.multiple)
        return _completed(images, whole)

    def _squared(self, images: Images) -> Float[Tensor, "b 3 _ _"]:
        """Images with the mean colour at the right and the bottom up to ``config.padded_to``; longer sides stay."""
        side = self.config.padded_to or 0
        return F.pad(images, (0, max(0, side - images.shape[3]), 0, max(0, side - images.shape[2])))

    def boundary(self, images: Images) -> Float[Tensor, "b 1 p q"]:
        """How likely a class boundary passes through each cell, in [0, 1]; of images of any size.

        With ``config.flip`` the logits are averaged with those of the mirrored images. Images are first completed at
        the right and the bottom to whole cells, so that the cells of both are the same; but with ``config.padded_to``
        the mirror image is completed by itself, as published, and its cells start at the other border.
        """
        rows, columns = _grid(images, self.stride)
        seen = self._completed(images) if self.config.padded_to is None else images
        logits = self._boundary_logits(seen)
        if self.config.flip:
            logits = (logits + self._boundary_logits(seen.flip(-1)).flip(-1)) / 2
        return logits[:, :, :rows, :columns].sigmoid()

    def _boundary_logits(self, images: Images) -> Float[Tensor, "b 1 p q"]:
        """On the grid of the images, which the network sees completed."""
        whole, (rows, columns) = self._completed(self._squared(images)), _grid(images, self.stride)
        return self.boundary_head(self._read(whole), _grid(whole, self.stride)).float()[:, :, :rows, :columns]

    def displacements(self, images: Images) -> Float[Tensor, "b 2 p q"]:
        """Displacement of each cell to the centre of its object: rows, then columns, in cells.

        Images are completed as for ``boundary``. In evaluation mode less ``mean_displacement``: the losses see
        differences alone, and leave any constant in.

        Raises:
            ValueError: they are not learned.
        """
        rows, columns = _grid(images, self.stride)
        field = self._unshifted(self._squared(images))[:, :, :rows, :columns]
        return field if self.training else field - self.mean_displacement[:, None, None]

    def _unshifted(self, images: Images) -> Float[Tensor, "b 2 p q"]:
        if self.displacement_head is None:
            raise ValueError("this network has learned no displacements; train one with affinity.displacements=true")
        return self.displacement_head(self._read(images), _grid(images, self.stride)).float()

    @torch.no_grad()
    def measure_shift(self, images: Iterable[Float[Tensor, "_ 3 _ _"]]) -> None:
        """Set ``mean_displacement``, once after training, to the mean over batches of the mean displacement of each.

        Batches may differ in the size of their images. Where no displacements are learned, no batch is looked at.

        Raises:
            ValueError: there is no batch.
        """
        if self.displacement_head is None:
            return
        device = self.mean_displacement.device
        means = [self._unshifted(batch.to(device)).mean(dim=(0, 2, 3)) for batch in images]
        if not means:
            raise ValueError("got no batch to find the mean displacement on; pass some batches of training images.")
        self.mean_displacement.copy_(torch.stack(means).mean(dim=0))

    def neighbourhood(self, images: Images, border: Border = "full") -> Neighbourhood:
        """Affinity in [0, 1] of each cell to its partner at each of ``offsets``; 0 where there is no pair.

        Under the ``interior`` border small grids have no pairs at the longest offsets, as in training. Boundaries can
        be crossed only as far as ``config.damp_boundaries`` lets them.
        """
        boundary = self.boundary(images)
        exists = _exists(boundary, self.config.walk_radius, border)
        affinities = path_affinities(boundary[:, 0], self.offsets) * exists
        return Neighbourhood(affinities, 1 - boundary if self.config.damp_boundaries else None)

    def outputs(self, batch: Batch) -> tuple[Float[Tensor, "b 1 p q"], Float[Tensor, "b 2 p q"] | None]:
        """Logits of the boundaries, and displacements before the mean shift, if they are learned."""
        return self(batch.images)

    def losses_from(
        self, outputs: tuple[Float[Tensor, "b 1 p q"], Float[Tensor, "b 2 p q"] | None], batch: Batch
    ) -> Losses:
        """The terms of ``affinity_losses`` over boundaries and of ``displacement_losses`` over displacements, if any.

        Raises:
            ValueError: if the batch has no masks, or not on the affinity grid.
        """
        labels, border = _labels(batch, self.stride), self.config.training_border
        offsets = _fitting_offsets(labels, self.config.radius, border)
        codes = pair_codes(labels, offsets, border)
        logits, field = outputs
        found = affinity_losses(path_affinities(logits[:, 0].sigmoid(), offsets), codes)
        return found if field is None else found | displacement_losses(field, codes, offsets)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Both heads as new layers; the displacement head has a rate of its own."""
        groups = grouped_parameters(None, [self.boundary_head])
        if self.displacement_head is None:
            return groups
        return groups + grouped_parameters(None, [self.displacement_head], self.config.displacement_factor)


def _completed(images: Images, whole: int) -> Float[Tensor, "b 3 _ _"]:
    """Images with the mean colour at the right and the bottom up to multiples of ``whole`` pixels."""
    return F.pad(images, (0, -images.shape[3] % whole, 0, -images.shape[2] % whole))


def _resized(features: Float[Tensor, "b d _ _"], grid: tuple[int, int]) -> Float[Tensor, "b d p q"]:
    if features.shape[-2:] == grid:
        return features
    return F.interpolate(features, grid, mode="bilinear", align_corners=False)


# ── grids and pairs ──────────────────────────────────────────────────────────────────────────────────────────────────


def _three_levels(config: AffinityNetConfig, levels: Sequence[Level]) -> tuple[int, ...]:
    """As chosen, or three from shallow to deep that are no finer than the grid; the finest counts again for a lack."""
    if config.levels is not None:
        return chosen_levels("affinity.levels", config.levels, levels)
    found = spread_levels(levels, 3, config.stride)
    return found[:1] * (3 - len(found)) + found


def _boundary_levels(config: IrnConfig, levels: Sequence[Level]) -> tuple[int, ...]:
    """As chosen, or the last five of the main levels: boundaries are found at every resolution."""
    if config.levels is not None:
        return chosen_levels("affinity.levels", config.levels, levels)
    return main_levels(levels)[-5:]


def _grid(images: Images, stride: int) -> tuple[int, int]:
    return -(-images.shape[-2] // stride), -(-images.shape[-1] // stride)


def _labels(batch: Batch, stride: int) -> Int[Tensor, "b p q"]:
    """The confident labels of a batch, which must lie on the affinity grid."""
    grid, labels = _grid(batch.images, stride), batch.masks
    if labels is None or tuple(labels.shape[-2:]) != grid:
        found = "no masks" if labels is None else f"masks of {labels.shape[-2]} x {labels.shape[-1]} cells"
        raise ValueError(
            f"an affinity net learns from confident labels of {grid[0]} x {grid[1]} cells for these images, but "
            f"got {found}; make them with confident_labels(..., pool={stride}) or grid_labels(..., stride={stride})."
        )
    return labels


def _fitting_offsets(grids: Tensor, radius: int, border: Border) -> list[Offset]:
    """Offsets with pairs on the grid of the last two axes: all, or those that fit where only interior sources count."""
    height, width = grids.shape[-2:]
    return pair_offsets(radius if border == "full" else fitting_radius(height, width, radius))


def _exists(grids: Float[Tensor, "b _ p q"], radius: int, border: Border) -> Bool[Tensor, "s p q"]:
    """Where a pair starts, for all offsets; those that do not fit have none."""
    height, width = grids.shape[-2:]
    offsets, fitting = pair_offsets(radius), _fitting_offsets(grids, radius, border)
    exists = torch.zeros(len(offsets), height, width, dtype=torch.bool)
    exists[[offsets.index(offset) for offset in fitting]] = pair_exists(height, width, fitting, border)
    return exists.to(grids.device)
