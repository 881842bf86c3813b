"""SEAM's pixel correlation module: maps redrawn by the likeness of pixels (Wang et al., CVPR 2020, section 3.4).

Every pixel's scores become the mean of all pixels' scores, weighted by how alike the two pixels look. The matrix of all
pixels against all pixels is made in blocks, never whole when it would take more memory than allowed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tagmask.config import EquivarianceConfig
from tagmask.contracts import Backbone, Images, Level
from tagmask.conventions import EPSILON
from tagmask.errors import TagmaskError
from tagmask.methods.likeness import add_symmetric_product, likeness_blocks, likeness_sums, unit_features
from tagmask.methods.second_view import resized_aligned
from tagmask.networks.levels import chosen_levels, main_levels

# ── the correlation ──────────────────────────────────────────────────────────────────────────────────────────────────


def correlation_input(scores: Float[Tensor, "b k p q"]) -> Float[Tensor, "b k p q"]:
    """Maps that the correlation spreads: at each pixel the background and the best class.

    Each class is divided by its maximum, the background is 1 - max over classes, and a class keeps its values only
    where no other is larger; equal ones both stay. All classes compete, those an image does not carry included.

    Args:
        scores: of the classifier at each pixel, any sign, background first; the background's are not looked at.

    Returns:
        Maps in [0, 1], background first.

    Example:
        >>> correlation_input(torch.tensor([[[[9.0, 9.0]], [[4.0, 1.0]], [[-1.0, 2.0]]]])).round(decimals=2).tolist()
        [[[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]]]
    """
    positive = F.relu(scores[:, 1:])
    maps = F.relu(positive - EPSILON) / (positive.amax(dim=(2, 3), keepdim=True) + EPSILON)
    best = maps.amax(dim=1, keepdim=True)
    return torch.cat([1 - best, maps * (maps >= best)], dim=1)


def correlate(
    maps: Float[Tensor, "b k p q"], features: Float[Tensor, "b d p q"], memory: int = 64
) -> Float[Tensor, "b k p q"]:
    """Maps averaged over pixels by likeness: y_j = sum_i S_ij m_i / (sum_i S_ij + 1e-5), S_ij = relu(g_i · g_j).

    g is a feature divided by its length plus 1e-5 (equation 8 of the paper, without its residual). Gradients reach
    features and maps; each block of S is made anew for them. Computed in float32.

    Args:
        maps: what is averaged.
        features: what likeness is measured on, any length.
        memory: MiB that a block of S may take.

    Returns:
        Averaged maps, between 0 and the maximum for maps that are not negative; 0 at a pixel whose feature is 0.
    """
    with torch.autocast(maps.device.type, enabled=False):
        rows = F.pad(maps.float().flatten(2), (0, 0, 0, 1), value=1.0)
        sums = _LikenessSums.apply(unit_features(features.float()).flatten(2), rows, memory)
        assert isinstance(sums, Tensor)
        return (sums[:, :-1] / (sums[:, -1:] + EPSILON)).view_as(maps)


class _LikenessSums(torch.autograd.Function):
    """``likeness_sums`` through which features and rows learn; S exists one block at a time here, too.

    S is symmetric, and so is the gradient that reaches its products: of both, blocks on and right of the diagonal do.
    """

    @staticmethod
    def forward(
        ctx: Any, unit: Float[Tensor, "b d n"], rows: Float[Tensor, "b m n"], memory: int
    ) -> Float[Tensor, "b m n"]:
        ctx.save_for_backward(unit, rows)
        ctx.memory = memory
        return likeness_sums(unit, rows, memory)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] — torch declares any number of cotangents
        ctx: Any, cotangent: Float[Tensor, "b m n"]
    ) -> tuple[Float[Tensor, "b d n"] | None, Float[Tensor, "b m n"] | None, None]:
        unit, rows = ctx.saved_tensors
        wanted = zip((unit, rows), ctx.needs_input_grad[:2], strict=True)
        of_unit, of_rows = (torch.zeros_like(x) if needed else None for x, needed in wanted)
        # The gradient at S_ij is row_i · cotangent_j; at g_i · g_j, which S holds twice, this plus its mirror image.
        left, right = torch.cat([rows, cotangent], dim=1), torch.cat([cotangent, rows], dim=1)
        for start, likeness in likeness_blocks(unit, ctx.memory):
            if of_rows is not None:
                add_symmetric_product(of_rows, cotangent, likeness, start)
            if of_unit is not None:
                size = likeness.shape[1]
                slope = torch.bmm(left[:, :, start : start + size].transpose(1, 2), right[:, :, start:])
                add_symmetric_product(of_unit, unit, slope.mul_(likeness > 0), start)
        return of_unit, of_rows, None


# ── the module ───────────────────────────────────────────────────────────────────────────────────────────────────────


class PixelCorrelation(nn.Module):
    """Refines maps by the likeness of pixels in colour and in two levels of the backbone.

    Three 1x1 convolutions without bias learn what likeness is; the levels are detached. Their names are those of the
    published weights.

    Args:
        config: levels, widths, memory, and whether gradients pass to the scores.
        backbone: where the levels come from.

    Raises:
        TagmaskError: levels the backbone does not have.
    """

    def __init__(self, config: EquivarianceConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.levels = _compared_levels(config.levels, backbone.levels)
        low, high = (backbone.levels[level].channels for level in self.levels)
        self.f8_3 = nn.Conv2d(low, config.widths[0], kernel_size=1, bias=False)
        self.f8_4 = nn.Conv2d(high, config.widths[1], kernel_size=1, bias=False)
        self.f9 = nn.Conv2d(3 + sum(config.widths), config.correlation_width, kernel_size=1, bias=False)
        nn.init.kaiming_normal_(self.f8_3.weight)
        nn.init.kaiming_normal_(self.f8_4.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def forward(
        self, scores: Float[Tensor, "b k p q"], images: Images, levels: list[Float[Tensor, "b _ _ _"]]
    ) -> Float[Tensor, "b k p q"]:
        """Refined maps in [0, 1], background first.

        Args:
            scores: of the classifier on the deepest grid, background first. They learn from the refined maps only where
                ``cross_reaches`` is ``maps``.
            images: what the backbone saw.
            levels: all that it returned.
        """
        scores = scores if self.config.cross_reaches == "maps" else scores.detach()
        maps = correlation_input(scores.float())  # in half precision many scores would be equal, and all of them win
        return correlate(maps, self._features(images, levels, maps.shape[2:]), self.config.correlation_memory)

    def _features(
        self, images: Images, levels: list[Float[Tensor, "b _ _ _"]], size: torch.Size
    ) -> Float[Tensor, "b d p q"]:
        low, high = (levels[level].detach() for level in self.levels)
        parts = [images, F.relu(self.f8_3(low)), F.relu(self.f8_4(high))]
        return self.f9(torch.cat([resized_aligned(part, (size[0], size[1])) for part in parts], dim=1))


def _compared_levels(chosen: tuple[int, int] | None, levels: Sequence[Level]) -> tuple[int, ...]:
    """Both levels counted from the finest: as chosen, or the two main levels before the deepest."""
    if chosen is not None:
        return chosen_levels("equivariance.levels", chosen, levels)
    if len(levels) < 3:
        raise TagmaskError(
            f"equivariance.levels is not set, which means the two levels before the deepest, but the backbone has "
            f"{len(levels)} levels; choose two from 0 to {len(levels) - 1}."
        )
    return main_levels(levels)[-3:-1]
