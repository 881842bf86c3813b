"""Class maps for small objects: scores on a fine grid of several levels, pooled by log-sum-exp.

The mean over an image drowns an object of a thousandth of it, and the maximum teaches one pixel at a time. Pinheiro &
Collobert (CVPR 2015) take what lies between, (1 / r) log mean exp(r s): the mean for small r, the maximum for large r.
Here each class learns its r. A grid as fine as 4 or 8 pixels comes from levels of the backbone that are added.

Scores have no zero of their own: how high the most of an image lies differs from class to class. What a class scores on
images without its tag is known, without a mask, and is measured after training; maps rise from there to the peak of
each image. What is tiny ends close below its peak, what is wide close above that level: the strength of the background
is chosen for each class when masks are made (``masks.outlines``).
"""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import PyramidConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup
from tagmask.errors import TagmaskError
from tagmask.methods.cam import tag_loss
from tagmask.networks.layers import FusedLevels
from tagmask.networks.levels import fine_levels
from tagmask.networks.padding import without_padding
from tagmask.networks.parameter_groups import grouped_parameters

RARE = -2.0  # logit that a class starts from: most images do not show it
QUANTILE = 0.9  # of the scores of images without the tag: maps begin there
LEAST_RISE = 1.0  # logits between that and the peak: what rises less is no object
CELLS = 256  # of an image that are looked at to find that quantile


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
    return (flat.logsumexp(2) - math.log(flat.shape[2])) / sharpness


def risen(scores: Float[Tensor, "b c p q"], level: Float[Tensor, " c"]) -> Float[Tensor, "b c p q"]:
    """Maps in [0, 1]: 0 up to the level of a class, 1 at its largest score in the image.

    Args:
        scores: of each class in each cell.
        level: what images without the tag hardly exceed.

    >>> risen(torch.tensor([[[[-5.0, -4.0, 0.0, 4.0]]]]), torch.tensor([-4.0])).flatten().tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    start = level[:, None, None]
    rise = (scores.amax(dim=(2, 3), keepdim=True) - start).clamp(min=LEAST_RISE)
    return ((scores - start) / rise).clamp(min=0)


def _joined(alone: Sequence[Activation]) -> Activation:
    """One batch of single images; grids that are smaller than the largest end with zeros."""
    rows, columns = (max(each.maps.shape[axis] for each in alone) for axis in (2, 3))

    def stacked(grids: Iterable[Tensor]) -> Tensor:
        return torch.cat([F.pad(grid, (0, columns - grid.shape[3], 0, rows - grid.shape[2])) for grid in grids])

    maps, embedding = stacked(each.maps for each in alone), stacked(each.embedding for each in alone)
    return Activation(torch.cat([each.logits for each in alone]), maps, None, embedding)


class Pyramid(Method[Activation]):
    """A classifier on several levels of a backbone whose image scores are soft maxima of its maps.

    Args:
        config: settings of the method.
        backbone: where the features come from.
        num_classes: classes without background.

    Raises:
        TagmaskError: levels the backbone does not have.
    """

    config_type = PyramidConfig
    num_views = 1
    map_normalization = "mean"

    def __init__(self, config: PyramidConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_classes = num_classes
        chosen = config.levels or fine_levels(backbone.levels, config.finest_stride)
        if max(chosen) >= len(backbone.levels):
            raise TagmaskError(
                f"method.levels {list(chosen)}: the backbone has the levels 0 to {len(backbone.levels) - 1}; choose "
                "among them, or none to have them found"
            )
        self.fused = FusedLevels(backbone.levels, chosen, config.width)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classify = nn.Conv2d(config.width, num_classes, 1)
        nn.init.zeros_(self.classify.bias)  # pyright: ignore[reportArgumentType] - it has one
        self.log_sharpness = nn.Parameter(torch.full((num_classes,), math.log(config.sharpness)))
        self.bias = nn.Parameter(torch.full((num_classes,), RARE))
        self.level: Tensor
        self.register_buffer("level", torch.full((num_classes,), RARE - 4))  # until it has been measured

    @property
    def embedding_channels(self) -> int:
        """Those of the fused levels."""
        return self.config.width

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """One view: the batch itself."""
        return [images]

    def forward(self, images: Images) -> Activation:
        """Logits ``b c``, the soft maxima of the scores; maps ``b c p q``, how far the scores have risen."""
        scores, features = self._scores(images)
        return Activation(log_mean_exp(scores, self.log_sharpness.exp()), risen(scores, self.level), None, features)

    def _scores(self, images: Images) -> tuple[Float[Tensor, "b c p q"], Float[Tensor, "b d p q"]]:
        features = self.fused(self.backbone.forward_levels(images))
        return self.classify(self.dropout(features)).float() + self.bias[:, None, None], features

    def outputs(self, batch: Batch) -> list[Activation]:
        """One view, whose images pass one by one without their padding, as they will be seen later.

        Padding would count in the features' normalisation, and the border of an image would look like nothing that is
        learned, while a soft maximum listens to a single cell. Grids smaller than the largest end with zeros.
        """
        alone = [self(image) for image in without_padding(batch.images, batch.valid)]
        return [_joined(alone)]

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure what each class scores on images without its tag; of one that all images carry, its median."""
        seen: list[dict[bool, list[Tensor]]] = [{False: [], True: []} for _ in range(self.num_classes)]
        for batch in batches:
            for image, tags in zip(without_padding(batch.images, batch.valid), batch.tags, strict=True):
                cells = self._scores(image)[0][0].flatten(1)
                cells = cells[:, :: max(1, cells.shape[1] // CELLS)]
                for number, tag in enumerate(tags.tolist()):
                    seen[number][bool(tag)].append(cells[number])
        for number, found in enumerate(seen):
            known, quantile = (found[False], QUANTILE) if found[False] else (found[True], 0.5)
            self.level[number] = torch.cat(known).quantile(quantile)

    def view_losses(self, activations: list[Activation], batch: Batch) -> Losses:
        """The classification loss alone."""
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, all else as new ones."""
        new = nn.ParameterList([self.log_sharpness, self.bias])
        return grouped_parameters(self.backbone, [self.fused, self.classify, new])
