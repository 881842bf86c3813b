"""SEAM's losses: maps of an image and of its smaller copy must agree (Wang et al., CVPR 2020, sections 3.3 and 3.5).

Maps of classes that an image does not carry are 0 in every loss. They are therefore left out of all that is computed
on pixels, and only counted where a mean is taken over them.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import EquivarianceConfig
from tagmask.contracts import Losses, Tags

EPS = 1e-5

Size = tuple[int, int]


# ── maps of one view ─────────────────────────────────────────────────────────────────────────────────────────────────


def resized(maps: Float[Tensor, "b n _ _"], size: Size) -> Float[Tensor, "b n h w"]:
    """Maps on a grid of ``size`` rows and columns, bilinear with aligned corners."""
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="bilinear", align_corners=True)


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
    # Dividing commutes with resizing; relu(relu(x) - a) is relu(x - a) for a > 0.
    return resized(F.relu(scores - (least + EPS)), size) / (largest - least + EPS)


def winners(maps: Float[Tensor, "b n h w"], exempt: Bool[Tensor, "b n"]) -> Float[Tensor, "b n h w"]:
    """Maps set to 0 where another one is larger; equal ones both stay.

    Args:
        maps: not negative.
        exempt: channels that neither compete nor change: the background.

    Example:
        >>> maps = torch.tensor([[[[0.9, 0.1]], [[0.6, 0.2]], [[0.5, 0.3]]]])
        >>> winners(maps, torch.tensor([[True, False, False]]))
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


def consistency(
    first: Float[Tensor, "b n h w"], second: Float[Tensor, "b n h w"], num_maps: Int[Tensor, " b"] | int
) -> Float[Tensor, ""]:
    """Equivariance loss L_ER: mean absolute difference of the maps of two views (equation 9).

    Args:
        first: maps of the first view on the grid of the second, 0 for classes without tag.
        second: maps of the second view.
        num_maps: over how many maps the mean is taken, in all images or in each; the others are 0.
    """
    return ((first - second).abs().mean(dim=(2, 3)).sum(dim=1) / num_maps).mean()


def cross(target: Float[Tensor, "b n h w"], refined: Float[Tensor, "b n h w"], num_largest: int) -> Float[Tensor, ""]:
    """One direction of the equivariant cross loss L_ECR: mean of the largest absolute differences of an image.

    Args:
        target: winning maps of one view.
        refined: refined maps of the other.
        num_largest: how many differences count; if it exceeds the number of them, the missing ones count as 0.
    """
    difference = (target - refined).abs().flatten(1)
    if num_largest < difference.shape[1]:
        difference = difference.topk(num_largest, dim=1, sorted=False).values
    return (difference.sum(dim=1) / num_largest).mean()


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
) -> Losses:
    """The three losses of two views, weighted: ``consistency``, ``cross`` and ``min_pool``.

    Maps of each view are brought to its size and stretched there; those of the first view are then resized to the
    second's. The cross loss compares winners of one view with refined maps of the other, in both directions, and
    teaches the winners only where ``cross_reaches`` is ``maps``.

    Args:
        scores: the classifier's, of any sign, for each view; background first.
        refined: refined maps of each view.
        tags: of the images.
        config: weights and fractions.
        sizes: rows and columns of each view: of its pixels, as SEAM publishes, or of its feature grid.
        exempt: the channel that does not compete for pixels in the cross loss.
    """
    channels, present = _present_channels(tags)
    maps = [stretched_maps(x, sizes[1]) * present[:, 1:] for x in _enlarged(scores, channels[:, 1:], sizes)]
    full = _enlarged(refined, channels, sizes)
    drawn = [stretched_maps(x, sizes[1]) * present for x in full]
    best = [winners(_with_background(x), channels == exempt) for x in maps]
    if config.cross_reaches == "correlation":
        best = [x.detach() for x in best]
    num_maps = tags.shape[1] if config.consistency_over == "all" else (tags > 0).sum(dim=1).clamp_min(1)
    num_largest = max(1, int(scores[0].shape[1] * sizes[1][0] * sizes[1][1] * config.cross_fraction))
    lowest = [min_pool(x[:, 1:] * present[:, 1:], config.min_pool_fraction) for x in full]
    return {
        "consistency": config.consistency_weight * consistency(maps[0], maps[1], num_maps),
        "cross": config.cross_weight * (cross(best[1], drawn[0], num_largest) + cross(best[0], drawn[1], num_largest)),
        "min_pool": config.min_pool_weight * (lowest[0] + lowest[1]) / 2,
    }


def _present_channels(tags: Tags) -> tuple[Int[Tensor, "b n"], Float[Tensor, "b n 1 1"]]:
    """Channels that some loss looks at: the background, then as many as the image with most tags needs.

    Returns:
        The numbers of the channels in each image, ascending among its tags, and their tags: 1 for the background, 0
        where an image has fewer.
    """
    most = max(1, int((tags > 0).sum(dim=1).amax()))
    classes = (tags > 0).to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    present = F.pad(tags.gather(1, classes), (1, 0), value=1.0)
    return F.pad(classes + 1, (1, 0)), present[:, :, None, None]


def _enlarged(
    maps: Sequence[Float[Tensor, "b k _ _"]], channels: Int[Tensor, "b n"], sizes: Sequence[Size]
) -> list[Float[Tensor, "b n _ _"]]:
    """The chosen channels of each view's maps, in float32 and at the view's size."""
    places = channels[:, :, None, None]
    chosen = [x.float().gather(1, places.expand(-1, -1, *x.shape[2:])) for x in maps]
    return [resized(x, size) for x, size in zip(chosen, sizes, strict=True)]


def _with_background(maps: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Maps after a background of 1 - largest map."""
    return torch.cat([1 - maps.amax(dim=1, keepdim=True), maps], dim=1)
