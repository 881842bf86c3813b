"""The heads of IRN: the published layers on a ResNet-50, and sensible ones on any other levels."""

import pytest
import torch

from tagmask.affinity.irn_heads import BoundaryHead, DisplacementHead, enlarged, pooled_levels
from tagmask.contracts import Level

RESNET50 = (Level(64, 2), Level(256, 4), Level(512, 8), Level(1024, 16), Level(2048, 16))


def features(levels: tuple[Level, ...], height: int, width: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, level.channels, -(-height // level.stride), -(-width // level.stride)) for level in levels]


def test_the_published_layers():
    boundary, displacement = BoundaryHead(RESNET50, 4, 32), DisplacementHead(RESNET50, 4, 256)
    assert sum(p.numel() for p in boundary.parameters()) == 125_409
    assert sum(p.numel() for p in displacement.parameters()) == 1_269_120
    weights = [tuple(p.shape[:2]) for p in displacement.parameters() if p.ndim == 4]
    sides = [(64, 64), (128, 256), (256, 512), (256, 1024), (256, 2048)]
    assert weights == [*sides, (256, 768), (256, 448), (2, 256)]
    assert [side[1].num_groups for side in displacement.sides] == [8, 16, 16, 16, 16]
    assert {side[1].num_groups for side in boundary.sides} == {4}


@pytest.mark.parametrize("strides", [(2, 4, 8, 16, 16), (1, 2), (4, 4), (16, 32), (14, 14, 14), (3, 6), (8,)])
@pytest.mark.parametrize("size", [(33, 47), (64, 64), (1, 5)])
def test_levels_of_any_stride_come_to_the_grid(strides, size):
    levels = tuple(Level(3 + i, stride) for i, stride in enumerate(strides))
    grid = (-(-size[0] // 4), -(-size[1] // 4))
    completed = (4 * grid[0], 4 * grid[1])
    pooled = pooled_levels(features(levels, *completed), levels, 4)
    assert BoundaryHead(levels, 4, 8)(pooled, grid).shape == (2, 1, *grid)
    displacements = DisplacementHead(levels, 4, 64)(pooled, grid)
    assert displacements.shape == (2, 2, *grid)
    assert displacements.isfinite().all()


def test_a_level_before_the_pooling_of_a_resnet_is_pooled_as_there():
    (stem,) = features((Level(2, 2),), 33, 47)
    (pooled,) = pooled_levels([stem], [Level(2, 2)], 4)
    assert pooled.shape == (2, 2, 9, 12)
    assert pooled[0, 0, 0, 0] == stem[0, 0, :2, :2].max()
    assert pooled[0, 0, 4, 5] == stem[0, 0, 7:10, 9:12].max()


def test_enlarged_cells_stay_where_they_are():
    ramp = torch.arange(5.0).expand(1, 1, 3, 5)
    found = enlarged(ramp, 2, (5, 9))[0, 0]
    assert found.shape == (5, 9)
    torch.testing.assert_close(found[0, 1:9], torch.arange(8) * 0.5 + 0.25)
    assert enlarged(ramp, 1, (3, 5)).equal(ramp)
