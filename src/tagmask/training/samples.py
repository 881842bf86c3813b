"""What the three trainings look at: random views of images with tags, with confident labels, with pseudo masks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tagmask.config import AugmentConfig
from tagmask.contracts import Dataset, ImageArray, MaskArray, Normalization, Record
from tagmask.data.augment import (
    ViewPlan,
    draw_view,
    sample_generator,
    view_image,
    view_mask,
    view_planes,
    view_saliency,
    view_valid,
)
from tagmask.data.images import read_mask
from tagmask.masks.confident_labels import confident_labels, grid_labels
from tagmask.system.storage import read_posteriors


@dataclass(frozen=True)
class Sample:
    """One training view; the fields are those of ``Batch`` without the batch axis."""

    id: str
    image: Float[Tensor, "3 h w"]
    tags: Float[Tensor, " c"]
    valid: Bool[Tensor, "h w"]
    mask: Int[Tensor, "_ _"] | None = None
    saliency: Float[Tensor, "1 h w"] | None = None


class Samples(ABC):
    """Training data: a pure function of (seed, epoch, index)."""

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def sample(self, seed: int, epoch: int, index: int) -> Sample:
        """The random view of an image in an epoch."""

    @abstractmethod
    def groups(self) -> list[list[int]]:
        """The images of each class that has any, and those without a class, by index; an image may be in several."""


def tag_vector(tags: Sequence[int], num_classes: int) -> Float[Tensor, " c"]:
    """1 for each class the image carries.

    >>> tag_vector((0, 2), 3).tolist()
    [1.0, 0.0, 1.0]
    """
    vector = torch.zeros(num_classes)
    vector[list(tags)] = 1.0
    return vector


@dataclass(frozen=True)
class _Views(Samples):
    """What all samples share: where images come from and how views are drawn."""

    dataset: Dataset
    records: Sequence[Record]
    augment: AugmentConfig
    normalization: Normalization

    def __len__(self) -> int:
        return len(self.records)

    def groups(self) -> list[list[int]]:
        """By the tags of the records."""
        numbers = range(len(self.dataset.classes))
        classes = [[i for i, record in enumerate(self.records) if number in record.tags] for number in numbers]
        negatives = [i for i, record in enumerate(self.records) if not record.tags]
        return [group for group in (*classes, negatives) if group]

    def _draw(self, seed: int, epoch: int, index: int) -> tuple[Record, ImageArray, ViewPlan]:
        record = self.records[index]
        image = self.dataset.read_image(record)
        plan = draw_view(self.augment, (image.shape[0], image.shape[1]), sample_generator(seed, epoch, index))
        return record, image, plan

    def _sample(self, record: Record, image: ImageArray, plan: ViewPlan, mask: Tensor | None = None) -> Sample:
        return Sample(
            id=record.id,
            image=view_image(image, plan, self.normalization, self.augment.padding),
            tags=tag_vector(record.tags, len(self.dataset.classes)),
            valid=view_valid(plan),
            mask=mask,
        )


@dataclass(frozen=True)
class TagSamples(_Views):
    """Images with their tags, for classifiers.

    Attributes:
        saliency: reads the saliency map of an image, ``h w`` in [0, 1] at any resolution; None: none are needed.
    """

    saliency: Callable[[Record], Float[np.ndarray, "h w"]] | None = None

    def sample(self, seed: int, epoch: int, index: int) -> Sample:
        """The random view of an image in an epoch, and the same view of its saliency map."""
        record, image, plan = self._draw(seed, epoch, index)
        sample = self._sample(record, image, plan)
        if self.saliency is None:
            return sample
        saliency = self.saliency(record).astype(np.float32)
        return replace(sample, saliency=view_saliency(saliency, plan, self.augment.saliency_resizing))


@dataclass(frozen=True)
class LabelSamples(_Views):
    """Images with confident labels on the affinity grid, sampled from stored labels per pixel.

    Attributes:
        folder: where the labels are, ``<id>.png``.
        ignore_value: the number that means "no label" in them.
        stride: pixels per cell of the affinity grid.
    """

    folder: Path
    ignore_value: int
    stride: int

    def sample(self, seed: int, epoch: int, index: int) -> Sample:
        """The random view of an image in an epoch; the label is sampled after scaling and cropping, as published."""
        record, image, plan = self._draw(seed, epoch, index)
        mask = view_mask(read_mask(self.folder / f"{record.id}.png", self.ignore_value), plan)
        labels = grid_labels(mask.numpy().astype(np.int32), self.stride)
        return self._sample(record, image, plan, torch.from_numpy(labels.astype(np.int64)))


@dataclass(frozen=True)
class PosteriorSamples(_Views):
    """Images with confident labels on the affinity grid, averaged from stored CRF posteriors.

    Attributes:
        folder: where the posteriors are, ``<id>.npz``.
        stride: pixels per cell of the affinity grid.
    """

    folder: Path
    stride: int

    def sample(self, seed: int, epoch: int, index: int) -> Sample:
        """The random view of an image in an epoch; the label is taken after cropping, as published."""
        record, image, plan = self._draw(seed, epoch, index)
        posteriors, _ = read_posteriors(self.folder / f"{record.id}.npz")
        low, high = (view_planes(posteriors[name], plan).numpy() for name in ("low", "high"))
        label = confident_labels(low, high, self.stride)
        return self._sample(record, image, plan, torch.from_numpy(label.astype(np.int64)))


@dataclass(frozen=True)
class MaskSamples(_Views):
    """Images with masks, for segmenters.

    Attributes:
        masks: reads the mask of an image of so many rows and columns, ``IGNORE`` where it has no label.
    """

    masks: Callable[[Record, tuple[int, int]], MaskArray]

    def sample(self, seed: int, epoch: int, index: int) -> Sample:
        """The random view of an image in an epoch."""
        record, image, plan = self._draw(seed, epoch, index)
        mask = self.masks(record, (image.shape[0], image.shape[1]))
        return self._sample(record, image, plan, view_mask(mask, plan))
