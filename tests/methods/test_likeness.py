"""Likeness of pixels: blocks of S against the whole matrix."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagmask.methods import likeness
from tagmask.methods.likeness import add_symmetric_product, likeness_blocks, likeness_sums, unit_features


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_unit_features_have_length_one_and_stay_0_where_there_is_nothing():
    lengths = unit_features(torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([[[1.0, 0.0]]]), atol=1e-5, rtol=0)


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 400))
def test_sums_are_those_of_the_whole_matrix(seed, pixels, memory):
    unit, rows = draw(2, 5, pixels, seed=seed), draw(2, 3, pixels, seed=seed + 1)
    whole = (unit.transpose(1, 2) @ unit).relu()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "MEBIBYTE", 1)
        found = likeness_sums(unit, rows, memory)
    torch.testing.assert_close(found, rows @ whole, atol=1e-4, rtol=1e-4)


def test_blocks_begin_at_the_diagonal_and_cover_the_upper_half():
    unit = draw(1, 4, 30)
    whole = (unit.transpose(1, 2) @ unit).relu()
    covered = torch.zeros_like(whole)
    for start, block in likeness_blocks(unit, 1):
        covered[:, start : start + block.shape[1], start:] = block
    torch.testing.assert_close(covered.triu(), whole.triu())


@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_symmetric_product_is_the_sum_over_blocks(size):
    matrix, rows = draw(1, 7, 7), draw(1, 2, 7, seed=1)
    matrix = matrix + matrix.transpose(1, 2)
    total = torch.zeros_like(rows)
    for start in range(0, 7, size):
        add_symmetric_product(total, rows, matrix[:, start : start + size, start:], start)
    torch.testing.assert_close(total, rows @ matrix, atol=1e-5, rtol=1e-5)
