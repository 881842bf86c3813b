"""PPC: pixel-to-prototype contrast while any other method trains (Du et al., CVPR 2022).

Pixels of one class are pulled together and pixels of different classes apart, in features that a projector makes of the
base method's: each pixel is compared with one prototype per class, made of the most certain pixels of the batch. Two
views of the images teach each other. When training is over, projector and prototypes are dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import PpcConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup, Tags
from tagmask.methods import pixel_contrast as contrast
from tagmask.methods.second_view import resized_aligned, smaller_view
from tagmask.networks.parameter_groups import grouped_parameters
from tagmask.system.processes import gathered, num_processes, of_first_process, own_share


@dataclass(frozen=True)
class Pixels:
    """One view of a batch as rows of pixels, image after image.

    Attributes:
        features: projected, unit length, of this process's share of the batch; the contrast learns through them.
        labels: channel of each pixel of the whole batch, 0 background, ``IGNORE`` where it does not count.
        prototypes: of the whole batch, unit length or 0.
        present: which prototypes count.
        likeness: cosine of each pixel of the whole batch and the prototype of its label.
        draws: a random number in [0, 1) for each pixel of the whole batch, the same in all processes.
        cells: pixels of an image.
    """

    features: Float[Tensor, "n d"]
    labels: Int[Tensor, " m"]
    prototypes: Float[Tensor, "k d"]
    present: Bool[Tensor, " k"]
    likeness: Float[Tensor, " m"]
    draws: Float[Tensor, " m"]
    cells: int


# ── the three losses ─────────────────────────────────────────────────────────────────────────────────────────────────


def contrast_losses(config: PpcConfig, first: Pixels, second: Pixels) -> Losses:
    """The weighted losses, each the mean over both views."""
    pairs = ((first, second), (second, first))
    cross_prototype = [cross_loss(config, this, labels=this, prototypes=other) for this, other in pairs]
    cross_cam = [cross_loss(config, this, labels=other, prototypes=this) for this, other in pairs]
    intra_view = [intra_loss(config, this) for this, _ in pairs]
    return {
        "cross_prototype": config.cross_prototype_weight * torch.stack(cross_prototype).mean(),
        "cross_cam": config.cross_cam_weight * torch.stack(cross_cam).mean(),
        "intra_view": config.intra_view_weight * torch.stack(intra_view).mean(),
    }


def cross_loss(config: PpcConfig, pixels: Pixels, *, labels: Pixels, prototypes: Pixels) -> Float[Tensor, ""]:
    """Pixels of one view against labels and prototypes that other views may have made: the mean over pixels."""
    known = contrast.with_prototype(labels.labels, prototypes.present)
    similarity = contrast.similarities(pixels.features, prototypes.prototypes, config.temperature)
    losses = contrast.cross_losses(similarity, own_rows(known, pixels.cells), prototypes.present)
    return total(losses, contrast.even_weights(known), pixels.cells)


def intra_loss(config: PpcConfig, pixels: Pixels) -> Float[Tensor, ""]:
    """Half of each label's pixels at random and half of them hard, against semi-hard prototypes."""
    known, channels = contrast.with_prototype(pixels.labels, pixels.present), len(pixels.present)
    hard = contrast.hard_pixels(pixels.likeness, known, channels, config.hard_fraction)
    times = hard.float() + contrast.random_pixels(pixels.draws, known, channels)
    losses = intra_losses(config, pixels, own_rows(known, pixels.cells))
    return total(losses, contrast.label_weights(times, known, channels), pixels.cells)


