"""The second view of a batch that SEAM and PPC compare with the first, and grids of both brought to one size."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tagmask.contracts import Images
from tagmask.networks.memory_format import channels_last


def resized_aligned(grids: Float[Tensor, "b n _ _"], size: tuple[int, int]) -> Float[Tensor, "b n h w"]:
    """Grids of ``size`` rows and columns, bilinear with aligned corners: the same ones where they have that size."""
    return grids if grids.shape[2:] == size else F.interpolate(grids, size, mode="bilinear", align_corners=True)


def smaller_view(images: Images, scale: float, side: int | None = None) -> Float[Tensor, "b 3 _ _"]:
    """Images resized by a factor, or to a square.

    Args:
        images: the first view.
        scale: factor of both sides, which are rounded down, but not below one pixel.
        side: rows and columns of the result, instead of the factor.

    >>> import torch
    >>> smaller_view(torch.zeros(1, 3, 448, 448), 0.3).shape[2:]
    torch.Size([134, 134])
    """
    size = smaller_size((images.shape[2], images.shape[3]), scale, side)
    return channels_last(resized_aligned(images, size))


def smaller_size(size: tuple[int, int], scale: float, side: int | None = None) -> tuple[int, int]:
    """Rows and columns of ``smaller_view`` of images of ``size``.

    >>> smaller_size((448, 375), 0.3)
    (134, 112)
    """
    rows, columns = (max(1, int(scale * length)) for length in size)
    return (rows, columns) if side is None else (side, side)
