"""Masks that another tool has written, kept as reviews of a run."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from tagmask.contracts import MaskArray, Record
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.errors import TagmaskError
from tagmask.exchange.formats import FORMATS
from tagmask.exchange.index import Names, read_index
from tagmask.exchange.items import NAMES_SHOWN, Arrival, some
from tagmask.exchange.options import FormatName
from tagmask.exchange.selection import StoredMask, best_kind, size_of
from tagmask.reviews.store import Review
from tagmask.stages.run import Run
from tagmask.system.progress import track

Found = TypeVar("Found")
Fate = Literal["accepted", "corrected", "unchanged", "kept"]


@dataclass(frozen=True)
class Imported:
    """What became of the masks of a folder.

    Attributes:
        fates: how many were ``accepted``, as they equal the pseudo mask, or ``corrected``; how many were known already
            (``unchanged``), and how many reviews were not replaced (``kept``).
        unknown: names of which the run has no image.
        validation: how many masks are of validation images, of which no reviews are kept.
        notes: what is odd about the folder, a sentence each.
    """

    fates: Counter[Fate]
    unknown: tuple[str, ...]
    validation: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """All of it in words, a line each."""
        told: dict[Fate, str] = {
            "kept": "{} reviews say otherwise and were kept; --overwrite replaces them",
            "unchanged": "{} masks are in the reviews already",
        }
        found = [f"{self.fates['accepted']} masks accepted, {self.fates['corrected']} corrected"]
        found += [text.format(self.fates[fate]) for fate, text in told.items() if self.fates[fate]]
        if self.validation:
            found.append(f"{self.validation} masks are of validation images, which are not reviewed, and were left out")
        if self.unknown:
            found.append(f"{len(self.unknown)} images are none of the run's: {some(self.unknown)}")
        return found


def import_masks(run: Run, folder: Path, form: FormatName, overwrite: bool = False) -> Imported:
    """Keep the masks of a folder as reviews: as accepted where they equal the pseudo mask, else as corrected.

    Every mask is read and checked before the first one is written.

    Args:
        run: whose reviews.
        folder: what the tool has written; for ``coco`` and ``label-studio`` it may be the JSON file itself.
        form: the format.
        overwrite: whether to replace what a person has decided before; tags that they have changed stay.

    Raises:
        TagmaskError: the folder is missing, of another format, damaged, has classes that the run does not know, masks
            of other sizes than their images, or none of the run's images at all. Nothing was written then.
    """
    if not folder.exists():
        raise TagmaskError(f"no such file or folder: {folder}")
    arrivals = FORMATS[form].read(folder, run.dataset.classes)
    matched, unknown = _matched(run, folder, form, arrivals.masks)
    records = {record.id: record for record in run.training_records}
    mine = [(arrival, records[image_id]) for image_id, arrival in matched.items() if image_id in records]
    if not mine:
        raise TagmaskError(_none_mine(folder, arrivals.masks, len(matched)))
    desk = _Desk(run, FORMATS[form].keeps_unlabelled, overwrite)
    fates = _each(folder, mine, desk.fate)
    for (arrival, record), fate in track(zip(mine, fates, strict=True), "keep reviews", len(mine)):
        desk.keep(arrival, record, fate)
    return Imported(Counter(fates), tuple(unknown), len(matched) - len(mine), tuple(arrivals.notes))


def _none_mine(folder: Path, masks: list[Arrival], validation: int) -> str:
    if validation:
        return f"{folder} holds masks of {validation} validation images alone; reviews are kept of training images"
    names = some(arrival.name for arrival in masks) or "nothing"
    return (
        f"none of the {len(masks)} masks in {folder} is of an image of the run (found: {names}); "
        "put tagmask.json of the exported folder beside them, or name the files like the images"
    )


def _matched(run: Run, folder: Path, form: FormatName, masks: list[Arrival]) -> tuple[dict[str, Arrival], list[str]]:
    """The masks by the ids of their images, and the names that belong to no image.

    Raises:
        TagmaskError: a name may mean several images, or two masks are of one.
    """
    ids = [record.id for record in (*run.training_records, *run.validation_records)]
    index, known = read_index(folder, form), frozenset(ids)
    names = Names({} if index is None else index.images, ids)
    named = [(arrival, arrival.image_id if arrival.image_id in known else None) for arrival in masks]
    found = _each(folder, named, lambda arrival, image_id: image_id or names.find(arrival.name))
    matched: dict[str, Arrival] = {}
    for image_id, arrival in zip(found, masks, strict=True):
        if image_id is not None and matched.setdefault(image_id, arrival) is not arrival:
            where = f"{matched[image_id].where} and {arrival.where}"
            raise TagmaskError(f"two masks are of the image {image_id}: {where}; remove one of them")
    return matched, [arrival.name for image_id, arrival in zip(found, masks, strict=True) if image_id is None]


def _each(folder: Path, masks: Iterable[tuple[Arrival, Any]], look: Callable[[Arrival, Any], Found]) -> list[Found]:
    """Look at every mask, with what belongs to it; whatever is wrong with any of them is said together.

    Raises:
        TagmaskError: something is wrong with a mask.
    """
    found, wrong = [], []
    for arrival, other in masks:
        try:
            found.append(look(arrival, other))
        except (TagmaskError, ValueError) as error:
            wrong.append(f"{arrival.where}: {error}")
    if wrong:
        more = [f"and {len(wrong) - NAMES_SHOWN} more"] if len(wrong) > NAMES_SHOWN else []
        raise TagmaskError("\n".join([
            f"{len(wrong)} masks in {folder} cannot be taken, so none was:", *wrong[:NAMES_SHOWN], *more,
            "correct or remove them, then import again",
        ]))  # fmt: skip
    return found


@dataclass(frozen=True)
class _Desk:
    """Where masks that come back are compared with what the run has.

    Attributes:
        run: the run.
        keeps_unlabelled: whether the masks could tell pixels without label from background.
        overwrite: whether reviews that say otherwise are replaced.
    """

    run: Run
    keeps_unlabelled: bool
    overwrite: bool

    def fate(self, arrival: Arrival, record: Record) -> Fate:
        """What is to become of a mask."""
        mask, pseudo = self._masks(arrival, record)
        before = self.run.reviews.review(record.id)
        if before is not None and before.has_mask and np.array_equal(self._reviewed(record), mask):
            return "unchanged"
        if before is not None and before.decision is not None and not self.overwrite:
            return "kept"
        return "corrected" if pseudo is None or not np.array_equal(mask, pseudo) else "accepted"

    def keep(self, arrival: Arrival, record: Record, fate: Fate) -> None:
        """Write the review of a mask that was accepted or corrected; tags that a person has changed stay."""
        if fate in ("accepted", "corrected"):
            before = self.run.reviews.review(record.id)
            review = Review(decision=fate, tags=before.tags if before else None)
            self.run.reviews.write(record.id, review, self._masks(arrival, record)[0])

    def _masks(self, arrival: Arrival, record: Record) -> tuple[MaskArray, MaskArray | None]:
        """The mask that came back, and the pseudo mask, if there is one.

        Where a format has no place for pixels without label, they are background on their way back: those that have
        stayed background have no label still.
        """
        mask = arrival.read(size_of(self.run, record))
        kind = best_kind(self.run)
        path = self.run.folder.revised(record.id) if kind == "revised" else self.run.folder.mask(record.id)
        pseudo = StoredMask(self.run, record, kind)() if path.exists() else None
        if pseudo is not None and not self.keeps_unlabelled:
            mask = np.where((mask == BACKGROUND) & (pseudo == IGNORE), np.int32(IGNORE), mask)
        return mask, pseudo

    def _reviewed(self, record: Record) -> MaskArray:
        return StoredMask(self.run, record, "reviews")()