def intra_losses(config: PpcConfig, pixels: Pixels, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The intra-view loss of each pixel of this process's share."""
    present, mined = pixels.present, (config.skipped_prototypes, config.kept_prototypes)
    similarity = contrast.similarities(pixels.features, pixels.prototypes, config.temperature)
    if config.faithful:
        return contrast.intra_losses(similarity, labels, present[None], contrast.published_ranks(present, *mined))
    rivals = contrast.other_prototypes(labels, present)
    return contrast.intra_losses(similarity, labels, rivals, contrast.scaled_ranks(present, *mined))


# ── the method ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Ppc(Method[Any]):
    """A method that trains another one with pixel-to-prototype contrast, and leaves that one for inference.

    The contrast teaches the projector and, through the embedding, the backbone. Maps give labels and weights of
    prototypes and learn nothing from it.

    Args:
        config: settings of the contrast.
        base: the method that makes the maps.
    """

    config_type = PpcConfig
    num_views = 2

    def __init__(self, config: PpcConfig, base: Method[Any]) -> None:
        super().__init__()
        self.config = config
        self.base = base
        self.num_classes = base.num_classes
        self.map_normalization = base.map_normalization
        self.fc_proj = nn.Conv2d(base.embedding_channels, config.width, kernel_size=1, bias=False)
        nn.init.xavier_uniform_(self.fc_proj.weight)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.warmup = config.warmup_steps

    @property
    def backbone(self) -> Backbone:  # pyright: ignore[reportIncompatibleVariableOverride] - held once, by the base
        """The base's."""
        return self.base.backbone

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """The base's views if it has two, else the batch and a smaller form of it."""
        if self.base.num_views == 2:
            return self.base.views(images)
        return [images, smaller_view(images, self.config.view_scale, self.config.view_size)]

    def forward(self, images: Images) -> Activation:
        """What the base sees."""
        return self.base(images)

    def finish(
        self, activation: Activation, tags: Tags | None = None, valid: Bool[Tensor, "b h w"] | None = None
    ) -> Activation:
        """As the base finishes."""
        return self.base.finish(activation, tags, valid)

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """As the base needs it."""
        self.base.calibrate(batches)

    def for_inference(self) -> Method[Any]:
        """The base: projector and prototypes have done their work."""
        return self.base.for_inference()

    def prepare_training(self, steps: int) -> None:
        """Find out over how many steps the contrast grows."""
        self.base.prepare_training(steps)
        self.warmup = self.config.warmup_steps or round(self.config.warmup_share * steps)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The base's groups, and the projector as new weights."""
        return self.base.parameter_groups() + grouped_parameters(None, [self.fc_proj])

    def projected(self, embedding: Float[Tensor, "b e p q"]) -> Float[Tensor, "b d p q"]:
        """Features that are contrasted: a linear map of the base's, then ReLU, so that no cosine is negative."""
        return F.relu(self.fc_proj(embedding))

    def view_losses(self, activations: list[Activation], batch: Batch) -> Losses:
        """The base's losses, then the three of the contrast."""
        growth, device = self._growth(), batch.images.device.type
        projections = [self.projected(found.embedding) for found in activations]
        with torch.autocast(device, enabled=False):
            first, second = self._pixels(activations, projections, batch)
            terms = contrast_losses(self.config, first, second)
        return self._base_losses(activations, batch) | {name: growth * value for name, value in terms.items()}

    def _growth(self) -> Float[Tensor, ""]:
        """Factor of the contrast in this step; counts forward passes of the training, also of one that is resumed."""
        growth = (self.steps / max(self.warmup, 1)).clamp_max(1)
        self.steps += int(self.training)
        return growth if self.warmup else torch.ones_like(growth)

    def _base_losses(self, activations: list[Activation], batch: Batch) -> Losses:
        if self.base.num_views == 2:
            return self.base.view_losses(activations, batch)
        taught = activations if self.config.base_losses == "all_views" else activations[:1]
        each = [self.base.view_losses([activation], batch) for activation in taught]
        return {name: torch.stack([losses[name] for losses in each]).mean() for name in each[0]}

    # ── from activations to pixels ───────────────────────────────────────────────────────────────────────────────────

    def _pixels(
        self, activations: list[Activation], projections: list[Float[Tensor, "b d _ _"]], batch: Batch
    ) -> list[Pixels]:
        """All views on the smallest one's grid."""
        size = (min(found.maps.shape[2] for found in activations), min(found.maps.shape[3] for found in activations))
        inside = on_grid(batch.valid, size)
        inside = torch.ones_like(inside) if self.config.faithful else inside
        return [
            self._view(
                resized_aligned(features.float(), size), self._scores(found, batch.tags, inside), batch.tags, inside
            )
            for found, features in zip(activations, projections, strict=True)
        ]

    @torch.no_grad()
    def _scores(self, found: Activation, tags: Tags, inside: Bool[Tensor, "b p q"]) -> Float[Tensor, "b k p q"]:
        """Scores of background and classes in one view, from which labels and prototypes are made."""
        size = (inside.shape[1], inside.shape[2])
        if self.config.faithful:
            # The refined maps, where the base has them, whatever it makes its maps of inference of.
            maps = found.maps if found.refined is None else found.refined[:, 1:]
            return contrast.published_scores(resized_aligned(maps.float(), size), self.config.background)
        background = None if found.background is None else resized_aligned(found.background.float(), size)
        maps = resized_aligned(found.maps.float(), size)
        return contrast.present_scores(maps, background, tags, inside, self.map_normalization)

    def _view(
        self,
        features: Float[Tensor, "b d p q"],
        scores: Float[Tensor, "b k p q"],
        tags: Tags,
        inside: Bool[Tensor, "b p q"],
    ) -> Pixels:
        """Labels and prototypes of one view, from the batches of all processes."""
        cells = inside[0].numel()
        whole, labels = rows(gathered(features)), contrast.best_channel(scores, tags, inside)
        labels = gathered(labels).flatten()
        top = contrast.first_of_top if self.config.faithful else contrast.shared_top
        weights = top(rows(gathered(scores)), max(1, int(self.config.prototype_fraction * cells)))
        prototypes = contrast.class_prototypes(whole, weights)
        likeness = contrast.similarities(F.normalize(whole, dim=1), prototypes)
        own = likeness.gather(1, labels.clamp_min(0)[:, None])[:, 0]
        present = torch.ones_like(weights[0]).bool() if self.config.faithful else prototypes.any(dim=1)
        draws = of_first_process(torch.rand_like(own))
        return Pixels(F.normalize(rows(features), dim=1), labels, prototypes, present, own, draws, cells)


# ── grids and rows ───────────────────────────────────────────────────────────────────────────────────────────────────


def on_grid(valid: Bool[Tensor, "b h w"], size: tuple[int, int]) -> Bool[Tensor, "b _ _"]:
    """Which cells of a grid belong to the photograph."""
    return F.interpolate(valid[:, None].float(), size, mode="nearest")[:, 0].bool()


def rows(grids: Float[Tensor, "b n p q"]) -> Float[Tensor, "_ n"]:
    """Pixels as rows, image after image."""
    return grids.permute(0, 2, 3, 1).flatten(0, 2)


def own_rows(whole: Shaped[Tensor, " m"], cells: int) -> Shaped[Tensor, " _"]:
    """This process's share of a value for each pixel of the whole batch, of whose images each has ``cells``."""
    return own_share(whole.view(-1, cells)).flatten()


def total(losses: Float[Tensor, " n"], weights: Float[Tensor, " m"], cells: int) -> Float[Tensor, ""]:
    """The weighted sum over this process's pixels, such that the mean over processes is the whole batch's sum."""
    return num_processes() * (losses * own_rows(weights, cells)).sum()
