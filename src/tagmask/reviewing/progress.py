"""How far a review has come, and what it says about the masks that nobody has looked at, in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tagmask.contracts import Record
from tagmask.masks.agreement import count_agreement
from tagmask.reviewing.images import RunImages
from tagmask.reviews.accuracy import (
    FEWEST,
    STEP,
    Accuracy,
    Counts,
    Estimate,
    estimate_accuracy,
    leading,
    random_order,
)
from tagmask.reviews.store import Review

FEW = 30
"""Images below which bootstrap intervals hold the truth clearly less often than they say."""


@dataclass(frozen=True)
class Progress:
    """Reads every reviewed mask once, and again only after it has changed."""

    images: RunImages
    _counted: dict[str, tuple[str, Counts]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """Numbers of images by decision, ``left``, and sentences on how right the pseudo masks are.

        Raises:
            TagmaskError: a review or a mask cannot be read.
        """
        records = {record.id: record for record in self.images.records}
        reviews = {image_id: self.images.review(record) for image_id, record in records.items()}
        decided = {image_id: review for image_id, review in reviews.items() if review.decision is not None}
        sample = leading(random_order(list(records)), set(decided))
        tally = Counter(review.decision for review in decided.values())
        return {
            **{name: tally[name] for name in ("accepted", "corrected", "rejected")},
            "left": len(records) - len(decided),
            **self._estimates(records, decided, sample),
        }

    def _estimates(
        self, records: dict[str, Record], decided: dict[str, Review], sample: Sequence[str]
    ) -> dict[str, Any]:
        counts = {image_id: self._counts(records[image_id]) for image_id, each in decided.items() if each.has_mask}
        of_all = estimate_accuracy([*counts.values()])
        of_sample = estimate_accuracy([counts[image_id] for image_id in sample if image_id in counts])
        is_whole = len(sample) == len(records)
        best = of_sample or of_all
        return {
            "short": None if best is None else short(best, of_sample is not None),
            "sentences": sentences(of_all, of_sample, len(sample), is_whole, len(decided) - len(counts)),
        }

    def _counts(self, record: Record) -> Counts:
        version = self.images.version(record)
        known = self._counted.get(record.id)
        if known is None or known[0] != version:
            true, made = self.images.mask(record), self.images.pseudo_mask(record)
            known = version, count_agreement(true, made, len(self.images.run.dataset.classes))
            self._counted[record.id] = known
        return known[1]


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def percent(estimate: Estimate) -> str:
    """An estimate and its interval in percent.

    >>> percent(Estimate(0.9213, 0.88, 0.9512))
    '92.1 % (88.0 to 95.1)'
    """
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def short(accuracy: Accuracy, is_random: bool) -> str:
    """The line beside the number of images that are left."""
    whose = "estimated for the run" if is_random else "of those looked at, no random sample"
    figures = (
        f"{100 * accuracy.pixel_accuracy.value:.1f} % of pixels right, mean IoU {100 * accuracy.mean_iou.value:.1f} %"
    )
    return f"pseudo masks: {figures}, {whose}"


def sentences(
    of_all: Accuracy | None, of_sample: Accuracy | None, sample: int, is_whole: bool, rejected: int
) -> list[str]:
    """What the decisions say about the pseudo masks, and what they do not say.

    Args:
        of_all: from every accepted or corrected image; None: too few.
        of_sample: from those at the head of the random order; None: too few.
        sample: images at the head of the random order that are decided.
        is_whole: whether these are all images.
        rejected: images that were rejected.
    """
    if of_all is None:
        return [f"Accept or correct {FEWEST} images, and you will read here how right the pseudo masks are."]
    found = [_of_sample(of_sample, sample, is_whole), "" if is_whole else _of_all(of_all)]
    if rejected:
        found.append(
            f"{rejected} rejected {'image has' if rejected == 1 else 'images have'} no right mask and cannot be "
            "counted. As bad masks are the ones that are rejected, the figures are rather too high."
        )
    found.append(
        "In brackets: the 95 % interval, from drawing the images again and again (bootstrap)"
        f"{'; from so few images it is rather too narrow' if of_all.images < FEW else ''}. A mask that was accepted "
        "counts as wholly right."
    )
    return [sentence for sentence in found if sentence]


def _of_sample(accuracy: Accuracy | None, sample: int, is_whole: bool) -> str:
    if accuracy is None:
        return (
            "No figure for the whole run yet: choose the order “random” and decide its images from the first "
            f"one on. Every {STEP} that are decided without a gap count."
        )
    whose = "All images are decided" if is_whole else f"The first {sample} images of the random order are decided"
    holds = "" if is_whole else ", so this estimate holds for the whole run"
    return (
        f"{whose}{holds}: its pseudo masks are right in {percent(accuracy.pixel_accuracy)} of the pixels, with a mean "
        f"IoU of {percent(accuracy.mean_iou)}."
    )


def _of_all(accuracy: Accuracy) -> str:
    return (
        f"The pseudo masks of all {accuracy.images} images that you accepted or corrected were right in "
        f"{percent(accuracy.pixel_accuracy)} of the pixels, with a mean IoU of {percent(accuracy.mean_iou)}. If you "
        "took the least trustworthy first, they are no random sample, and the other masks of the run are rather better."
    )
