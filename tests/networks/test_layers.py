import pytest
import torch

from tagmask.contracts import Level
from tagmask.networks.layers import FusedLevels, group_norm, resize, separable

LEVELS = (Level(4, 2), Level(6, 4), Level(8, 8))


@pytest.mark.parametrize(("channels", "groups"), [(128, 32), (48, 12), (6, 1), (4, 1), (64, 16)])
def test_groups_have_at_least_four_channels_and_are_at_most_32(channels, groups):
    assert group_norm(channels).num_groups == groups


def test_resizing_does_not_align_corners():
    grid = torch.tensor([0.0, 1.0])[None, None, None]
    assert resize(grid, (1, 4)).flatten().tolist() == [0, 0.25, 0.75, 1]


def test_a_separable_convolution_mixes_neighbours_of_a_channel_then_channels():
    layer = separable(3, 8, rate=2)
    assert layer[0].groups == 3
    assert layer[0].dilation == (2, 2)
    assert layer(torch.randn(1, 3, 9, 7)).shape == (1, 8, 9, 7)


def test_levels_come_to_the_grid_of_the_finest_and_count_alike():
    torch.manual_seed(0)
    fused = FusedLevels(LEVELS, (1, 2), 16).eval()
    grids = [torch.randn(2, level.channels, 24 // level.stride, 32 // level.stride) for level in LEVELS]
    with torch.no_grad():
        found = fused(grids)
        expected = fused.mix(fused.narrow[0](grids[1]) + resize(fused.narrow[1](grids[2]), (6, 8)))
    assert found.shape == (2, 16, 6, 8)
    torch.testing.assert_close(found, expected)
