"""What the page sends of an image, kept whole or not at all."""

import threading
from dataclasses import dataclass, field

from pydantic import ValidationError

from tagmask.contracts import MaskArray, Record
from tagmask.errors import TagmaskError
from tagmask.reviewing.images import RunImages
from tagmask.reviewing.packing import HEAD, unpack
from tagmask.reviews.store import Review

LONGEST_WORDS = 2**20
"""Bytes of all that is said about an image, its mask aside."""


class Change(Review):
    """A review as the page sends it.

    Attributes:
        seen: the version of the review that the page has begun from; None: it knows of none.
    """

    seen: str | None = None

    def review(self) -> Review:
        """What is kept of it."""
        return Review(decision=self.decision, tags=self.tags)


@dataclass(frozen=True)
class Saved:
    """What the page is told.

    Attributes:
        version: of the review that is kept now.
        replaced: whether another page had changed the image since this one opened it. The later one wins.
    """

    version: str
    replaced: bool


def largest_change(size: tuple[int, int]) -> int:
    """Bytes of a change of an image of so many rows and columns, at most."""
    return LONGEST_WORDS + 1 + HEAD + 2 * size[0] * size[1]


def read_change(body: bytes, size: tuple[int, int]) -> tuple[Change, MaskArray | None]:
    """A change from its bytes: one line of JSON, and the packed mask behind it where there is one.

    Args:
        body: from the page.
        size: rows and columns of the image.

    Raises:
        TagmaskError: it is something else, or a decision comes without the mask that belongs to it.
    """
    words, _, pixels = body.partition(b"\n")
    try:
        change = Change.model_validate_json(words)
    except ValidationError as error:
        raise TagmaskError(f"no review: {error.errors()[0]['msg']}; reload the page") from error
    if change.has_mask and not pixels:
        raise TagmaskError(f"{change.decision}, but there is no mask; reload the page")
    return change, unpack(pixels, size) if pixels else None


@dataclass(frozen=True)
class Desk:
    """Takes changes one after another, so that two pages cannot mix their masks and decisions."""

    images: RunImages
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, record: Record, change: Change, mask: MaskArray | None) -> Saved:
        """Write a change; one that says nothing takes the review back.

        Raises:
            TagmaskError: as ``Reviews.write``.
        """
        with self._turn:
            replaced = (change.seen or "") != self.images.version(record)
            review = change.review()
            if review == Review():
                self.images.reviews.remove(record.id)
            else:
                self.images.reviews.write(record.id, review, mask)
            return Saved(self.images.version(record), replaced)
