"""How likely each tag is, by classifiers that have not learned from the image they judge.

A pretrained backbone, which has never seen these tags, describes every image by one vector. Linear classifiers learn
the tags from four fifths of the vectors and judge the last fifth, five times over. The same picture under two names
stays in one fifth: else a copy with a wrong tag would speak for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import AnyBackbone
from tagmask.contracts import Backbone, Dataset, Normalization, Record
from tagmask.doctor.looks import num_workers
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone, check_weights
from tagmask.networks.memory_format import channels_last
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.workers import in_order

FOLDS = 5
FEWEST = 2 * FOLDS
"""Images with a class, and without it, below which nobody can judge it: each fifth should hold two."""

SIDE = 224
BATCH = 32
PENALTY = 0.1
"""Weight of the squared weights against the mean loss of each class; the features have a deviation of 1."""


@torch.no_grad()
def features_of(
    dataset: Dataset, records: Sequence[Record], config: AnyBackbone, workers: int | None = None
) -> Float32[np.ndarray, "n d"]:
    """One vector per image: the mean of the pretrained backbone's deepest grid, the image squeezed into a square.

    Args:
        dataset: where the images are.
        records: the images.
        config: the backbone.
        workers: processes that read; None: as many as help.

    Raises:
        TagmaskError: the backbone starts from random numbers, or its weights cannot be had.
    """
    check_backbone(config)
    backbone = build_backbone(config).eval().to(this_process().device)
    batches = [records[start : start + BATCH] for start in range(0, len(records), BATCH)]
    read = partial(_batch, dataset, backbone.normalization)
    images = in_order(read, batches, num_workers() if workers is None else workers)
    vectors = (vector for batch in images for vector in _pooled(backbone, batch))
    return np.stack(list(track(vectors, "describing images", len(records))))


def check_backbone(config: AnyBackbone) -> None:
    """Find out whether a backbone can judge tags.

    Raises:
        TagmaskError: it starts from random numbers, or its weights cannot be had.
    """
    if config.weights == "none":
        raise TagmaskError(
            "the recipe's backbone starts from random numbers (backbone.weights=none) and knows no images yet; tags "
            "are judged with a pretrained one: name a recipe that has it, such as --recipe folder-cpu"
        )
    check_weights(config)


def _batch(dataset: Dataset, normalization: Normalization, records: Sequence[Record]) -> Float[Tensor, "b 3 h w"]:
    squeezed = (Image.fromarray(dataset.read_image(r)).resize((SIDE, SIDE), reducing_gap=3.0) for r in records)
    return torch.stack([normalization.apply(np.array(image)) for image in squeezed])


def _pooled(backbone: Backbone, images: Float[Tensor, "b 3 h w"]) -> Float32[np.ndarray, "b d"]:
    grid = backbone(channels_last(images).to(this_process().device))
    return grid.mean(dim=(2, 3)).float().cpu().numpy()


# ── folds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Judgement:
    """What classifiers say about the tags of images that they have not learned from.

    Attributes:
        probabilities: of each class on each image.
        judged: classes with images enough to be judged.
    """

    probabilities: Float32[np.ndarray, "n c"]
    judged: Bool[np.ndarray, " c"]


def judge(
    features: Float32[np.ndarray, "n d"], tags: Bool[np.ndarray, "n c"], groups: Int[np.ndarray, " n"]
) -> Judgement:
    """Probability of every tag by classifiers that have not learned from the image, nor from any of its group.

    Args:
        features: of the images.
        tags: as they are given.
        groups: images of one number stay in one fold.
    """
    positives = tags.sum(axis=0)
    judged = (positives >= FEWEST) & (len(tags) - positives >= FEWEST)
    folds = deal(groups)
    found = np.zeros(tags.shape, np.float32)
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            found[out] = _fitted(features[~out], tags[~out], features[out])
    return Judgement(found, judged)


def deal(groups: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """A fold for every image, by chance, the same for all of a group; folds are about equally large."""
    numbers, places = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(numbers))
    return (order % FOLDS)[places.ravel()].astype(np.int64)


def _fitted(
    known: Float32[np.ndarray, "n d"], tags: Bool[np.ndarray, "n c"], asked: Float32[np.ndarray, "m d"]
) -> Float32[np.ndarray, "m c"]:
    """Logistic regression of all classes at once, on features brought to mean 0 and deviation 1."""
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    inputs, targets = torch.from_numpy((known - mean) / deviation), torch.from_numpy(tags.astype(np.float32))
    share = targets.mean(dim=0).clamp(1e-4, 1 - 1e-4)
    weight = torch.zeros(tags.shape[1], known.shape[1], requires_grad=True)
    bias = share.logit().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = F.binary_cross_entropy_with_logits(F.linear(inputs, weight, bias), targets, reduction="none")
        value = error.mean(dim=0).sum() + PENALTY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return F.linear(torch.from_numpy((asked - mean) / deviation), weight, bias).sigmoid().numpy()
