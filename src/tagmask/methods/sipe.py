"""SIPE: self-supervised image-specific prototype exploration (Chen et al., CVPR 2022).

A classifier's maps (the general maps) stop at what tells classes apart. Here each image redraws them: pixels of like
features form the structure of the image (section 3.2); every pixel goes to the class whose map agrees best with its
structure, which gives seeds for the objects and for the background; the mean feature of the seeds is a prototype of
that class in this image alone (section 3.3); and the similarity of each pixel to the prototypes is the image-specific
map. In training the two kinds of maps are pulled together (section 3.4).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import SipeConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Level, Losses, Method, ParameterGroup, Tags
from tagmask.conventions import EPSILON
from tagmask.errors import TagmaskError
from tagmask.methods.cam import tag_loss
from tagmask.methods.likeness import likeness_sums, unit_features
from tagmask.networks.levels import chosen_levels, spread_levels
from tagmask.networks.mixed_precision import in_single
from tagmask.networks.parameter_groups import grouped_parameters
from tagmask.system.processes import gathered

# ── from features to image-specific maps ─────────────────────────────────────────────────────────────────────────────


def hierarchical_features(sides: list[Float[Tensor, "b _ _ _"]], size: tuple[int, int]) -> Float[Tensor, "b d p q"]:
    """Side features of all levels on one grid: unit length at their own resolution, resized, stacked (section 3.2).

    Resizing shortens features where neighbours differ, so that fine levels weigh less there; nothing is renormalised.
    """
    resized = [F.interpolate(unit_features(side), size, mode="bilinear", align_corners=False) for side in sides]
    return torch.cat(resized, dim=1)


def allowed(tags: Tags, valid: Bool[Tensor, "b h w"] | None, size: tuple[int, int]) -> Float[Tensor, "b k p q"]:
    """1 where a pixel of the photograph may belong to a channel: the background, or a class the image carries."""
    channels = F.pad(tags, (1, 0), value=1.0)[:, :, None, None].expand(-1, -1, *size)
    if valid is None:
        return channels
    return channels * F.interpolate(valid[:, None].to(tags.dtype), size, mode="nearest")


def general_maps(class_maps: Float[Tensor, "b c p q"], background_factor: float = 1.0) -> Float[Tensor, "b k p q"]:
    """The classifier's maps in [0, 1), each divided by its maximum, after the background 1 - max over all classes.

    Args:
        class_maps: scores of each class at each pixel, of either sign.
        background_factor: multiplies the background (equation 2: the paper's alpha).
    """
    positive = F.relu(class_maps)
    maps = positive / (positive.amax(dim=(2, 3), keepdim=True) + EPSILON)
    return torch.cat([background_factor * (1 - maps.amax(dim=1, keepdim=True)), maps], dim=1)


@torch.no_grad()
def structure_overlap(
    features: Float[Tensor, "b d p q"], maps: Float[Tensor, "b k p q"], memory: int = 16, signed: bool = True
) -> Float[Tensor, "b k p q"]:
    """Soft intersection over union of every pixel's structure map with every channel's map (equations 3 and 4).

    The structure map of pixel i is S_ij = relu(cos(f_i, f_j)); its overlap with the map M_k is
    sum_j S_ij M_kj / (sum_j S_ij + sum_j M_kj - sum_j S_ij M_kj). All sums over j are matrix products: with blocks of
    rows of S as large as the memory allows, or, where no feature is negative, without S. Nothing learns through it.

    Args:
        features: what likeness is measured on, any length.
        maps: in [0, 1], background first.
        memory: MiB that a block of S may take; S never exists whole when it would take more.
        signed: whether features may be negative; False, where none is, spares S.

    Returns:
        Overlaps in [0, 1]; 0 where structure and map are both empty.
    """
    rows = torch.cat([maps, torch.ones_like(maps[:, :1])], dim=1).flatten(2)
    if signed:
        sums = likeness_sums(unit_features(features).flatten(2), rows, memory)
    else:
        sums = _linear_sums(features.flatten(2), rows)
    intersection, structure = sums[:, :-1], sums[:, -1:]
    union = structure + rows[:, :-1].sum(dim=2, keepdim=True) - intersection
    return torch.where(union > 0, intersection / union, 0.0).view_as(maps)


def _linear_sums(features: Float[Tensor, "b d n"], rows: Float[Tensor, "b m n"]) -> Float[Tensor, "b m n"]:
    """sum_j (f_i · f_j) row_j as f_i · sum_j f_j row_j: no relu is needed; rows are divided, as they are few."""
    lengths = features.square().sum(dim=1, keepdim=True).sqrt() + EPSILON
    return (rows / lengths) @ features.transpose(1, 2) @ features / lengths


@torch.no_grad()
def matched_factor(
    overlap: Float[Tensor, "b k p q"], general: Float[Tensor, "b k p q"], inside: Bool[Tensor, "b p q"]
) -> Float[Tensor, ""]:
    """The factor on the background's overlap at which it wins the share of pixels that the general maps give it.

    Not in the paper, whose constant belongs to maps of small parts of objects. A pixel is the background's if the
    factor exceeds the ratio of the best class's overlap to the background's, so it is a quantile of that ratio.

    Args:
        overlap: of ``structure_overlap``, background first.
        general: of ``general_maps``.
        inside: which pixels count; at least one.
    """
    ratio = overlap[:, 1:].amax(dim=1) / overlap[:, 0].clamp_min(torch.finfo(overlap.dtype).tiny)
    share = (general[:, 0] * inside).sum() / inside.sum()
    return quantile_inside(ratio.clamp_max(1 / EPSILON), inside, share)


def quantile_inside(
    values: Float[Tensor, "b p q"], inside: Bool[Tensor, "b p q"], share: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """The quantile of the values that are inside, between two of them in proportion, without picking them out.

    >>> values, inside = torch.tensor([[[3.0, 9.0, 1.0]]]), torch.tensor([[[True, False, True]]])
    >>> quantile_inside(values, inside, torch.tensor(0.75))
    tensor(2.5000)
    """
    ascending = values.masked_fill(~inside, torch.inf).flatten().sort().values
    last = inside.sum() - 1
    place = (share * last).minimum(last)
    below, above = ascending.gather(0, torch.stack([place.floor(), place.ceil()]).long())
    return below.lerp(above, place.frac())


def seeds(overlap: Float[Tensor, "b k p q"], allowed: Float[Tensor, "b k p q"]) -> Float[Tensor, "b k p q"]:
    """1 in the channel of largest overlap, where the pixel may belong to it; the first of equals (equation 5)."""
    winner = F.one_hot(overlap.argmax(dim=1), overlap.shape[1]).permute(0, 3, 1, 2)
    return winner * allowed


def image_prototypes(seeds: Float[Tensor, "b k p q"], features: Float[Tensor, "b d p q"]) -> Float[Tensor, "b k d"]:
    """Sum of the seeds' features over the number of pixels; only its direction counts; 0 without seeds (equation 6)."""
    return seeds.flatten(2) @ features.flatten(2).transpose(1, 2) / seeds[0, 0].numel()


def image_specific_maps(
    features: Float[Tensor, "b d p q"], prototypes: Float[Tensor, "b k d"]
) -> Float[Tensor, "b k p q"]:
    """relu(cos(f_i, P_k)), in [0, 1]; 0 for a prototype without seeds (equation 7)."""
    unit, directions = F.normalize(features, dim=1, eps=1e-8), F.normalize(prototypes, dim=2, eps=1e-8)
    return F.relu(torch.einsum("bkd,bdpq->bkpq", directions, unit))


def map_consistency(
    general: Float[Tensor, "b k p q"], specific: Float[Tensor, "b k p q"], channels: Float[Tensor, "b k"] | None = None
) -> Float[Tensor, ""]:
    """Mean absolute difference of general and image-specific maps, the latter divided by their maximum (equation 8).

    Args:
        general: of ``general_maps``, 0 where nothing is allowed.
        specific: of ``image_specific_maps``.
        channels: 1 for channels that count; None: all, absent classes included, as published. They are 0 in both kinds
            of maps, so they only dilute the mean: by (1 + classes) / (1 + tags).
    """
    difference = (general - divided_by_maximum(specific)).abs().mean(dim=(2, 3))
    return difference.mean() if channels is None else ((difference * channels).sum(1) / channels.sum(1)).mean()


def divided_by_maximum(maps: Float[Tensor, "b k p q"]) -> Float[Tensor, "b k p q"]:
    """Each map over its maximum plus ``EPSILON``: in [0, 1)."""
    return maps / (maps.amax(dim=(2, 3), keepdim=True) + EPSILON)


# ── the method ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SipeActivation(Activation):
    """What SIPE knows of an image beyond its maps.

    Attributes:
        class_maps: the classifier's scores at each pixel, of either sign, ``b c p q``.
        hierarchical: features of all levels, ``b d p q``.
        general: the general maps where they are allowed, ``b k p q``; None before ``Sipe.finish``.
    """

    class_maps: Float[Tensor, "b c p q"]
    hierarchical: Float[Tensor, "b e p q"]
    general: Float[Tensor, "b k p q"] | None = None


class Sipe(Method[SipeActivation]):
    """A classifier with side branches on its backbone's levels, whose maps are redrawn by prototypes of each image.

    The tag loss teaches classifier and backbone. The consistency teaches them through the general maps, and through
    the image-specific maps the side branches alone: these see the levels detached, and seeds carry no gradient.

    Args:
        config: settings of the method.
        backbone: where the features come from; at least one level.
        num_classes: classes without background.

    Raises:
        TagmaskError: levels the backbone does not have, or more levels than widths.
    """

    config_type = SipeConfig
    num_views = 1

    def __init__(self, config: SipeConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_classes = num_classes
        self.levels = _side_levels(config, backbone.levels)
        self.background_factor: Tensor
        self.register_buffer("background_factor", torch.tensor(1.0))
        self.classifier = nn.Conv2d(backbone.channels, num_classes, kernel_size=1, bias=False)
        widths = config.widths[-len(self.levels) :]
        self.sides = nn.ModuleList(
            nn.Conv2d(backbone.levels[level].channels, width, kernel_size=1, bias=False)
            for level, width in zip(self.levels, widths, strict=True)
        )
        if config.side_initialization == "orthogonal":
            for side in self.sides.parameters():
                nn.init.orthogonal_(side)

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """One view: the batch itself."""
        return [images]

    def forward(self, images: Images) -> SipeActivation:
        """Logits ``b c`` (mean of the class maps), the classifier's maps, and the features of all levels."""
        levels = self.backbone.forward_levels(images)
        class_maps = self.classifier(levels[-1])
        sides = [side(levels[level].detach()) for level, side in zip(self.levels, self.sides, strict=True)]
        hierarchical = hierarchical_features(sides, (class_maps.shape[2], class_maps.shape[3]))
        logits = class_maps.mean(dim=(2, 3))
        return SipeActivation(logits, F.relu(class_maps), None, levels[-1], class_maps, hierarchical)

    def finish(
        self, activation: SipeActivation, tags: Tags | None = None, valid: Bool[Tensor, "b h w"] | None = None
    ) -> SipeActivation:
        """Find seeds and prototypes; the maps become the image-specific ones, unless ``maps`` asks for others.

        In training seeds follow the structure of the deepest features, and only tags compete for pixels. At inference
        ``inference_seed_features`` and ``absent_classes_compete`` decide. All of it is done in float32, also where the
        network is not: the sums over all pixels that decide on seeds differ little from class to class.
        """
        if self.config.maps == "general" and not self.training:
            return activation
        known = torch.ones_like(activation.logits) if tags is None else tags
        with torch.autocast(activation.maps.device.type, enabled=False):
            return self._redrawn(in_single(activation), known, valid)

    def _redrawn(self, activation: SipeActivation, known: Tags, valid: Bool[Tensor, "b h w"] | None) -> SipeActivation:
        size = (activation.maps.shape[2], activation.maps.shape[3])
        general, overlap = self._located(activation, known, valid)
        if self.config.background_factor_on == "iou":
            overlap[:, 0] *= self._overlap_factor(overlap, general, allowed(known, valid, size)[:, 0].bool())
        found = seeds(overlap, allowed(known, valid, size))
        features = activation.hierarchical
        specific = image_specific_maps(features, image_prototypes(found, features))
        if self.config.maps == "mean" and not self.training:
            specific = (divided_by_maximum(specific) + general) / 2
        return replace(activation, maps=specific[:, 1:], background=specific[:, :1], general=general)

    def _located(
        self, activation: SipeActivation, known: Tags, valid: Bool[Tensor, "b h w"] | None
    ) -> tuple[Float[Tensor, "b k p q"], Float[Tensor, "b k p q"]]:
        """General maps where they are allowed, and their overlap with the structure of each pixel."""
        compete = self.config.absent_classes_compete and not self.training
        open_to = torch.ones_like(known) if compete else known
        size = (activation.maps.shape[2], activation.maps.shape[3])
        factor = self.config.background_factor if self.config.background_factor_on == "map" else 1.0
        assert isinstance(factor, float)
        general = general_maps(activation.class_maps, factor) * allowed(open_to, valid, size)
        semantic = self.training or self.config.inference_seed_features == "semantic"
        features = activation.embedding if semantic else activation.hierarchical
        signed = self.backbone.signed or not semantic
        return general, structure_overlap(features, general, self.config.structure_memory, signed)

    def _overlap_factor(
        self, overlap: Float[Tensor, "b k p q"], general: Float[Tensor, "b k p q"], inside: Bool[Tensor, "b p q"]
    ) -> float | Float[Tensor, ""]:
        """The factor on the background's overlap: set, matched to the batch in training, or as ``calibrate`` found."""
        if self.config.background_factor != "matched":
            return self.config.background_factor
        if self.training:
            return matched_factor(gathered(overlap), gathered(general), gathered(inside))
        return self.background_factor

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Find the background factor ``matched`` for the seeds of inference; other factors are set beforehand."""
        if self.config.background_factor != "matched":
            return
        found: list[tuple[Tensor, Tensor]] = []
        for batch in batches:
            if not batch.tags.any():  # nothing competes with the background
                continue
            general, overlap = self._located(self(batch.images), batch.tags, batch.valid)
            inside = allowed(batch.tags, batch.valid, (general.shape[2], general.shape[3]))[:, 0].bool()
            found.append((overlap.permute(0, 2, 3, 1)[inside], general.permute(0, 2, 3, 1)[inside]))
        if not found:  # without a tagged image nothing competes with the background
            return
        overlaps, generals = (torch.cat(values).T[None, :, :, None] for values in zip(*found, strict=True))
        self.background_factor.copy_(matched_factor(overlaps, generals, torch.ones_like(generals[:, 0]).bool()))

    def view_losses(self, activations: list[SipeActivation], batch: Batch) -> Losses:
        """The classification loss and the general-specific consistency."""
        found = activations[0]
        assert found.background is not None
        assert found.general is not None
        specific = torch.cat([found.background, found.maps], dim=1)
        channels = F.pad(batch.tags, (1, 0), value=1.0) if self.config.consistency_over == "present" else None
        weight = self.config.consistency_weight
        return {
            "tags": tag_loss(found.logits, batch.tags),
            "consistency": weight * map_consistency(found.general, specific, channels),
        }

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, classifier and side branches as new ones."""
        sides = grouped_parameters(None, [self.sides], self.config.side_factor)
        return grouped_parameters(self.backbone, [self.classifier]) + sides


def _side_levels(config: SipeConfig, levels: Sequence[Level]) -> tuple[int, ...]:
    """The levels that get a side branch: as chosen, or four from stride 4 to the deepest, or all of fewer."""
    if config.levels is None:
        found = spread_levels(levels, 4, finest=4)
    else:
        found = chosen_levels("method.levels", config.levels, levels)
    if len(found) > len(config.widths):
        raise TagmaskError(
            f"method.widths has {len(config.widths)} numbers for {len(found)} levels; give one for each level."
        )
    return found
