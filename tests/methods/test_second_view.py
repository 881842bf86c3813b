"""The second view of a batch, and grids of two views on one size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagmask.methods.second_view import resized_aligned, smaller_size, smaller_view


def test_corners_keep_their_values():
    grids = torch.arange(12.0).view(1, 1, 3, 4)
    larger = resized_aligned(grids, (7, 10))
    assert larger.shape == (1, 1, 7, 10)
    torch.testing.assert_close(larger[..., ::6, ::9], grids[..., ::2, ::3])
    assert larger[0, 0, 3, 0] == 4.0  # halfway down


def test_grids_of_the_right_size_are_not_touched():
    grids = torch.rand(1, 2, 3, 4)
    assert resized_aligned(grids, (3, 4)) is grids


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.1, 0.9))
def test_a_smaller_view_has_the_size_foretold(rows, columns, scale):
    view = smaller_view(torch.zeros(1, 3, rows, columns), scale)
    assert tuple(view.shape[2:]) == smaller_size((rows, columns), scale)
    assert min(view.shape[2:]) >= 1


@pytest.mark.parametrize("size", [(20, 30), (8, 8)])
def test_a_side_replaces_the_factor(size):
    view = smaller_view(torch.zeros(2, 3, *size), 0.3, side=9)
    assert view.shape == (2, 3, 9, 9)
    assert view.is_contiguous(memory_format=torch.channels_last)
