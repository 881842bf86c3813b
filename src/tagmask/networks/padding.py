"""Images of a batch without their padding, passed through a network one by one."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from tagmask.contracts import Batch

Box = tuple[slice, slice]


def boxes(valid: Bool[Tensor, "b h w"]) -> tuple[Box, ...]:
    """Rows and columns of each image that are more than padding; all of them where everything is.

    >>> valid = torch.zeros(1, 4, 6, dtype=torch.bool)
    >>> valid[0, 1:3, 2:] = True
    >>> boxes(valid)
    ((slice(1, 3, None), slice(2, 6, None)),)
    """
    found = []
    for inside in valid:
        sides = [inside.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0)]
        spans = zip(sides, inside.shape, strict=True)
        rows, columns = (slice(at[0], at[-1] + 1) if at else slice(0, length) for at, length in spans)
        found.append((rows, columns))
    return tuple(found)


def boxes_of(batch: Batch) -> tuple[Box, ...]:
    """``boxes`` of a batch, which its loader has found if it has one."""
    return boxes(batch.valid) if batch.boxes is None else batch.boxes


def without_padding(batch: Batch) -> list[Float[Tensor, "1 3 _ _"]]:
    """Each image by itself, without the rows and columns that are nothing but padding."""
    return [image[None, :, rows, columns] for image, (rows, columns) in zip(batch.images, boxes_of(batch), strict=True)]


def put_back(grids: Sequence[Float[Tensor, "1 k _ _"]], batch: Batch) -> Float[Tensor, "b k h w"]:
    """Grids at pixel size in the places that the batch's images were cut out of, zeros around them."""
    height, width = batch.images.shape[2:]
    return torch.cat(
        [
            F.pad(grid, (columns.start, width - columns.stop, rows.start, height - rows.stop))
            for grid, (rows, columns) in zip(grids, boxes_of(batch), strict=True)
        ]
    )
