"""The two heads of IRN on the levels of any backbone (Ahn, Cho & Kwak, CVPR 2019, figure 3).

Both work on one grid, that of the affinities. On a ResNet-50 with cells of 4 pixels they are the published layers:

- A level finer than the grid comes to it by 3x3 max pooling with stride 2, as often as needed: so the stem of a
  ResNet before its pooling becomes the published first level.
- A coarser level is enlarged bilinearly to the extent of its own cells, and what lies beyond the grid is cut off. So
  cells stay on each other whatever the size of the image.
- The displacement head merges the levels coarser than the grid first, on cells of twice the width.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.contracts import Level

Grid = tuple[int, int]
EDGE_GROUPS = 4


class BoundaryHead(nn.Module):
    """Logits of class boundaries: every level narrowed, normalised, brought to the grid; one weighted sum of all.

    Args:
        levels: channels and stride of each level, in pixels.
        stride: pixels per cell of the grid.
        width: channels of each narrowed level.
    """

    def __init__(self, levels: Sequence[Level], stride: int, width: int) -> None:
        super().__init__()
        self.factors = [_pooled_stride(level.stride, stride) / stride for level in levels]
        self.sides = nn.ModuleList(_normalized(level.channels, width, EDGE_GROUPS) for level in levels)
        self.last = nn.Conv2d(len(levels) * width, 1, 1)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]], grid: Grid) -> Float[Tensor, "b 1 p q"]:
        """Logits on the grid from levels that ``pooled_levels`` has made."""
        features = zip(levels, self.sides, self.factors, strict=True)
        return self.last(torch.cat([F.relu(enlarged(side(level), by, grid)) for level, side, by in features], dim=1))


class DisplacementHead(nn.Module):
    """Displacements to the centres of objects, rows then columns: coarse levels merged first, then all.

    Args:
        levels: channels and stride of each level, in pixels.
        stride: pixels per cell of the grid.
        width: channels of each coarse level and of what is merged; levels on the grid take half, finer ones a quarter.
    """

    def __init__(self, levels: Sequence[Level], stride: int, width: int) -> None:
        super().__init__()
        sizes = [_width_and_groups(level.stride, stride, width) for level in levels]
        self.factors = [_pooled_stride(level.stride, stride) / stride for level in levels]
        self.sides = nn.ModuleList(
            _normalized(level.channels, *size) for level, size in zip(levels, sizes, strict=True)
        )
        widths = [size[0] for size in sizes]
        coarse = sum(size for size, factor in zip(widths, self.factors, strict=True) if factor > 1)
        self.coarse = _normalized(coarse, width, 16) if coarse else None
        self.all = _normalized(sum(widths) - coarse + (width if coarse else 0), width, 16)
        self.last = nn.Conv2d(width, 2, 1, bias=False)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]], grid: Grid) -> Float[Tensor, "b 2 p q"]:
        """Displacements on the grid, in its cells, from levels that ``pooled_levels`` has made."""
        half = (-(-grid[0] // 2), -(-grid[1] // 2))
        fine, coarse = [], []
        for level, side, factor in zip(levels, self.sides, self.factors, strict=True):
            if factor > 1:
                coarse.append(F.relu(enlarged(side(level), factor / 2, half)))
            else:
                fine.append(F.relu(enlarged(side(level), factor, grid)))
        if self.coarse is not None:
            fine.append(F.relu(enlarged(self.coarse(torch.cat(coarse, dim=1)), 2, grid)))
        return self.last(F.relu(self.all(torch.cat(fine, dim=1))))


def pooled_levels(
    features: Sequence[Float[Tensor, "b _ _ _"]], levels: Sequence[Level], stride: int
) -> list[Float[Tensor, "b _ _ _"]]:
    """The features of some levels, those finer than a grid of ``stride`` pixels pooled down to it."""
    return [_pooled(grid, level.stride, stride) for grid, level in zip(features, levels, strict=True)]


def enlarged(features: Float[Tensor, "b d _ _"], factor: float, grid: Grid) -> Float[Tensor, "b d p q"]:
    """Features with cells ``factor`` times as wide as the grid's, on the grid.

    Example:
        >>> enlarged(torch.tensor([[[[0.0, 4.0]]]]), 2, (2, 3))[0, 0, 0]
        tensor([0., 1., 3.])
    """
    rows, columns = (max(round(n * factor), size) for n, size in zip(features.shape[2:], grid, strict=True))
    if features.shape[2:] == (rows, columns):
        return features[:, :, : grid[0], : grid[1]]
    larger = F.interpolate(features, (rows, columns), mode="bilinear", align_corners=False)
    return larger[:, :, : grid[0], : grid[1]]


def _normalized(channels: int, width: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.GroupNorm(groups, width))


def _width_and_groups(level_stride: int, stride: int, width: int) -> tuple[int, int]:
    """Channels and groups of a level in the displacement head."""
    if level_stride < stride:
        return width // 4, 8
    return width // (2 if level_stride == stride else 1), 16


def _pooled_stride(level_stride: int, stride: int) -> int:
    while 2 * level_stride <= stride:
        level_stride *= 2
    return level_stride


def _pooled(features: Float[Tensor, "b d _ _"], level_stride: int, stride: int) -> Float[Tensor, "b d _ _"]:
    for _ in range((_pooled_stride(level_stride, stride) // level_stride).bit_length() - 1):
        features = F.max_pool2d(features, 3, stride=2, padding=1)
    return features
