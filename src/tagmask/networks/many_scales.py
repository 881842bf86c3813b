"""Images at several scales through one network: how DeepLab v2 learns and predicts (Chen et al., TPAMI 2018).

Sizes may be symbols of a graph: the arithmetic is one of whole numbers.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from tagmask.contracts import Images, Masks
from tagmask.networks.layers import Grid, resize


def scaled_side(side: Any, scale: float) -> Any:
    """A side times a scale, rounded down, but at least 1.

    >>> [scaled_side(321, 0.5), scaled_side(321, 0.75), scaled_side(1, 0.5)]
    [160, 240, 1]
    """
    share = Fraction(scale).limit_denominator(1000)
    return torch.sym_max(side * share.numerator // share.denominator, 1)


def scaled(images: Images, scale: float) -> Float[Tensor, "b 3 _ _"]:
    """Normalised images at a scale (bilinear, corners not aligned, without a filter against aliasing)."""
    if scale == 1:
        return images
    return resize(images, (scaled_side(images.shape[2], scale), scaled_side(images.shape[3], scale)))


def maximum(grids: Sequence[Grid]) -> Grid:
    """The largest value of any grid at each cell of the first, to whose size the others are resized (bilinear)."""
    size = grids[0].shape[2:]
    return reduce(torch.maximum, [grids[0], *(resize(grid, size) for grid in grids[1:])])


def labels_at(masks: Masks, size: tuple[int, int]) -> Int[Tensor, "b _ _"]:
    """Masks at a size (rows, columns): each cell has the label of the pixel at its centre, as Pillow's nearest does.

    >>> labels_at(torch.tensor([[[0, 1, 2, 3, 4, 5]]]), (1, 3)).tolist()
    [[[1, 3, 5]]]
    """
    return F.interpolate(masks[:, None].float(), size=size, mode="nearest-exact")[:, 0].long()
