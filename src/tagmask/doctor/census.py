"""Counting: images of each class and split, images without tags, and which classes appear together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from tagmask.contracts import Dataset, Record


@dataclass(frozen=True)
class Census:
    """How many images there are of what.

    Attributes:
        classes: their names.
        train_split: the split that is learned from.
        val_split: the split that is scored on; None: there is none.
        images: number of images of each split; the training split first, then the one of validation.
        untagged: number of those without a tag.
        masks: number of those with a ground-truth mask, which scores.
        counts: images of each class, by split.
        together: training images that carry both of two classes; the diagonal holds those of one class.
    """

    classes: tuple[str, ...]
    train_split: str
    val_split: str | None
    images: dict[str, int]
    untagged: dict[str, int]
    masks: dict[str, int]
    counts: dict[str, tuple[int, ...]]
    together: Int[np.ndarray, "c c"]

    @property
    def training_images(self) -> int:
        """Images that are learned from."""
        return self.images.get(self.train_split, 0)

    @property
    def validation_images(self) -> int:
        """Images that are scored on."""
        return 0 if self.val_split is None else self.images.get(self.val_split, 0)

    @property
    def training_counts(self) -> tuple[int, ...]:
        """Training images of each class."""
        return tuple(self.together.diagonal().tolist())

    @property
    def validation_counts(self) -> tuple[int, ...]:
        """Validation images of each class."""
        nothing = (0,) * len(self.classes)
        return nothing if self.val_split is None else self.counts.get(self.val_split, nothing)


def take_census(dataset: Dataset, train_split: str, val_split: str | None) -> Census:
    """Count the images of a data set."""
    images = Counter(record.split for record in dataset.records)
    first = [split for split in (train_split, val_split) if split in images]
    splits = [*first, *sorted(images.keys() - {train_split, val_split})]
    tagged = {split: tag_matrix(dataset.split(split), len(dataset.classes)) for split in splits}
    training = tagged.get(train_split, np.zeros((0, len(dataset.classes)), bool)).astype(np.int64)
    return Census(
        dataset.classes,
        train_split,
        val_split,
        {split: images[split] for split in splits},
        {split: int((~tags.any(axis=1)).sum()) for split, tags in tagged.items()},
        {split: sum(record.has_mask for record in dataset.split(split)) for split in splits},
        {split: tuple(tags.sum(axis=0).tolist()) for split, tags in tagged.items()},
        training.T @ training,
    )


def tag_matrix(records: Sequence[Record], num_classes: int) -> Bool[np.ndarray, "n c"]:
    """Which image carries which class."""
    found = np.zeros((len(records), num_classes), bool)
    for place, record in enumerate(records):
        found[place, list(record.tags)] = True
    return found


@dataclass(frozen=True)
class Pair:
    """Two classes that keep company.

    Attributes:
        one: number of the class that (nearly) never appears without the other.
        other: number of the other.
        both: training images with both.
    """

    one: int
    other: int
    both: int


def companions(together: Int[np.ndarray, "c c"], share: float, fewest: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs of classes that appear together on at least a share of their images.

    Args:
        together: as ``Census.together``.
        share: of the images of a class.
        fewest: images that both classes must have; of fewer, company is chance.

    Returns:
        Those of which neither appears without the other, and those of which only the first does not.
    """
    counts = together.diagonal()
    enough = counts >= fewest
    bound = (together >= share * counts[:, None]) & enough[:, None] & enough & ~np.eye(len(counts), dtype=bool)
    mutual = [Pair(a, b, int(together[a, b])) for a, b in np.argwhere(bound & bound.T).tolist() if a < b]
    within = [Pair(a, b, int(together[a, b])) for a, b in np.argwhere(bound & ~bound.T).tolist()]
    return mutual, within
