"""A data set whose photographs are read no larger than so many pixels a side: what bounds the memory of every stage."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.orientation import Shape, shape_of
from tagmask.system.workers import several_at_once


def larger_than(largest_side: int, shapes: Sequence[Shape | None]) -> Iterator[str]:
    """A remark on images with a longer side than that."""
    larger = sum(shape is not None and max(shape.stored) > largest_side for shape in shapes)
    if larger:
        yield (
            f"{larger} of {len(shapes)} images are larger than {largest_side} pixels a side; they are read at that "
            "size, and their masks have it too (data.largest_side)."
        )


class Bounded(Dataset):
    """Another data set, with larger images scaled down when they are read, and their ground truth with them.

    Args:
        dataset: the data set.
        largest_side: pixels of the longer side.
        note: whether to look at all sizes, and note how many are larger.
    """

    def __init__(self, dataset: Dataset, largest_side: int, note: bool = True) -> None:
        self._dataset, self._largest = dataset, largest_side
        self.name, self.classes, self.records = dataset.name, dataset.classes, dataset.records
        self.skipped = dataset.skipped
        self.score_ids = dataset.score_ids
        self.notes = (*dataset.notes, *(self._sizes() if note else ()))

    def _sizes(self) -> list[str]:
        paths = [path for record in self.records if (path := self._dataset.image_path(record)) is not None]
        return [*larger_than(self._largest, several_at_once(shape_of, paths))]

    def read_image(self, record: Record) -> ImageArray:
        """RGB pixels, scaled down with antialiasing."""
        pixels = self._dataset.read_image(record)
        rows, columns = self._size(pixels.shape[:2])
        if (rows, columns) == pixels.shape[:2]:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.LANCZOS, reducing_gap=3.0))

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth at the size of the image as it is read, the nearest pixel's."""
        mask = self._dataset.read_mask(record)
        if mask is None:
            return None
        size = self._size(mask.shape[:2])
        rows, columns = ((np.arange(new) + 0.5) * old / new for new, old in zip(size, mask.shape, strict=True))
        return mask if size == mask.shape else mask[np.ix_(rows.astype(int), columns.astype(int))]

    def read_saliency(self, record: Record) -> Float[np.ndarray, "h w"] | None:
        """As the data set has it."""
        return self._dataset.read_saliency(record)

    def image_path(self, record: Record) -> Path | None:
        """The image file."""
        return self._dataset.image_path(record)

    def _size(self, size: tuple[int, ...]) -> tuple[int, int]:
        factor = min(1.0, self._largest / max(size))
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
