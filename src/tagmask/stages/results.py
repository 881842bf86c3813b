"""What a run has written, read back. A person may have opened, changed or deleted any of it since."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from pydantic import TypeAdapter

from tagmask.contracts import MaskArray, Record
from tagmask.conventions import IGNORE
from tagmask.data.images import read_fitting_mask
from tagmask.errors import TagmaskError
from tagmask.stages.run import Run
from tagmask.system.progress import track
from tagmask.system.storage import read_json_as
from tagmask.system.workers import in_order

Size = tuple[int, int]

_PROBABILITIES = TypeAdapter(dict[str, dict[str, float]])


def read_pseudo_mask(run: Run, record: Record, size: Size, revised: bool = False) -> MaskArray:
    """The pseudo mask of a training image of ``size`` rows and columns, ``IGNORE`` where it has no label.

    Args:
        run: the run.
        record: the image.
        size: of the image.
        revised: the one that the segmentation network has revised.

    Raises:
        TagmaskError: it is missing or unreadable, has another size, or holds numbers that are no classes.
    """
    path = run.folder.revised(record.id) if revised else run.folder.mask(record.id)
    return read_fitting_mask(path, run.mask_ignore_value, size, len(run.dataset.classes))


def best_pseudo_mask(run: Run, record: Record, size: Size) -> MaskArray:
    """The revised pseudo mask where a run has revised them, else the pseudo mask; raises as ``read_pseudo_mask``."""
    return read_pseudo_mask(run, record, size, revised=run.folder.is_done("revise-masks"))


def read_prediction(run: Run, record: Record, size: Size) -> MaskArray:
    """The predicted mask of an image of ``size`` rows and columns.

    Raises:
        TagmaskError: as for pseudo masks.
    """
    return read_fitting_mask(run.folder.prediction(record.id), -1, size, len(run.dataset.classes))


def read_predicted_tags(run: Run) -> dict[str, dict[str, float]]:
    """Probability of each class by its name, in [0, 1], of every validation image by its id.

    Raises:
        TagmaskError: the file is missing or holds something else.
    """
    path, names = run.folder.predicted_tags, run.dataset.classes
    remedy = f"delete it, and `tagmask make-maps {run.folder.path}` writes it anew"
    found = read_json_as(path, _PROBABILITIES.validate_python, remedy)
    for record in run.validation_records:
        if not found.get(record.id, {}).keys() >= set(names):
            raise TagmaskError(f"{path} lacks probabilities of {record.id}; {remedy}")
    return found


def read_ranking(run: Run) -> list[tuple[str, float]]:
    """(id, quality) of every pseudo mask in ``quality.csv``, in its order; empty if there is none.

    Raises:
        TagmaskError: it holds something else.
    """
    path, known = run.folder.quality, {record.id for record in run.training_records}
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["image"], float(row["quality"])) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise TagmaskError(
            f"{path} does not hold images and their qualities ({error}); delete it, and "
            f"`tagmask make-masks {run.folder.path}` writes it anew"
        ) from error
    return [row for row in rows if row[0] in known]


@dataclass(frozen=True)
class LearnedMasks:
    """The mask of a training image that is learned from: a drawn one where there is one, else the pseudo mask.

    A reviewed mask wins against one that the data bring.
    """

    run: Run

    def __call__(self, record: Record, size: Size) -> MaskArray:
        """The mask of an image of ``size`` rows and columns, ``IGNORE`` where it has no label.

        Raises:
            TagmaskError: it is missing or unreadable, has another size, or holds numbers that are no classes.
        """
        review = self.run.used_reviews.get(record.id)
        if review is not None and review.has_mask:
            return self.run.reviews.mask(record.id, size)
        if self.run.recipe.segmenter.learn_from == "masks" or self.run.is_drawn(record):
            return self._brought(record)
        return read_pseudo_mask(self.run, record, size)

    def _brought(self, record: Record) -> MaskArray:
        mask = self.run.dataset.read_mask(record)
        if mask is None:
            raise TagmaskError(f"the ground-truth mask of {record.id} has vanished; restore it")
        return mask


@dataclass(frozen=True)
class _Shares:
    """The share of each class in the labelled pixels of one mask, background first; a mask without label has none."""

    run: Run

    def __call__(self, record: Record) -> Float64[np.ndarray, " k"]:
        image = self.run.dataset.read_image(record)
        mask = LearnedMasks(self.run)(record, (image.shape[0], image.shape[1]))
        counts = np.bincount(mask[mask != IGNORE], minlength=len(self.run.dataset.classes) + 1)
        return counts / max(counts.sum(), 1)


def mask_shares(run: Run, records: Sequence[Record]) -> Float64[np.ndarray, "n k"]:
    """Look at every mask before anything is learned from them: which share of its labelled pixels each class has.

    Raises:
        TagmaskError: the first mask that is missing, unreadable, or does not fit its image and the classes.
    """
    shares = in_order(_Shares(run), records, run.recipe.masks.workers)
    return np.stack([*track(shares, "look at masks", len(records))])
