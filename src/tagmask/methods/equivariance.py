"""SEAM's losses: maps of an image and of its smaller copy must agree (Wang et al., CVPR 2020, sections 3.3 and 3.5).

Maps of classes that an image does not carry are 0 in every loss. They are therefore left out of all that is computed
on pixels, and only counted where a mean is taken over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import EquivarianceConfig
from tagmask.contracts import Losses, Tags
from tagmask.conventions import EPSILON
from tagmask.methods.second_view import resized_aligned

Size = tuple[int, int]


# ── maps of one view ─────────────────────────────────────────────────────────────────────────────────────────────────


def mean_of_resized(maps: Float[Tensor, "b n _ _"], size: Size) -> Float[Tensor, "b n"]:
    """Mean over all pixels of ``resized`` maps, without making them: resizing is linear, so each cell has a weight.

    Example:
        >>> mean_of_resized(torch.tensor([[[[4.0, 1.0, 1.0]]]]), (1, 5))  # of 4, 2.5, 1, 1, 1
        tensor([[1.9000]])
    """
    rows, columns = (_mean_weights(maps, axis, length) for axis, length in zip((2, 3), size, strict=True))
    return (maps * (rows[:, None] * columns)).sum(dim=(2, 3), dtype=torch.float32)


def _mean_weights(maps: Float[Tensor, "b n _ _"], axis: int, length: int) -> Float[Tensor, " p"]:
    """What each row or column of a grid adds to the mean over ``length`` pixels."""
    cells = torch.eye(maps.shape[axis], device=maps.device)[None]
    return F.interpolate(cells, length, mode="linear", align_corners=True).mean(dim=2)[0]


def stretched_maps(scores: Float[Tensor, "b n _ _"], size: Size) -> Float[Tensor, "b n h w"]:
    """Maps in [0, 1): relu(relu(x) - least - eps) / (largest - least + eps) for each map, then resized to ``size``.

    Least and largest are those of relu(x), and learn as well.

    Example:
        >>> stretched_maps(torch.tensor([[[[-3.0, 1.0, 4.0]]]]), (1, 3)).round(decimals=2)
        tensor([[[[0.0000, 0.2500, 1.0000]]]])
    """
    values = scores.flatten(2)
    least, largest = (F.relu(found)[:, :, None, None] for found in (values.min(2).values, values.max(2).values))
    # Dividing commutes with resizing; relu(relu(x) - a) is relu(x - a) for a > 0. The sum with what was negated before
    # spares the gradient a pass over all pixels.
    return resized_aligned(F.relu(scores + -(least + EPSILON)), size) / (largest - least + EPSILON)


def winning_maps(maps: Float[Tensor, "b n h w"], exempt: Bool[Tensor, "b n"]) -> Float[Tensor, "b n h w"]:
    """Maps set to 0 where another one is larger; equal ones both stay.

    Args:
        maps: not negative.
        exempt: channels that neither compete nor change: the background.

    Example:
        >>> maps = torch.tensor([[[[0.9, 0.1]], [[0.6, 0.2]], [[0.5, 0.3]]]])
        >>> winning_maps(maps, torch.tensor([[True, False, False]]))
        tensor([[[[0.9000, 0.1000]],
        <BLANKLINE>
                 [[0.6000, 0.0000]],
        <BLANKLINE>
                 [[0.0000, 0.3000]]]])
    """
    outside = exempt[:, :, None, None]
    best = maps.masked_fill(outside, 0.0).amax(dim=1, keepdim=True)
    return maps * (outside | (maps >= best))


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def view_consistency(
    first: Float[Tensor, "b n h w"], second: Float[Tensor, "b n h w"], num_maps: Int[Tensor, " b"] | int
) -> Float[Tensor, ""]:
    """Equivariance loss L_ER: mean absolute difference of the maps of two views (equation 9).

    Args:
        first: maps of the first view on the grid of the second, 0 for classes without tag.
        second: maps of the second view.
        num_maps: over how many maps the mean is taken, in all images or in each; the others are 0.
    """
    return ((first - second).abs().mean(dim=(2, 3)).sum(dim=1) / num_maps).mean()


def cross(
    target: Float[Tensor, "b n h w"], refined: Float[Tensor, "b n h w"], num_channels: int, fraction: float
) -> Float[Tensor, ""]:
    """One direction of the equivariant cross loss L_ECR: mean of the largest absolute differences of an image (eq. 10).

    Args:
        target: winning maps of one view.
        refined: refined maps of the other.
        num_channels: of all maps, of which only those were given that are not 0 in both.
        fraction: share of all maps' differences that counts.
    """
    difference = (target - refined).abs().flatten(1)
    count = max(1, int(num_channels * target[0, 0].numel() * fraction))
    if count < difference.shape[1]:  # otherwise all that are not 0 count
        difference = difference.topk(count, dim=1, sorted=False).values
    return (difference.sum(dim=1) / count).mean()


def min_pool(maps: Float[Tensor, "b n h w"], fraction: float) -> Float[Tensor, ""]:
    """Adaptive min-pool loss: mean of the lowest ``fraction`` of an image's pixels, of the best map at each pixel.

    Where one class fills the image with equal values, some pixels must give way.

    Example:
        >>> min_pool(torch.tensor([[[[0.1, 0.5], [0.5, 0.5]], [[0.0, 0.2], [0.7, 0.1]]]]), 0.5).item()  # of 0.1, 0.5
        0.30000001192092896
    """
    best = maps.max(dim=1).values.flatten(1)
    lowest = best.topk(max(1, int(best.shape[1] * fraction)), dim=1, largest=False, sorted=False).values
    return F.relu(lowest).mean()


def equivariance_losses(
    scores: Sequence[Float[Tensor, "b k _ _"]],
    refined: Sequence[Float[Tensor, "b k _ _"]],
    tags: Tags,
    config: EquivarianceConfig,
    sizes: Sequence[Size],
    exempt: int = 0,
    most_tags: int | None = None,
) -> Losses:
    """The three losses of two views, weighted: ``consistency``, ``cross`` and ``min_pool``.

    The cross loss compares winners of one view with refined maps of the other, in both directions. The winners learn
    from it only where ``cross_reaches`` is ``maps``.

    Args:
        scores: the classifier's, of any sign, for each view; background first.
        refined: refined maps of each view, background first.
        tags: of the images.
        config: weights and fractions.
        sizes: rows and columns of each view: of its pixels, as SEAM publishes, or of its feature grid.
        exempt: the channel that does not compete for pixels in the cross loss.
        most_tags: of an image, as ``Batch`` knows it.
    """
    first, second = compared_maps(scores, refined, tags, sizes, exempt, config.cross_reaches == "maps", most_tags)
    num_maps = tags.shape[1] if config.consistency_over == "all" else (tags > 0).sum(dim=1).clamp_min(1)
    counted = scores[0].shape[1], config.cross_fraction
    there, back = cross(second.winners, first.refined, *counted), cross(first.winners, second.refined, *counted)
    lowest = [min_pool(view.pixels, config.min_pool_fraction) for view in (first, second)]
    return {
        "consistency": config.consistency_weight * view_consistency(first.maps, second.maps, num_maps),
        "cross": config.cross_weight * (there + back),
        "min_pool": config.min_pool_weight * (lowest[0] + lowest[1]) / 2,
    }


# ── what is compared ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ComparedMaps:
    """Maps of one view's tags on the pixels of the smaller view, 0 where an image has fewer tags than another.

    Attributes:
        maps: the classifier's, stretched, ``b n h w``.
        winners: the same after a background of 1 - largest map, where no other is larger, ``b m h w``; m = n + 1.
        refined: refined maps, stretched, the background's first, ``b m h w``.
        pixels: refined maps at the view's own size, not stretched, without background.
    """

    maps: Float[Tensor, "b n h w"]
    winners: Float[Tensor, "b m h w"]
    refined: Float[Tensor, "b m h w"]
    pixels: Float[Tensor, "b n _ _"]


def compared_maps(
    scores: Sequence[Float[Tensor, "b k _ _"]],
    refined: Sequence[Float[Tensor, "b k _ _"]],
    tags: Tags,
    sizes: Sequence[Size],
    exempt: int = 0,
    winners_learn: bool = False,
    most_tags: int | None = None,
) -> list[ComparedMaps]:
    """What the losses look at in each view.

    Maps are brought to the view's size, stretched there, and then resized to the size of the last view.

    Args:
        scores: as for ``equivariance_losses``, like the other arguments.
        refined: of each view.
        tags: of the images.
        sizes: of each view.
        exempt: the channel that does not compete.
        winners_learn: whether a gradient passes through the winners.
        most_tags: of an image; None: it is counted, for which an accelerator is waited for.
    """
    counted = int((tags > 0).sum(dim=1).amax()) if most_tags is None else most_tags
    channels, present = _present_channels(tags, max(1, counted))
    views = []
    for view_scores, view_refined, size in zip(scores, refined, sizes, strict=True):
        # Channels without tag are made 0 on the small grid; they stay 0 when they are resized and stretched.
        pixels = _enlarged(view_refined, channels, present, size)
        maps = stretched_maps(_enlarged(view_scores, channels[:, 1:], present[:, 1:], size), sizes[-1])
        best = winning_maps(_with_background(maps if winners_learn else maps.detach()), channels == exempt)
        views.append(ComparedMaps(maps, best, stretched_maps(pixels, sizes[-1]), pixels[:, 1:]))
    return views


def _present_channels(tags: Tags, most: int) -> tuple[Int[Tensor, "b n"], Float[Tensor, "b n 1 1"]]:
    """Channels that some loss looks at: the background, then as many as the image with most tags needs.

    Returns:
        The numbers of the channels in each image, ascending among its tags, and their tags: 1 for the background, 0
        where an image has fewer.
    """
    classes = (tags > 0).to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    present = F.pad(tags.gather(1, classes), (1, 0), value=1.0)
    return F.pad(classes + 1, (1, 0)), present[:, :, None, None]


def _enlarged(
    maps: Float[Tensor, "b k _ _"], channels: Int[Tensor, "b n"], present: Float[Tensor, "b n 1 1"], size: Size
) -> Float[Tensor, "b n h w"]:
    """The chosen channels of each image, 0 where it lacks them, in float32, resized."""
    places = channels[:, :, None, None].expand(-1, -1, *maps.shape[2:])
    return resized_aligned(maps.float().gather(1, places) * present, size)


def _with_background(maps: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Maps after a background of 1 - largest map."""
    return torch.cat([1 - maps.amax(dim=1, keepdim=True), maps], dim=1)
