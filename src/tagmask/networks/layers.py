"""Layers that several heads are made of."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.contracts import Level

Grid = Float[Tensor, "b _ _ _"]


def pointwise(inner: int, out: int) -> nn.Sequential:
    """A 1x1 convolution, normalisation over groups of channels, ReLU."""
    return nn.Sequential(nn.Conv2d(inner, out, 1, bias=False), group_norm(out), nn.ReLU(inplace=True))


def separable(inner: int, out: int, rate: int = 1) -> nn.Sequential:
    """A 3x3 convolution per channel, then a 1x1 across channels, normalisation, ReLU."""
    depthwise = nn.Conv2d(inner, inner, 3, padding=rate, dilation=rate, groups=inner, bias=False)
    return nn.Sequential(depthwise, *pointwise(inner, out))


def group_norm(channels: int) -> nn.GroupNorm:
    """At most 32 groups of at least 4 channels: on a 1x1 grid a group of one channel would always be 0."""
    groups = max(g for g in range(1, 33) if g == 1 or (channels % g == 0 and channels // g >= 4))
    return nn.GroupNorm(groups, channels)


def resize(grid: Grid, size: tuple[int, ...]) -> Grid:
    """Bilinear, corners not aligned."""
    return F.interpolate(grid, size=tuple(size), mode="bilinear", align_corners=False)


class FusedLevels(nn.Module):
    """Levels of a backbone narrowed, brought to the finest of them, added and mixed.

    Args:
        levels: of the backbone.
        chosen: which of them, the finest first.
        width: channels of the result.
    """

    def __init__(self, levels: Sequence[Level], chosen: Sequence[int], width: int) -> None:
        super().__init__()
        self.chosen = tuple(chosen)
        self.narrow = nn.ModuleList(pointwise(levels[index].channels, width) for index in chosen)
        self.mix = separable(width, width)

    def forward(self, grids: Sequence[Grid]) -> Float[Tensor, "b d p q"]:
        """Features ``b width p q`` on the grid of the finest chosen level."""
        narrowed = [narrow(grids[index]) for index, narrow in zip(self.chosen, self.narrow, strict=True)]
        size = narrowed[0].shape[2:]
        total = narrowed[0]
        for grid in narrowed[1:]:
            total = total + (grid if grid.shape[2:] == size else resize(grid, size))
        return self.mix(total)
