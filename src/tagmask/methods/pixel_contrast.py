"""Pixel-to-prototype contrast as functions of tensors (Du et al., CVPR 2022): scores, prototypes, mining, losses.

Pixels of a whole batch stand in one row, image after image, so that a prototype is made of all of them. Labels are
channels, 0 the background; pixels that do not count have the label ``IGNORE``. Everything is a fixed number of tensor
operations: no loop over pixels or classes, and nothing that makes an accelerator wait.
"""

from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from tagmask.contracts import Tags
from tagmask.conventions import EPSILON, IGNORE

RIVALS = 20  # of one prototype on PASCAL VOC, for which the published numbers of skipped and kept ones were chosen


# ── scores and labels ────────────────────────────────────────────────────────────────────────────────────────────────


def published_scores(maps: Float[Tensor, "b c p q"], background: float) -> Float[Tensor, "b c+1 p q"]:
    """A constant background, then each map stretched from its least to its largest value, as the published code does.

    Values below least + ``EPSILON`` become 0 before the least value is subtracted, so the floor of a map is negative
    and a map of zeros is -1 everywhere.
    """
    positive = F.relu(maps)
    least, largest = positive.amin(dim=(2, 3), keepdim=True), positive.amax(dim=(2, 3), keepdim=True)
    kept = positive.masked_fill(positive < least + EPSILON, 0.0)
    stretched = (kept - least - EPSILON) / (largest - least + EPSILON)
    return torch.cat([torch.full_like(maps[:, :1], background), stretched], dim=1)


def present_scores(
    maps: Float[Tensor, "b c p q"],
    background: Float[Tensor, "b 1 p q"] | None,
    tags: Tags,
    inside: Bool[Tensor, "b p q"],
    normalization: Literal["max", "min_max", "mean"],
) -> Float[Tensor, "b c+1 p q"]:
    """Scores in [0, 1] of the background and of the classes an image carries; all others are 0, and so is padding.

    Args:
        maps: of the classes, not negative.
        background: its map, where the method learns one; None: 1 - the largest score of a class.
        tags: of the images.
        inside: False on padding.
        normalization: how the method's maps come to [0, 1] at inference.
    """
    scores = unit_range(maps, inside, normalization) * tags[:, :, None, None]
    rest = 1 - scores.amax(dim=1, keepdim=True)
    first = rest if background is None else unit_range(background, inside, normalization)
    return torch.cat([first * inside[:, None], scores], dim=1)


def unit_range(
    maps: Float[Tensor, "b n p q"], inside: Bool[Tensor, "b p q"], normalization: Literal["max", "min_max", "mean"]
) -> Float[Tensor, "b n p q"]:
    """Maps divided by their largest value, or stretched from their least to it, or as they are; 0 on padding.

    >>> maps = torch.tensor([[[[1.0, 3.0, 5.0, 9.0]]]])
    >>> unit_range(maps, torch.tensor([[[True, True, True, False]]]), "min_max").flatten()
    tensor([0.0000, 0.5000, 1.0000, 0.0000])
    """
    within = inside[:, None]
    if normalization == "mean":
        return maps * within
    largest = maps.masked_fill(~within, 0.0).amax(dim=(2, 3), keepdim=True)
    if normalization == "max":
        return maps / (largest + EPSILON) * within
    least = torch.minimum(maps.masked_fill(~within, torch.inf).amin(dim=(2, 3), keepdim=True), largest)
    return ((maps - least - EPSILON) / (largest - least + EPSILON)).clamp(0, 1) * within


def best_channel(scores: Float[Tensor, "b k p q"], tags: Tags, inside: Bool[Tensor, "b p q"]) -> Int[Tensor, "b p q"]:
    """The channel of the largest score among background and tags, the first of equals; ``IGNORE`` on padding."""
    allowed = F.pad(tags, (1, 0), value=1.0)[:, :, None, None]
    return (scores * allowed).argmax(dim=1).masked_fill(~inside, IGNORE)


# ── prototypes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def first_of_top(scores: Float[Tensor, "n k"], count: int) -> Float[Tensor, "n k"]:
    """The ``count`` largest scores of each channel, others 0; which of equals is as the device sorts (published)."""
    top = scores.topk(min(count, len(scores)), dim=0)
    return torch.zeros_like(scores).scatter(0, top.indices, top.values)


