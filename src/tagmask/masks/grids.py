"""Sizes and grids: how image pixels, resized images and feature grids lie on each other."""

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from tagmask.masks.scores import block_mean


def long_side_factor(size: tuple[int, int], long_side: int | None) -> float:
    """Factor that brings the longer of (rows, columns) to ``long_side`` pixels; 1 if ``long_side`` is None.

    >>> long_side_factor((30, 40), 80)
    2.0
    """
    return 1.0 if long_side is None else long_side / max(size)


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Rows and columns after scaling, rounded, never below one pixel.

    >>> scaled_size((375, 500), 0.5)
    (188, 250)
    """
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def feature_grid(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Rows and columns of the feature grid of an image.

    >>> feature_grid((375, 500), 8)
    (47, 63)
    """
    return -(-size[0] // stride), -(-size[1] // stride)


def resized(maps: Float[np.ndarray, "n _ _"], size: tuple[int, int]) -> Float[np.ndarray, "n h w"]:
    """Maps of ``size`` (rows, columns), bilinear, pixel centres at half integers: the same ones if they have that size.

    >>> resized(np.array([[[0.0, 1.0]]]), (1, 4))
    array([[[0.  , 0.25, 0.75, 1.  ]]])
    """
    if maps.shape[1:] == size:
        return maps
    if not len(maps):  # an image without tags
        return np.zeros((0, *size), maps.dtype)
    return F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=False)[0].numpy()


def to_grid(maps: Float[np.ndarray, "n _ _"], size: tuple[int, int], stride: int) -> Float[np.ndarray, "n p q"]:
    """Maps brought to ``size`` pixels and averaged over ``stride x stride`` blocks, zeros beyond the border."""
    return block_mean(resized(maps, size), stride)


def from_grid(maps: Float[np.ndarray, "n p q"], cell: float, size: tuple[int, int]) -> Float[np.ndarray, "n h w"]:
    """Maps of a grid whose cells are ``cell`` image pixels wide, on the pixels of an image of ``size``.

    Feature grids cover the image padded at the right and the bottom to whole cells, so the grid is enlarged to its own
    extent first; what lies beyond the image is cut off.
    """
    extent = (max(round(maps.shape[1] * cell), size[0]), max(round(maps.shape[2] * cell), size[1]))
    return np.ascontiguousarray(resized(maps, extent)[:, : size[0], : size[1]])
