"""PPC's contrast as it is written with Python loops and random samples, for ``training_steps.py`` to compare with.

It follows the paper and what is known of the published code, not the package: features, labels and top pixels come
alike, all else is found class by class or pixel by pixel.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import PpcConfig
from tagmask.contracts import Activation, Batch, Losses, Tags
from tagmask.methods.pixel_contrast import best_channel, published_scores
from tagmask.methods.ppc import Ppc, rows


@dataclass(frozen=True)
class LoopView:
    """One view of a batch: features of unit length, the label of each pixel, and the prototypes."""

    unit: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    prototypes: Float[Tensor, "k d"]


Pick = Callable[[list[int], int], list[int]]
PixelLosses = Callable[[LoopView, PpcConfig], Float[Tensor, " n"]]


def similarities(view: LoopView) -> Float[Tensor, "n k"]:
    """Cosines of pixels and prototypes, which are repeated for every pixel, as published."""
    return (view.unit[:, None] * view.prototypes.repeat(len(view.unit), 1, 1)).sum(dim=2)


def softmax_losses(view: LoopView, config: PpcConfig) -> Float[Tensor, " n"]:
    """-log of the softmax over all prototypes at each pixel's label."""
    powers = (similarities(view) / config.temperature).exp()
    return -(powers.gather(1, view.labels[:, None])[:, 0] / powers.sum(dim=1)).log()


def mined_losses(view: LoopView, config: PpcConfig) -> Float[Tensor, " n"]:
    """The same over the own prototype and those that follow the most similar ones."""
    powers = (similarities(view) / config.temperature).exp()
    own, first = powers.gather(1, view.labels[:, None])[:, 0], config.skipped_prototypes
    negatives = powers.sort(dim=1, descending=True).values[:, first : first + config.kept_prototypes]
    return -(own / (own + negatives.sum(dim=1))).log()


def pixel_by_pixel(losses: PixelLosses) -> PixelLosses:
    """The same losses, found for one pixel after the other."""

    def each(view: LoopView, config: PpcConfig) -> Float[Tensor, " n"]:
        pixels = zip(view.unit.split(1), view.labels.split(1), strict=True)
        return torch.cat([losses(LoopView(unit, label, view.prototypes), config) for unit, label in pixels])

    return each


LOOPS: dict[str, tuple[PixelLosses, PixelLosses]] = {
    "loops_over_classes": (softmax_losses, mined_losses),
    "loops_over_pixels": (pixel_by_pixel(softmax_losses), pixel_by_pixel(mined_losses)),
}


def loop_losses(
    ppc: Ppc,
    activations: list[Activation],
    batch: Batch,
    form: tuple[PixelLosses, PixelLosses],
    picks: tuple[Pick, Pick] = (random.sample, random.sample),
) -> Losses:
    """PPC's losses as published; ``picks`` choose a number of pixels at random in each view."""
    softmax, mined = form
    first, second = (loop_view(ppc, found, batch.tags) for found in activations)
    pairs, config = ((first, second), (second, first)), ppc.config
    cross_prototype = [softmax(replace(this, prototypes=other.prototypes), config).mean() for this, other in pairs]
    cross_cam = [softmax(replace(this, labels=other.labels), config).mean() for this, other in pairs]
    intra_view = [intra_loss(view, mined, pick, config) for view, pick in zip((first, second), picks, strict=True)]
    return {
        "cross_prototype": config.cross_prototype_weight * torch.stack(cross_prototype).mean(),
        "cross_cam": config.cross_cam_weight * torch.stack(cross_cam).mean(),
        "intra_view": config.intra_view_weight * torch.stack(intra_view).mean(),
    }


def loop_view(ppc: Ppc, found: Activation, tags: Tags) -> LoopView:
    """Projected features, labels and prototypes, these class by class."""
    features, scores = rows(ppc.projected(found.embedding)), published_scores(found.maps, ppc.config.background)
    labels = best_channel(scores, tags, torch.ones_like(scores[:, 0], dtype=torch.bool)).flatten()
    top = rows(scores).topk(int(ppc.config.prototype_fraction * found.maps[0, 0].numel()), dim=0)
    means = [
        (weights[:, None] * features.detach()[pixels]).sum(dim=0) / weights.sum()
        for weights, pixels in zip(top.values.T, top.indices.T, strict=True)
    ]
    return LoopView(F.normalize(features, dim=1), labels, F.normalize(torch.stack(means), dim=1))


def intra_loss(view: LoopView, mined: PixelLosses, pick: Pick, config: PpcConfig) -> Float[Tensor, ""]:
    """Mean over the labels of the mean over half of a label's pixels at random and half of them hard."""
    labels, losses = view.labels.tolist(), []
    for channel in sorted(set(labels)):
        pixels = [pixel for pixel, label in enumerate(labels) if label == channel]
        half, last = len(pixels) // 2, int(config.hard_fraction * len(pixels))
        likeness = (view.unit.detach()[pixels] @ view.prototypes[channel]).tolist()
        hard = [pixel for _, pixel in sorted(zip(likeness, pixels, strict=True))][last - half : last]
        chosen = pick(pixels, half) + hard
        found = mined(replace(view, unit=view.unit[chosen], labels=view.labels[chosen]), config) if chosen else None
        losses.append(view.unit.new_zeros(()) if found is None else found.mean())
    return torch.stack(losses).mean()


def unread_samples(pixels: int, channels: int, config: PpcConfig) -> list[list[int]]:
    """Prototypes that the published code draws for every pixel of a view, and does not use."""
    return [random.sample(range(channels), config.kept_prototypes) for _ in range(pixels)]


def least_of(draws: list[float]) -> Pick:
    """The pixels with the least of these numbers."""
    return lambda pixels, count: sorted(pixels, key=draws.__getitem__)[:count]
