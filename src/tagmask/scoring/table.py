"""The scores of a run: one table for evaluation, command line, reports, comparisons and records. No torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tagmask.conventions import Goal


@dataclass(frozen=True)
class ScoreKind:
    """One kind of score.

    Attributes:
        key: in ``scores.json``.
        words: what people read.
        sure_from: the nearest goal whose runs have it wherever there are masks to score on; None: not every run does.
    """

    key: str
    words: str
    sure_from: Goal | None = None


SCORES: tuple[ScoreKind, ...] = (
    ScoreKind("tags", "classifier"),  # of validation images, by mean average precision
    ScoreKind("seed_own", "seed, own background"),  # the maps against the background that the method has learnt
    ScoreKind("seed_best", "seed, best threshold", sure_from="seed"),  # chosen on these very masks: an upper bound
    ScoreKind("seed_fixed", "seed, fixed threshold"),
    ScoreKind("walk", "walk"),
    ScoreKind("mask", "pseudo masks", sure_from="mask"),
    ScoreKind("revised", "revised masks"),
    ScoreKind("prediction", "segmentation network", sure_from="prediction"),  # of validation images, without tags
)

MASK_SCORES: tuple[ScoreKind, ...] = tuple(kind for kind in SCORES if kind.key != "tags")
"""Those that compare masks: a mean intersection over union each."""

WORDS: dict[str, str] = {kind.key: kind.words for kind in SCORES}


def mean_of(entry: Mapping[str, Any]) -> float | None:
    """The one number of a score in ``scores.json``, in [0, 1]: mean IoU, or mean average precision of tags."""
    return entry.get("mean_iou", entry.get("mean_average_precision"))


def in_order(keys: Iterable[str]) -> list[str]:
    """The keys of known scores, in the order of the table."""
    given = set(keys)
    return [kind.key for kind in SCORES if kind.key in given]