def shared_top(scores: Float[Tensor, "n k"], count: int) -> Float[Tensor, "n k"]:
    """The ``count`` largest scores of each channel, others 0; equals of the smallest share the places that are left.

    Backgrounds are often exactly 1 in many places. A choice among them by position would take them all from the first
    images; sharing gives the mean over all choices.

    >>> shared_top(torch.tensor([[0.9], [0.5], [0.2], [0.5]]), 2).T
    tensor([[0.9000, 0.2500, 0.0000, 0.2500]])
    """
    count = min(count, len(scores))
    smallest = scores.topk(count, dim=0).values[-1]
    above, equal = scores > smallest, scores == smallest
    places = (count - above.sum(dim=0)) / equal.sum(dim=0).clamp_min(1)
    return scores * (above + equal * places)


def class_prototypes(features: Float[Tensor, "n d"], weights: Float[Tensor, "n k"]) -> Float[Tensor, "k d"]:
    """Direction of the weighted mean feature of each channel; 0 for a channel without weight.

    A mean is the sum over the total weight; at unit length only the total's sign is left of it.

    >>> class_prototypes(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return F.normalize((weights.T @ features) * weights.sum(dim=0).sign()[:, None], dim=1)


# ── which pixels and which prototypes count ──────────────────────────────────────────────────────────────────────────


def rank_within(values: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Place of each pixel among those of its label, 0 for the least value; equals in the order in which they stand.

    >>> rank_within(torch.tensor([0.3, 0.1, 0.2, 0.9]), torch.tensor([1, 1, 0, 1]))
    tensor([1, 0, 0, 2])
    """
    by_value = values.argsort(stable=True)
    order = by_value[labels[by_value].argsort(stable=True)]
    grouped = labels[order]
    places = torch.arange(len(labels), device=labels.device) - torch.searchsorted(grouped, grouped)
    return torch.empty_like(places).scatter(0, order, places)


def members(labels: Int[Tensor, " n"], channels: int) -> Float[Tensor, "n {channels}"]:
    """1 in the channel of each pixel's label; ``IGNORE`` has none."""
    return (labels[:, None] == torch.arange(channels, device=labels.device)).float()


def sizes(labels: Int[Tensor, " n"], channels: int) -> Int[Tensor, " {channels}"]:
    """How many pixels have each label."""
    return members(labels, channels).sum(dim=0).long()


