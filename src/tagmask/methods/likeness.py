"""How alike pixels look, and sums over all pixels weighted by it.

The likeness of two pixels is S_ij = relu(g_i · g_j), where g is a feature of unit length. Of this symmetric matrix only
blocks of rows exist at a time, from the diagonal on: SEAM and SIPE sum over S without ever holding it whole.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from tagmask.conventions import EPSILON

MEBIBYTE = 2**20
BLOCKS = 12  # of S: measured; more of them leave out more of what symmetry repeats, until their products get too small


def unit_features(features: Float[Tensor, "b d p q"]) -> Float[Tensor, "b d p q"]:
    """Each pixel's feature divided by its length plus 1e-5."""
    return features / (features.norm(dim=1, keepdim=True) + EPSILON)


def likeness_sums(unit: Float[Tensor, "b d n"], rows: Float[Tensor, "b m n"], memory: int) -> Float[Tensor, "b m n"]:
    """sum_j S_ij row_j at every pixel i, for each row. Nothing learns through it.

    Args:
        unit: a feature of unit length for each pixel.
        rows: what is summed.
        memory: MiB that a block of S may take.

    >>> unit = torch.tensor([[[1.0, 0.6, -1.0], [0.0, 0.8, 0.0]]])
    >>> likeness_sums(unit, torch.tensor([[[1.0, 10.0, 100.0]]]), memory=1)
    tensor([[[  7.0000,  10.6000, 100.0000]]])
    """
    sums = torch.zeros_like(rows)
    for start, block in likeness_blocks(unit, memory):
        add_symmetric_product(sums, rows, block, start)
    return sums


def likeness_blocks(unit: Float[Tensor, "b d n"], memory: int) -> Iterator[tuple[int, Float[Tensor, "b r s"]]]:
    """First row and values of each block of rows of S, from the diagonal on, none larger than ``memory`` MiB."""
    batch, _, pixels = unit.shape
    fitting = memory * MEBIBYTE // (batch * pixels * unit.element_size())
    size = max(1, min(fitting, -(-pixels // BLOCKS)))
    for start in range(0, pixels, size):
        rows = unit[:, :, start : start + size].transpose(1, 2)
        yield start, torch.bmm(rows, unit[:, :, start:]).relu_()


def add_symmetric_product(
    total: Float[Tensor, "b m n"], rows: Float[Tensor, "b m n"], block: Float[Tensor, "b r s"], start: int
) -> None:
    """Add to ``total`` what a block of rows of a symmetric matrix, and its mirror image, contribute to rows @ it."""
    stop = start + block.shape[1]
    total[:, :, start:stop] += rows[:, :, start:] @ block.transpose(1, 2)
    total[:, :, stop:] += rows[:, :, start:stop] @ block[:, :, stop - start :]
