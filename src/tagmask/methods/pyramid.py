"""Class maps for small objects: scores on a fine grid of several levels, pooled by log-sum-exp.

The mean over an image drowns an object of a thousandth of it, and the maximum teaches one pixel at a time. Pinheiro &
Collobert (CVPR 2015) take what lies between, (1 / r) log mean exp(r s): the mean for small r, the maximum for large r.
Here each class learns its r. A grid as fine as 4 or 8 pixels comes from levels of the backbone that are added.

No constant tells object from background for scores like these: what is tiny ends close below its peak, what is wide
close above what images without the tag reach. Where a class ends between both is found after training, without a mask:
where the regions of an image and of the same image enlarged agree, and where their outlines lie on edges of the image.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import CrfConfig, PyramidConfig
from tagmask.contracts import (
    Activation,
    Backbone,
    Batch,
    ImageArray,
    Images,
    Losses,
    Method,
    Normalization,
    ParameterGroup,
)
from tagmask.errors import TagmaskError
from tagmask.masks.crf import Lattices, refine
from tagmask.masks.outlines import outline, steepness
from tagmask.methods.cam import tag_loss
from tagmask.networks.layers import FusedLevels, resize
from tagmask.networks.levels import fine_levels
from tagmask.networks.padding import without_padding
from tagmask.networks.parameter_groups import grouped_parameters
from tagmask.networks.tag_head import RARE, TagHead

QUANTILE = 0.95  # of the scores of images without the tag: what rises begins there
LEAST_RISE = 1.0  # logits between that and the peak: what rises less is no object
CELLS = 256  # of an image that are looked at to find that quantile
ENLARGED = 2  # the scale whose regions should agree with those of the image
ENDS = tuple(0.05 + step / 10 for step in range(9))  # shares of the rise at which objects may end
MOST_SHOWN = 40  # images of a class on which that is found
SHARPNESS = 10.0  # of the maps around that share: about one for a logit


def risen(scores: Float[Tensor, "b c p q"], level: Float[Tensor, " c"]) -> Float[Tensor, "b c p q"]:
    """How far scores have risen from the level of a class (0) to its largest score in the image (1).

    Args:
        scores: of each class in each cell.
        level: what images without the tag hardly exceed.

    >>> risen(torch.tensor([[[[-5.0, -4.0, 0.0, 4.0]]]]), torch.tensor([-4.0])).flatten().tolist()
    [-0.125, 0.0, 0.5, 1.0]
    """
    start = level[:, None, None]
    return (scores - start) / (scores.amax(dim=(2, 3), keepdim=True) - start).clamp(min=LEAST_RISE)


def agreements(
    plain: Float32[np.ndarray, "h w"], enlarged: Float32[np.ndarray, "h w"], image: ImageArray, config: CrfConfig | None
) -> list[float]:
    """How well an object may end at each of ``ENDS``: IoU of both regions times steepness of the mask's outline.

    Wide regions of what is tiny are blobs of another size in the enlarged image, so they do not agree; narrow ones of
    what is wide are chance. The outline is that of the mask the regions make, and lies on edges if it is right. A mask
    of nothing has none.

    Args:
        plain: how far the scores of an image have risen.
        enlarged: the same of the enlarged image, at the size of the plain one.
        image: the image; the steepness along the outline is divided by its mean.
        config: dense CRF of the masks; None: none.
    """
    steep, lattices, found = steepness(image), Lattices(image), []
    usual = max(float(steep.mean()), 1e-6)
    for end in ENDS:
        one, other = plain > end, enlarged > end
        overlap = np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other))
        inside = (expit(SHARPNESS * (plain - end)) + expit(SHARPNESS * (enlarged - end))) / 2
        scores = np.stack([1 - inside, inside]).astype(np.float32)
        refined = scores if config is None else refine(image, scores, config, lattices)
        edge = outline(refined[1] > refined[0])
        found.append(overlap * float(steep[edge].mean()) / usual if edge.any() else 0.0)
    return found


def widest_end(agreed: Float[np.ndarray, "n e"]) -> float:
    """The smallest of ``ENDS`` whose mean agreement is within a standard error of the best (Breiman et al., 1984).

    What images without the tag reach is the natural end of an object, unless there is clear evidence for another.

    Args:
        agreed: of each image, at each of ``ENDS``.

    >>> widest_end(np.array([[0.0, 0.1, 0.9] + [0.0] * 6, [0.1, 0.0, 0.8] + [0.0] * 6])) == ENDS[2]
    True
    >>> widest_end(np.array([[0.0, 0.9, 0.0] + [0.0] * 6, [0.8, 0.0, 0.0] + [0.0] * 6])) == ENDS[0]
    True
    """
    best = int(agreed.mean(axis=0).argmax())
    behind = agreed[:, [best]] - agreed
    error = behind.std(axis=0, ddof=1) / np.sqrt(len(agreed)) if len(agreed) > 1 else np.inf
    return ENDS[int(np.argmax(behind.mean(axis=0) <= error))]


def _photograph(image: Float[Tensor, "3 h w"], normalization: Normalization) -> ImageArray:
    """A normalised image as the bytes it was made of."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (normalization.mean, normalization.std))
    return image.float().cpu().mul(std).add(mean).mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


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
        self.tags = TagHead(config.width, num_classes, config.sharpness)
        self.level: Tensor
        self.end: Tensor
        self.register_buffer("level", torch.full((num_classes,), RARE - 4))  # until they have been measured
        self.register_buffer("end", torch.full((num_classes,), 0.5))

    @property
    def embedding_channels(self) -> int:
        """Those of the fused levels."""
        return self.config.width

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """One view: the batch itself."""
        return [images]

    def forward(self, images: Images) -> Activation:
        """Logits ``b c``, the soft maxima of the scores; maps ``b c p q`` in [0, 1], 0.5 where an object ends."""
        scores, features = self._scores(images)
        maps = torch.sigmoid(SHARPNESS * (risen(scores, self.level) - self.end[:, None, None]))
        return Activation(self.tags.pooled(scores), maps, None, features)

    def _scores(self, images: Images) -> tuple[Float[Tensor, "b c p q"], Float[Tensor, "b d p q"]]:
        features = self.fused(self.backbone.forward_levels(images))
        return self.tags.scores(self.dropout(features)), features

    def outputs(self, batch: Batch) -> list[Activation]:
        """One view, whose images pass one by one without their padding, as they will be seen later.

        Padding would count in the features' normalisation, and the border of an image would look like nothing that is
        learned, while a soft maximum listens to a single cell. Grids smaller than the largest end with zeros.
        """
        alone = [self(image) for image in without_padding(batch)]
        return [_joined(alone)]

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure what each class scores on images without its tag, then where it ends on images with it.

        Of a class that all images carry, the median of its scores takes the place of the first.
        """
        shown = [
            (image, [*map(bool, tags.tolist())])
            for batch in batches
            for image, tags in zip(without_padding(batch), batch.tags, strict=True)
        ]
        scores = [self._scores(image)[0] for image, _ in shown]
        self._measure_levels(scores, [tags for _, tags in shown])
        self._measure_ends(shown, scores)

    def _measure_levels(self, scores: Sequence[Float[Tensor, "1 c _ _"]], tagged: Sequence[list[bool]]) -> None:
        seen: list[dict[bool, list[Tensor]]] = [{False: [], True: []} for _ in range(self.num_classes)]
        for each, tags in zip(scores, tagged, strict=True):
            cells = each[0].flatten(1)
            cells = cells[:, :: max(1, cells.shape[1] // CELLS)]
            for number, tag in enumerate(tags):
                seen[number][tag].append(cells[number])
        for number, found in enumerate(seen):
            known, quantile = (found[False], QUANTILE) if found[False] else (found[True], 0.5)
            self.level[number] = torch.cat(known).quantile(quantile)

    def _measure_ends(
        self, shown: Sequence[tuple[Float[Tensor, "1 3 _ _"], list[bool]]], scores: Sequence[Float[Tensor, "1 c _ _"]]
    ) -> None:
        found: list[list[list[float]]] = [[] for _ in range(self.num_classes)]
        for (image, tags), plain in zip(shown, scores, strict=True):
            if not any(tags):
                continue
            size = tuple(image.shape[2:])
            enlarged = F.interpolate(image, scale_factor=ENLARGED, mode="bilinear", align_corners=False)
            scales = (plain, self._scores(enlarged)[0])
            both = [resize(risen(each, self.level), size)[0].cpu().numpy() for each in scales]
            photograph = _photograph(image[0], self.backbone.normalization)
            for number in (number for number, tag in enumerate(tags) if tag and len(found[number]) < MOST_SHOWN):
                found[number].append(agreements(both[0][number], both[1][number], photograph, self.config.crf))
        for number, each in enumerate(found):
            if np.any(each):
                self.end[number] = widest_end(np.asarray(each))

    def view_losses(self, activations: list[Activation], batch: Batch) -> Losses:
        """The classification loss alone."""
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, all else as new ones."""
        return grouped_parameters(self.backbone, [self.fused, self.tags])