def hard_pixels(
    likeness: Float[Tensor, " n"], labels: Int[Tensor, " n"], channels: int, fraction: float
) -> Bool[Tensor, " n"]:
    """Of a label's L pixels, floor(L / 2) among the int(fraction * L) least like their prototype: not the very least.

    Args:
        likeness: of each pixel to the prototype of its label.
        labels: of each pixel.
        channels: how many labels there are.
        fraction: at least 0.5.
    """
    found = sizes(labels, channels)
    last = _whole_shares(fraction, len(labels), labels.device)[found]
    own, rank = labels.clamp_min(0), rank_within(likeness, labels)
    return (rank < last[own]) & (rank >= (last - found // 2)[own]) & (labels != IGNORE)


@lru_cache(maxsize=4)
def _whole_shares(fraction: float, most: int, device: torch.device) -> Int[Tensor, " _"]:
    """int(fraction * L) for L = 0 .. most, as Python multiplies: 0.6 * 5 is 3 there, but 2.9999998 in some float32.

    Made on the CPU, as not every accelerator has float64, and kept, as a copy makes an accelerator wait.
    """
    return (torch.arange(most + 1, dtype=torch.float64) * fraction).long().to(device)


def random_pixels(draws: Float[Tensor, " n"], labels: Int[Tensor, " n"], channels: int) -> Bool[Tensor, " n"]:
    """Of a label's L pixels the floor(L / 2) with the least of ``draws``, which are uniform random numbers."""
    half = sizes(labels, channels) // 2
    return (rank_within(draws, labels) < half[labels.clamp_min(0)]) & (labels != IGNORE)


def label_weights(times: Float[Tensor, " n"], labels: Int[Tensor, " n"], channels: int) -> Float[Tensor, " n"]:
    """Weights that turn a sum over pixels into the mean over labels of the mean over a label's pixels.

    Args:
        times: how often each pixel is counted.
        labels: of each pixel; a label whose pixels are counted 0 times adds 0 to the mean over labels.
        channels: how many labels there are.

    >>> label_weights(torch.tensor([1.0, 2.0, 1.0, 0.0]), torch.tensor([0, 0, 1, 1]), 3)
    tensor([0.1667, 0.3333, 0.5000, 0.0000])
    """
    member = members(labels, channels)
    totals = (times[:, None] * member).sum(dim=0)
    num_labels = (member.sum(dim=0) > 0).sum().clamp_min(1)
    return times * (labels != IGNORE) / totals.clamp_min(1)[labels.clamp_min(0)] / num_labels


def even_weights(labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Weights that turn a sum over pixels into the mean over those with a label."""
    labelled = (labels != IGNORE).float()
    return labelled / labelled.sum().clamp_min(1)


def with_prototype(labels: Int[Tensor, " n"], present: Bool[Tensor, " k"]) -> Int[Tensor, " n"]:
    """The same labels, but ``IGNORE`` for those without a prototype."""
    return labels.masked_fill(~present[labels.clamp_min(0)], IGNORE)


def published_ranks(present: Bool[Tensor, " k"], skipped: int, kept: int) -> Bool[Tensor, " k"]:
    """True for the places of negatives among all prototypes, the most similar first: ``kept`` after ``skipped``."""
    places = torch.arange(len(present), device=present.device)
    return (places >= skipped) & (places < skipped + kept)


def scaled_ranks(present: Bool[Tensor, " k"], skipped: int, kept: int) -> Bool[Tensor, " k"]:
    """True for the places of negatives among the other prototypes that a pixel has, the most similar first.

    Both numbers are for ``RIVALS`` others; with m others they are floor(m / RIVALS) of it, at least one kept, and at
    most m - 1 skipped.

    >>> [int(scaled_ranks(torch.ones(k).bool(), 3, 10).sum()) for k in (2, 3, 7, 21)]
    [1, 1, 3, 10]
    """
    places = torch.arange(len(present), device=present.device)
    others = present.sum() - 1
    first = (skipped * others // RIVALS).minimum(others - 1).clamp_min(0)
    return (places >= first) & (places < first + (kept * others // RIVALS).clamp_min(1))


# ── losses of each pixel ─────────────────────────────────────────────────────────────────────────────────────────────


def similarities(
    features: Float[Tensor, "n d"], prototypes: Float[Tensor, "k d"], temperature: float = 1.0
) -> Float[Tensor, "n k"]:
    """Cosines of pixels and prototypes, all of unit length, over the temperature; 0 for one that is 0."""
    return features @ prototypes.T / temperature


def cross_losses(
    similarity: Float[Tensor, "n k"], labels: Int[Tensor, " n"], present: Bool[Tensor, " k"]
) -> Float[Tensor, " n"]:
    """-log of the softmax over the present prototypes at each pixel's label; 0 where there is none."""
    lowest = torch.finfo(similarity.dtype).min  # infinity would be NaN where no prototype is present
    return F.cross_entropy(similarity.masked_fill(~present, lowest), labels, ignore_index=IGNORE, reduction="none")


def intra_losses(
    similarity: Float[Tensor, "n k"],
    labels: Int[Tensor, " n"],
    rivals: Bool[Tensor, "#n k"],
    ranks: Bool[Tensor, " k"],
) -> Float[Tensor, " n"]:
    """-log(e^own / (e^own + sum over negatives of e^s)) of each pixel, s and own being similarities.

    Args:
        similarity: of ``similarities``.
        labels: of each pixel; where it is ``IGNORE`` the loss means nothing.
        rivals: prototypes that are compared.
        ranks: places of the negatives among them, the most similar first.
    """
    lowest = torch.finfo(similarity.dtype).min
    own = similarity.gather(1, labels.clamp_min(0)[:, None])
    ranked = similarity.masked_fill(~rivals, lowest).sort(dim=1, descending=True).values
    return torch.cat([own, ranked.masked_fill(~ranks, lowest)], dim=1).logsumexp(dim=1) - own[:, 0]


def other_prototypes(labels: Int[Tensor, " n"], present: Bool[Tensor, " k"]) -> Bool[Tensor, "n k"]:
    """The present prototypes other than each pixel's own."""
    return present & (labels[:, None] != torch.arange(len(present), device=labels.device))
