"""What an improvement has changed, on corrected images that were held back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from tagmask.contracts import ImageArray, MaskArray, Record
from tagmask.inference.predictor import load
from tagmask.masks.agreement import DRAWS, count_agreement, interval, mean_iou, resampled
from tagmask.stages.results import best_pseudo_mask
from tagmask.stages.run import Run
from tagmask.system.progress import track
from tagmask.system.storage import write_json

Counts = Int64[np.ndarray, "n 3 k"]
MaskOf = Callable[[Record, ImageArray], MaskArray]


@dataclass(frozen=True)
class Change:
    """Mean IoU in percent before and after, and between what the difference lies by chance of the images alone.

    Attributes:
        subject: ``masks`` (tags given) or ``network`` (tags not given).
        before: of the first run.
        after: of the improved one.
        lead: 95 % of the differences over images drawn anew with replacement.
    """

    subject: str
    before: float
    after: float
    lead: tuple[float, float]

    def __str__(self) -> str:
        return (
            f"{self.subject}: {self.before:.1f} -> {self.after:.1f} ({self.after - self.before:+.1f}, 95 % between "
            f"{self.lead[0]:+.1f} and {self.lead[1]:+.1f})"
        )


def changes(first: Run, improved: Run) -> list[Change]:
    """Compare masks, and networks if both runs have one, on held-back images; writes ``improvement.json``.

    Empty where nothing was held back. Corrected images are those whose masks a person found wrong, so the first run's
    masks are worse on them than on others; the comparison of networks, which saw the same images, is the fairer one.
    """
    held = set(improved.held_back)
    records = [record for record in improved.training_records if record.id in held]
    subjects: dict[str, tuple[MaskOf, MaskOf]] = {"masks": (_MaskOfRun(first), _MaskOfRun(improved))}
    if all(run.folder.weights("segmenter").exists() for run in (first, improved)):
        subjects["network"] = (_Network(first), _Network(improved))
    found = [_change(subject, improved, records, *pair) for subject, pair in subjects.items()] if records else []
    write_json(improved.folder.path / "improvement.json", _facts(first, improved, found))
    return found


def _facts(first: Run, improved: Run, found: Sequence[Change]) -> dict[str, Any]:
    return {
        "improves": str(first.folder.path.resolve()),
        "held_back": list(improved.held_back),
        "protocol": "mean IoU in percent on corrected images that were held back; 95 % interval of the difference over "
        f"{DRAWS} draws of images with replacement.",
        "changes": [vars(change) for change in found],
    }


@dataclass(frozen=True)
class _MaskOfRun:
    """The best pseudo masks of a run."""

    run: Run

    def __call__(self, record: Record, image: ImageArray) -> MaskArray:
        return best_pseudo_mask(self.run, record, (image.shape[0], image.shape[1]))


class _Network:
    """What the network of a run sees, without tags."""

    def __init__(self, run: Run) -> None:
        self._predictor = load(run.folder.path)

    def __call__(self, record: Record, image: ImageArray) -> MaskArray:  # noqa: ARG002 — it is not told the tags
        return self._predictor(image)


def _change(subject: str, improved: Run, records: Sequence[Record], before: MaskOf, after: MaskOf) -> Change:
    counts = []
    for record in track(records, f"compare {subject}", len(records)):
        image = improved.dataset.read_image(record)
        truth, known = improved.reviews.mask(record.id, (image.shape[0], image.shape[1])), improved.dataset.classes
        counts.append([count_agreement(truth, mask(record, image), len(known)) for mask in (before, after)])
    both = np.array(counts)
    first, second = (100 * mean_iou(both.sum(axis=0))).round(2).tolist()
    return Change(subject, first, second, lead_between(both[:, 0], both[:, 1]))


def lead_between(first: Counts, second: Counts) -> tuple[float, float]:
    """By bootstrap over images, between what the lead of the second lies, in percent.

    Args:
        first: hits, true and predicted pixels of each image and class (see ``masks.agreement.count_agreement``).
        second: the same of the other.

    >>> right, wrong = np.array([[[1, 1], [1, 1], [1, 1]]] * 4), np.array([[[0, 0], [1, 1], [1, 1]]] * 4)
    >>> lead_between(wrong, right)
    (100.0, 100.0)
    """
    drawn = mean_iou(resampled(np.stack([first, second], axis=1)))  # both of the same images in every draw
    low, high = interval(100 * (drawn[:, 1] - drawn[:, 0]))
    return round(low, 2), round(high, 2)
