"""What the page is told about the images of a run, and what it is shown of each."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int32
from PIL import Image

from tagmask.contracts import ImageArray, MaskArray, Record
from tagmask.errors import TagmaskError
from tagmask.masks.overlays import Picture, class_colors, shrink_image, shrink_mask, thumbnail_size
from tagmask.reviewing.regions import superpixels
from tagmask.reviews.accuracy import random_order
from tagmask.reviews.store import Review, Reviews
from tagmask.stages.results import read_pseudo_mask, read_ranking
from tagmask.stages.run import Run

THUMBNAIL = 192
"""Pixels of the longer side of a thumbnail: twice what the page shows, for screens of fine pixels."""

VEIL = 0.5
"""How much of a thumbnail's object is the colour of its class."""


@dataclass(frozen=True)
class RunImages:
    """The training images of a run by their place: the least trustworthy mask comes first.

    The list stays as it is for as long as the page is served, so that a number is all that the page ever sends.
    """

    run: Run

    @cached_property
    def _ranking(self) -> dict[str, float]:
        return dict(read_ranking(self.run))

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Every image, in the order of ``quality.csv``; those it does not name come last."""
        known = {record.id: record for record in self.run.given_records}
        ranked = [known[image_id] for image_id in self._ranking]
        return (*ranked, *(record for record in known.values() if record.id not in self._ranking))

    @cached_property
    def shows_revised(self) -> bool:
        """Whether the masks are those that the segmentation network has revised."""
        return self.run.folder.is_done("revise-masks")

    @property
    def reviews(self) -> Reviews:
        """What has been decided."""
        return self.run.reviews

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def listing(self) -> dict[str, Any]:
        """All that the page needs before an image is opened."""
        classes = self.run.dataset.classes
        ids = [record.id for record in self.records]
        places = {image_id: place for place, image_id in enumerate(ids)}
        return {
            "run": str(self.run.folder.path.resolve()),
            "name": self.run.folder.path.resolve().name,
            "classes": classes,
            "colors": class_colors(np.arange(len(classes) + 1)).tolist(),
            "images": [self._told(record) for record in self.records],
            "random": [places[image_id] for image_id in random_order(ids)],
        }

    def _told(self, record: Record) -> dict[str, Any]:
        tags = [self.run.dataset.classes[tag] for tag in record.tags]
        return {"id": record.id, "quality": self._ranking.get(record.id), "given": tags, **self.state(record)}

    def states(self) -> list[dict[str, Any]]:
        """What has been decided about each image, in their order."""
        return [self.state(record) for record in self.records]

    def state(self, record: Record) -> dict[str, Any]:
        """What has been decided about an image: ``decision``, ``tags``, and the ``version`` of both and of its mask."""
        version = self.version(record)
        return {**self._review(record.id, version).model_dump(mode="json"), "version": version}

    def review(self, record: Record) -> Review:
        """What has been decided about an image, and nothing where nobody has."""
        return self._review(record.id, self.version(record))

    @cached_property
    def _review(self) -> Callable[[str, str], Review]:
        """Read once per version: the page asks about thousands at a time."""

        @lru_cache(maxsize=2 * len(self.records))
        def read(image_id: str, version: str) -> Review:
            return (self.reviews.review(image_id) if version else None) or Review()

        return read

    def version(self, record: Record) -> str:
        """Another one whenever a review has been written; empty if there is none."""
        try:
            found = self.reviews.path(record.id).stat()
        except FileNotFoundError:
            return ""
        return f"{found.st_ino:x}-{found.st_mtime_ns:x}"

    # ── pixels ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def image(self) -> Callable[[Record], ImageArray]:
        """The photograph; it is asked for several times in a row: itself, masks, superpixels, saving."""
        return lru_cache(maxsize=4)(self.run.dataset.read_image)

    def size(self, record: Record) -> tuple[int, int]:
        """Rows and columns of the photograph."""
        rows, columns = self.image(record).shape[:2]
        return rows, columns

    def pseudo_mask(self, record: Record) -> MaskArray:
        """The mask as the run made it."""
        return read_pseudo_mask(self.run, record, self.size(record), self.shows_revised)

    def mask(self, record: Record) -> MaskArray:
        """The mask as it was accepted or corrected; else as the run made it."""
        return self._mask_of_size(record, self.size(record))

    def _mask_of_size(self, record: Record, size: tuple[int, int]) -> MaskArray:
        if self.review(record).has_mask:
            return self.reviews.mask(record.id, size)
        return read_pseudo_mask(self.run, record, size, self.shows_revised)

    def regions(self, record: Record, along: int) -> Int32[np.ndarray, "h w"]:
        """Superpixels of the photograph, so many along its longer side."""
        return superpixels(self.image(record), along)

    def photo(self, record: Record) -> bytes:
        """The photograph as JPEG, for looking at."""
        return _jpeg(self.image(record), 92)

    def thumbnail(self, record: Record) -> bytes:
        """The photograph with its mask, small, as JPEG; without the mask where that cannot be read."""
        image = self.run.dataset.read_image(record)  # not kept: a strip of them would drive out the open one
        size = thumbnail_size(image.shape[:2], THUMBNAIL)
        small = shrink_image(image, size)
        try:
            classes = shrink_mask(self._mask_of_size(record, image.shape[:2]), size)
        except TagmaskError:
            return _jpeg(small, 80)
        veil = VEIL * (classes > 0)[..., None]
        return _jpeg((small * (1 - veil) + class_colors(classes) * veil).astype(np.uint8), 80)


def _jpeg(picture: Picture, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
