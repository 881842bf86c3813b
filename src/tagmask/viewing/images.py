"""The masks of a run beside their photographs; each is read when it is asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from PIL import Image

from tagmask.contracts import ImageArray, MaskArray
from tagmask.errors import TagmaskError
from tagmask.exchange.options import Which
from tagmask.exchange.selection import Kind, Selection, StoredMask, best_kind, select
from tagmask.masks.overlays import data_uri, shrink_image, thumbnail_size
from tagmask.reviews.store import Decision, Review
from tagmask.stages.results import read_ranking
from tagmask.stages.run import Run
from tagmask.viewing.detections import detections
from tagmask.viewing.markup import rendered
from tagmask.viewing.overlay import Overlay, overlaid

if TYPE_CHECKING:
    from supervision import Detections  # pyright: ignore[reportMissingImports] (optional)

MaskKind = Literal["pseudo", "predicted", "reviewed"]
"""The best pseudo masks of training images, the network's masks of validation images, those of a person."""

THUMBNAIL = 128
STRIP = 8

_WORDS: dict[Kind, MaskKind] = {
    "masks": "pseudo",
    "revised": "pseudo",
    "predictions": "predicted",
    "reviews": "reviewed",
}


@dataclass(frozen=True, repr=False)
class MaskedImage:
    """An image of a run with a mask of it.

    Attributes:
        stored: where the mask lies.
        quality: how far to trust its pseudo mask, in [0, 1]; None: it has none.
        review: what a person has said about it; None: nothing.
    """

    stored: StoredMask
    quality: float | None
    review: Review | None

    @property
    def id(self) -> str:
        """The path of the photograph below the image root, without suffix."""
        return self.stored.record.id

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the classes that it shows, as a person has corrected them."""
        return tuple(self.stored.run.dataset.classes[tag] for tag in self.stored.record.tags)

    @property
    def kind(self) -> MaskKind:
        """Who made the mask."""
        return _WORDS[self.stored.kind]

    @property
    def decision(self) -> Decision | None:
        """``accepted``, ``corrected`` or ``rejected``; None: nobody has decided."""
        return None if self.review is None else self.review.decision

    @cached_property
    def photograph(self) -> Image.Image:
        """The photograph as the run sees it: upright, RGB, scaled down where the run does so.

        Raises:
            TagmaskError: the file is missing or unreadable.
        """
        return Image.fromarray(self._pixels)

    @cached_property
    def _pixels(self) -> ImageArray:
        return self.stored.run.dataset.read_image(self.stored.record)

    @cached_property
    def mask(self) -> MaskArray:
        """``int32``, rows x columns: 0 background, class i as i + 1, -1 where there is no label.

        Raises:
            TagmaskError: it is missing or unreadable, has another size than its photograph, or holds no class numbers.
        """
        return self.stored()

    def overlay(self) -> Overlay:
        """The mask over the photograph."""
        title = f"{self.id}, {self.kind} mask" + (f", {self.decision}" if self.decision else "")
        return overlaid(self._pixels, self.mask, self.stored.run.dataset.classes, title)

    def show(self, ax: Any = None) -> Overlay:
        """The same, drawn into axes of matplotlib as well where some are given."""
        return self.overlay().drawn(ax)

    def to_detections(self) -> "Detections":
        """The mask as ``supervision.Detections``, see ``viewing.detections``."""
        return detections(self.mask, self.stored.run.dataset.classes)

    def thumbnail(self) -> str:
        """The overlay, small, as JPEG in a ``data:`` address."""
        pixels = np.asarray(self.overlay().image)
        return data_uri(shrink_image(pixels, thumbnail_size((pixels.shape[0], pixels.shape[1]), THUMBNAIL)))

    def __repr__(self) -> str:
        quality = "" if self.quality is None else f", quality {self.quality:.2f}"
        tags, decision = ", ".join(self.tags) or "none", self.decision or "not reviewed"
        return f"{self.id!r}: {self.kind} mask, tags {tags}{quality}, {decision}"

    def _repr_png_(self) -> bytes:
        return self.overlay()._repr_png_()

    def _repr_html_(self) -> str:
        return self.overlay()._repr_html_()


@dataclass(frozen=True, repr=False)
class MaskedImages:
    """Masks of a run by their places and by the ids of their images, read one at a time.

    Attributes:
        run: whose masks.
        selection: which.
    """

    run: Run
    selection: Selection

    @cached_property
    def _places(self) -> dict[str, int]:
        return {record.id: place for place, (record, _) in enumerate(self.selection.masks)}

    @cached_property
    def _qualities(self) -> Mapping[str, float]:
        return dict(read_ranking(self.run))

    @cached_property
    def _reviews(self) -> Mapping[str, Review]:
        return self.run.reviews.all(self.ids)

    @property
    def ids(self) -> list[str]:
        """Of the images, in the order of the data."""
        return list(self._places)

    def __len__(self) -> int:
        return len(self.selection.masks)

    def __iter__(self) -> Iterator[MaskedImage]:
        return map(self._at, range(len(self)))

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._places

    @overload
    def __getitem__(self, which: int | str) -> MaskedImage: ...
    @overload
    def __getitem__(self, which: slice) -> list[MaskedImage]: ...
    def __getitem__(self, which: int | str | slice) -> MaskedImage | list[MaskedImage]:
        """One by its place or the id of its image, several by their places.

        Raises:
            TagmaskError: there is no image of this id among them.
            IndexError: there are not so many.
        """
        if isinstance(which, slice):
            return [self._at(place) for place in range(len(self))[which]]
        return self._at(range(len(self))[which] if isinstance(which, int) else self._place(which))

    def _place(self, image_id: str) -> int:
        if image_id not in self._places:
            near = get_close_matches(image_id, self._places, n=3) or self.ids[:3]
            raise TagmaskError(
                f"no image {image_id!r} among these {len(self)} masks; there are {', '.join(map(repr, near))} ... "
                "(ids have no suffix). Validation images are in masks('predicted'), rejected ones in masks('pseudo')"
            )
        return self._places[image_id]

    def _at(self, place: int) -> MaskedImage:
        record, kind = self.selection.masks[place]
        stored = StoredMask(self.run, record, kind)
        return MaskedImage(stored, self._qualities.get(record.id), self._reviews.get(record.id))

    def __repr__(self) -> str:
        kinds = [_WORDS[kind] for _, kind in self.selection.masks]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        rejected = f"; {self.selection.rejected} rejected are left out" if self.selection.rejected else ""
        return f"{len(self)} masks: {counts}{rejected}"

    def _repr_html_(self) -> str:
        pictures = [(image.thumbnail(), image) for image in self[:STRIP]]
        return rendered("strip.html", pictures=pictures, more=len(self) - len(pictures))


def masks_of(run: Run, kind: MaskKind | None) -> MaskedImages:
    """The masks of a kind; None: as ``exchange.selection.select`` chooses.

    Raises:
        TagmaskError: there is no such kind, or the run has no such masks or not all of them yet.
    """
    ways: dict[MaskKind | None, Which | None] = {
        None: None,
        "pseudo": best_kind(run),
        "predicted": "predictions",
        "reviewed": "reviews",
    }
    if kind not in ways:
        raise TagmaskError(f"no masks of the kind {kind!r}; there are 'pseudo', 'predicted' and 'reviewed'")
    return MaskedImages(run, select(run, ways[kind]))
