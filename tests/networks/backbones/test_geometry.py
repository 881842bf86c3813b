"""Where the cells of a grid lie, for each family of models: sizes, mirror images, places.

Weights are random, but awake: layers that timm starts at (nearly) zero would hide what lies behind them.
"""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from networks.backbones.timm_settings import CONVOLUTIONAL, FAMILIES, timm_backbone
from tagmask.contracts import Backbone
from tagmask.networks.backbones import build_backbone

ODD = (65, 97)
CASES = [(family, 16) for family in FAMILIES] + [(family, stride) for family in CONVOLUTIONAL for stride in (8, 32)]
CELL = {"dinov2": 14, "registers": 14}


@functools.cache
def backbone_of(family: str, stride: int) -> Backbone:
    torch.manual_seed(0)
    backbone = build_backbone(timm_backbone(FAMILIES[family], output_stride=stride)).eval()
    for name, parameter in backbone.named_parameters():
        if parameter.ndim == 1 and not name.endswith("bias") and parameter.abs().max() < 1e-3:
            nn.init.constant_(parameter, 0.1)  # residual branches begin at 0, their scales at 1e-6
    return backbone.requires_grad_(False)


def make_symmetric(backbone: Backbone) -> None:
    """Make kernels and position embeddings their own mirror images, in place."""
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            half = (layer.weight + layer.weight.flip(-1)) / 2
            layer.weight.copy_((half + half.flip(-2)) / 2)
    embedding = getattr(backbone.model, "pos_embed", None)
    if embedding is not None:
        rows, columns = backbone.model.patch_embed.grid_size
        grid = embedding[:, -rows * columns :].unflatten(1, (rows, columns))
        grid.copy_((grid + grid.flip(2)) / 2)


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [ODD, (33, 40), (14, 16), (5, 130)])
@pytest.mark.parametrize(("family", "stride"), CASES)
def test_levels_have_the_declared_channels_and_divide_images_of_any_size(family, stride, size):
    backbone = backbone_of(family, stride)
    grids = backbone.forward_levels(torch.randn(1, 3, *size))
    assert backbone.stride == CELL.get(family, stride)
    assert [tuple(grid.shape) for grid in grids] == [
        (1, level.channels, *(-(-n // level.stride) for n in size)) for level in backbone.levels
    ]
    assert all(grid.isfinite().all() for grid in grids)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_with_channels_innermost_and_one_of_half_precision_are_understood(family):
    backbone, images = backbone_of(family, 16), torch.randn(2, 3, 48, 56)
    wanted = backbone(images)
    torch.testing.assert_close(
        backbone(images.contiguous(memory_format=torch.channels_last)), wanted, rtol=1e-3, atol=1e-2
    )
    with torch.autocast("cpu", torch.bfloat16):
        assert backbone(images).shape == wanted.shape


# ── mirror images ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mirrored_image_has_mirrored_grids(family):
    """Exact, to rounding, once kernels and embeddings are symmetric: what pretrained weights are by and large.

    97 columns: the steps of padded convolutions meet both borders; patches do not fit, and must not be cut off or
    filled up at one side alone.
    """
    torch.manual_seed(0)
    backbone = build_backbone(timm_backbone(FAMILIES[family])).requires_grad_(False)
    make_symmetric(backbone)
    images = torch.randn(2, 3, *ODD)
    for grid, mirrored in zip(backbone.forward_levels(images), backbone.forward_levels(images.flip(-1)), strict=True):
        torch.testing.assert_close(mirrored.flip(-1), grid, rtol=0, atol=1e-4 * grid.abs().max().item())


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def place_of(change: torch.Tensor) -> torch.Tensor:
    """Row and column of what stands out on a grid, as shares of its sides: its mean place."""
    outstanding = (change - change.flatten().quantile(0.75)).clamp(min=0)
    rows, columns = ((torch.arange(n) + 0.5) / n for n in change.shape)
    weights = outstanding / outstanding.sum()
    return torch.stack([(weights.sum(dim=1) * rows).sum(), (weights.sum(dim=0) * columns).sum()])


@pytest.mark.parametrize(("family", "stride"), CASES)
def test_cells_divide_the_image_evenly(family, stride):
    """The pixels that move a cell lie around the middle of its share, as ``align_corners=False`` has it.

    The mean place of a cell's gradient must lie within half a cell of it. Kernels are symmetric, as random ones have
    their weight at one side or another. Only cells are tried that see little of the border, which cuts off a part of
    what the others see.
    """
    backbone = copy.deepcopy(backbone_of(family, stride))
    make_symmetric(backbone)
    images = torch.randn(1, 3, 65, 321, requires_grad=True)
    grid = backbone(images)
    rows, columns = grid.shape[2:]
    direction = torch.randn(grid.shape[1])
    for column in (columns // 2 - 1, columns // 2, columns // 2 + 1):
        (gradient,) = torch.autograd.grad(grid[0, :, rows // 2, column] @ direction, images, retain_graph=True)
        place = place_of(gradient[0].square().sum(dim=0)) * torch.tensor([rows, columns])
        assert (place - torch.tensor([rows // 2 + 0.5, column + 0.5])).abs().max() < 0.5


@pytest.mark.parametrize(("top", "left"), [(0.4, 0.4), (0.5, 0.65), (0.6, 0.45)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_spot_is_found_at_its_place_whatever_the_size_of_the_image(family, top, left):
    """The same image at two sizes, neither of whole cells: a spot on noise moves the features of its own place.

    Within a cell of the smaller grid: random weights spread it, and the border cuts off one side of that.
    """
    backbone, noise = backbone_of(family, 16), torch.randn(1, 3, 24, 28)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 151), torch.linspace(0, 1, 151), indexing="ij")
    spot = torch.exp(-((rows - top) ** 2 + (columns - left) ** 2) / (2 * 0.05**2)).expand(1, 3, -1, -1)
    found = []
    for size in ((113, 129), (226, 258)):
        plain, added = (F.interpolate(each, size, mode="bilinear", align_corners=False) for each in (noise, spot))
        found.append(place_of((backbone(plain + 3 * added) - backbone(plain)).square().sum(dim=1)[0]))
    for place in found:
        assert (place - torch.tensor([top, left])).abs().max() < 1 / 8
    assert (found[0] - found[1]).abs().max() < 1 / 8
