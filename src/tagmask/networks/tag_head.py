"""Tags of an image from a grid of features: scores of each cell, and their soft maximum.

The mean over an image drowns what is small, and the maximum teaches one cell at a time. Pinheiro & Collobert (CVPR
2015) take what lies between, (1 / r) log mean exp(r s): the mean for small r, the maximum for large r. Here each class
learns its r.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tagmask.networks.layers import Grid

RARE = -2.0  # logit that a class starts from: most images do not show it


def log_mean_exp(scores: Float[Tensor, "b c p q"], sharpness: Float[Tensor, " c"]) -> Float[Tensor, "b c"]:
    """(1 / r) log mean exp(r s) over the cells of each image (Pinheiro & Collobert, eq. 6).

    Args:
        scores: of each class in each cell.
        sharpness: r of each class, above 0.

    >>> scores = torch.tensor([0.0, 2.0])[None, None, None]
    >>> log_mean_exp(scores, torch.tensor([1.0])).item()  # log((1 + e^2) / 2)
    1.4337809085845947
    """
    flat = scores.flatten(2) * sharpness[:, None]
    cells = torch.full((), flat.shape[2], dtype=flat.dtype, device=flat.device)  # a tensor, so that a graph can hold it
    return (flat.logsumexp(2) - cells.log()) / sharpness


class TagHead(nn.Module):
    """A linear classifier of cells whose soft maximum tells an image's tags.

    Args:
        width: channels of the features.
        num_classes: classes without background.
        sharpness: what every r starts from.
    """

    def __init__(self, width: int, num_classes: int, sharpness: float = 2.0) -> None:
        super().__init__()
        self.classify = nn.Conv2d(width, num_classes, 1)
        nn.init.zeros_(self.classify.bias)  # pyright: ignore[reportArgumentType] - it has one
        self.log_sharpness = nn.Parameter(torch.full((num_classes,), math.log(sharpness)))
        self.bias = nn.Parameter(torch.full((num_classes,), RARE))

    def scores(self, features: Grid) -> Float[Tensor, "b c p q"]:
        """Score of each class in each cell."""
        return self.classify(features).float() + self.bias[:, None, None]

    def pooled(self, scores: Float[Tensor, "b c p q"]) -> Float[Tensor, "b c"]:
        """Tag logits of the images."""
        return log_mean_exp(scores, self.log_sharpness.exp())

    def forward(self, features: Grid) -> Float[Tensor, "b c"]:
        """Tag logits of features."""
        return self.pooled(self.scores(features))
