"""Reviews on disk: one small JSON file an image, and one indexed PNG where a person has made or confirmed a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from tagmask.contracts import MaskArray
from tagmask.data.images import read_fitting_mask, write_mask
from tagmask.errors import TagmaskError
from tagmask.system.storage import is_temporary, read_json_as, write_json

Decision = Literal["accepted", "corrected", "rejected"]
WITH_MASK: tuple[Decision, ...] = ("accepted", "corrected")


class Review(BaseModel):
    """What a person has said about one image.

    Attributes:
        decision: ``accepted``: its mask is right; ``corrected``: it is right now; ``rejected``: nothing is to be
            learned from it. None: open, only the tags have been changed.
        tags: names of the classes that the image shows, where the given tags were wrong; None: they were right.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Decision | None = None
    tags: tuple[Annotated[str, StringConstraints(min_length=1)], ...] | None = None

    @property
    def has_mask(self) -> bool:
        """Whether a mask belongs to it."""
        return self.decision in WITH_MASK


_REVIEW = TypeAdapter(Review)


@dataclass(frozen=True)
class Reviews:
    """The reviews of a run.

    A mask is written before the decision that it belongs to, so that whatever a killed process leaves behind is either
    the review as it was or the review as it was to be.

    Attributes:
        folder: ``<image id>.json`` and ``<image id>.png``; it need not be there yet.
        classes: names without background.
        ignore_value: the number that means "no label" in the masks.
    """

    folder: Path
    classes: tuple[str, ...]
    ignore_value: int

    def path(self, image_id: str) -> Path:
        """Where the review of an image lies."""
        return self.folder / f"{image_id}.json"

    def mask_path(self, image_id: str) -> Path:
        """Where the accepted or corrected mask of an image lies."""
        return self.folder / f"{image_id}.png"

    def review(self, image_id: str) -> Review | None:
        """The review of an image; None: nobody has said anything about it.

        Raises:
            TagmaskError: the file holds something else, or a tag that is no class.
        """
        path = self.path(image_id)
        if not path.exists():
            return None
        found = read_json_as(path, _REVIEW.validate_python, "delete it, and review the image again")
        self._check_tags(found, path)
        return found

    def all(self, image_ids: Sequence[str]) -> dict[str, Review]:
        """The reviews of those images that have one, in the order of the images.

        Raises:
            TagmaskError: as ``review``.
        """
        if not self.folder.is_dir():
            return {}
        found = {image_id: self.review(image_id) for image_id in image_ids}
        return {image_id: review for image_id, review in found.items() if review is not None}

    def mask(self, image_id: str, size: tuple[int, int]) -> MaskArray:
        """The accepted or corrected mask of an image of ``size`` rows and columns, ``IGNORE`` where it has no label.

        Raises:
            TagmaskError: it is missing or unreadable, has another size, or holds numbers that are no classes.
        """
        return read_fitting_mask(self.mask_path(image_id), self.ignore_value, size, len(self.classes))

    def write(self, image_id: str, review: Review, mask: MaskArray | None = None) -> None:
        """Keep what a person has said about an image, in place of what they said before.

        Args:
            image_id: of the image.
            review: what they said.
            mask: ``int32 h w``, the mask that they accepted or made, ``IGNORE`` where it has no label; None: the one
                that was kept before.

        Raises:
            TagmaskError: an accepted or corrected mask is missing, there is a mask where none belongs, or a tag or a
                mask value is no class.
        """
        self._check_tags(review, self.path(image_id))
        if mask is not None and not review.has_mask:
            raise TagmaskError(f"{image_id}: a mask belongs to an accepted or corrected image, not to one "
                               f"{review.decision or 'without decision'}; leave it out, or decide")  # fmt: skip
        if mask is not None:
            write_mask(self.mask_path(image_id), mask, self.ignore_value, len(self.classes))
        elif review.has_mask and not self.mask_path(image_id).exists():
            raise TagmaskError(f"{image_id}: {review.decision}, but there is no mask; give the mask as well")
        write_json(self.path(image_id), review.model_dump(mode="json"))

    def remove(self, image_id: str) -> None:
        """Forget what was said about an image; a mask that was made for it stays until the next one is written."""
        self.path(image_id).unlink(missing_ok=True)

    def _check_tags(self, review: Review, path: Path) -> None:
        unknown = [tag for tag in review.tags or () if tag not in self.classes]
        if unknown:
            raise TagmaskError(f"{path}: {', '.join(map(repr, unknown))}: no class; known: {', '.join(self.classes)}")

    @property
    def is_empty(self) -> bool:
        """Whether nobody has said anything about any image."""
        return not any(not is_temporary(path) for path in self.folder.rglob("*.json"))
