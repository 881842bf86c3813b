"""Which masks of a run are exchanged, and how large they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tagmask.contracts import MaskArray, Record
from tagmask.data.orientation import shape_of
from tagmask.errors import TagmaskError
from tagmask.exchange.items import Size
from tagmask.exchange.options import Which
from tagmask.reviews.store import Review
from tagmask.stages.results import read_prediction, read_pseudo_mask
from tagmask.stages.run import Run

Kind = Literal["masks", "revised", "predictions", "reviews"]


@dataclass(frozen=True)
class Selection:
    """Masks of a run.

    Attributes:
        masks: the images, each with the kind of its mask.
        rejected: how many images were left out because a person has rejected their masks.
    """

    masks: tuple[tuple[Record, Kind], ...]
    rejected: int = 0


def select(run: Run, which: Which | None) -> Selection:
    """The masks of a kind; None: reviewed ones where there are any, else the best pseudo masks, without the rejected.

    Raises:
        TagmaskError: the run has no such masks, or not all of them yet.
    """
    if which == "predictions":
        _require(run, "predict", "train-segmenter")
        return _selected(run, run.validation_records, which)
    reviews = run.reviews.all([record.id for record in run.training_records])
    if which == "reviews":
        return _selected(run, [r for r in run.training_records if _has_mask(reviews.get(r.id))], which)
    kind: Kind = which or best_kind(run)
    if kind == "masks":
        _require(run, "make-masks", "make-masks")
    else:
        _require(run, "revise-masks", "train-segmenter")
    if which is not None:
        return _selected(run, run.training_records, kind)
    rejected = {image_id for image_id, review in reviews.items() if review.decision == "rejected"}
    chosen: list[tuple[Record, Kind]] = [
        (record, "reviews" if _has_mask(reviews.get(record.id)) else kind)
        for record in run.training_records
        if record.id not in rejected
    ]
    if not chosen:
        raise TagmaskError(f"{run.folder.path}: all {len(rejected)} masks have been rejected, so none is left to send")
    return Selection(tuple(chosen), len(rejected))


def best_kind(run: Run) -> Literal["masks", "revised"]:
    """Pseudo masks as the network has revised them, if it has; else as they were made."""
    return "revised" if run.folder.is_done("revise-masks") else "masks"


def _require(run: Run, stage: str, command: str) -> None:
    if not run.folder.is_done(stage):
        raise TagmaskError(
            f"{run.folder.path}: stage `{stage}` has not finished, or the recipe does without it; "
            f"`tagmask {command} {run.folder.path}` carries it out; or ask for other masks"
        )


def _has_mask(review: Review | None) -> bool:
    return review is not None and review.has_mask


def _selected(run: Run, records: Sequence[Record], kind: Kind) -> Selection:
    if not records:
        raise TagmaskError(f"{run.folder.path} has no {kind}; ask for other masks")
    return Selection(tuple((record, kind) for record in records))


# ── one mask ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class StoredMask:
    """A mask of a run, read when it is called."""

    run: Run
    record: Record
    kind: Kind

    def __call__(self) -> MaskArray:
        """The mask, ``int32 h w``, ``IGNORE`` where it has no label.

        Raises:
            TagmaskError: it is missing or unreadable, has another size than its image, or holds no class numbers.
        """
        size = size_of(self.run, self.record)
        if self.kind == "predictions":
            return read_prediction(self.run, self.record, size)
        if self.kind == "reviews":
            return self.run.reviews.mask(self.record.id, size)
        return read_pseudo_mask(self.run, self.record, size, self.kind == "revised")


def size_of(run: Run, record: Record) -> Size:
    """Rows and columns of an image as the run sees it."""
    size = _stored_size(run, record)
    if size is not None and max(size) <= (run.recipe.data.largest_side or max(size)):
        return size
    pixels = run.dataset.read_image(record)
    return pixels.shape[0], pixels.shape[1]


def plain_file(run: Run, record: Record) -> Path | None:
    """The photograph's file, if every program sees in it what the run sees: neither turned, scaled nor chosen bands."""
    path = run.dataset.image_path(record)
    is_plain = run.recipe.data.bands is None and _stored_size(run, record) == size_of(run, record)
    return path if is_plain else None


def _stored_size(run: Run, record: Record) -> Size | None:
    """Rows and columns in the file; None: there is no file, or it is turned or of a rare kind."""
    path = run.dataset.image_path(record)
    shape = None if path is None else shape_of(path)
    return shape.stored if shape is not None and shape.orientation == 1 else None
