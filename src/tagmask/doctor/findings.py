"""Findings: what arrived, why it matters, what to do; each kind has a key that does not change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["stop", "warn", "note"]
SEVERITIES: tuple[Severity, ...] = ("stop", "warn", "note")
NAMES_SHOWN = 8

KEYS = {
    "data-refused": "A run would refuse the data, with this text.",
    "few-training-images": "A run would refuse so few training images.",
    "unreadable-images": "Images that cannot be read; left out, or of a split that a run does not use.",
    "duplicates-across-splits": "The same picture in the training and another split: scores are too good.",
    "classes-alike": "Class names that differ by a letter or two: misspelt tags.",
    "classes-rare": "Classes of one or two training images beside classes of many.",
    "classes-too-few": "Classes with too few training images to be learned.",
    "classes-few": "Classes with few training images: weak maps.",
    "classes-together": "Classes that (nearly) always appear together: their places cannot be told apart.",
    "class-everywhere": "A class on (nearly) every training image: nothing says where it is.",
    "class-within-class": "A class that (nearly) never appears without another one.",
    "duplicates-with-other-tags": "The same picture twice, with different tags.",
    "tags-doubtful": "Tags that a classifier which has not learned from them contradicts.",
    "classes-unbalanced": "The largest class has many times the training images of the smallest.",
    "duplicates-within-a-split": "The same picture twice in a split.",
    "images-small": "Images of few pixels.",
    "images-large": "Images larger than those of the measured sets.",
    "no-validation-images": "Nothing is left to measure on.",
    "few-validation-images": "Too few validation images for scores that mean something.",
    "classes-not-validated": "Classes without a validation image.",
    "masks-not-used": "A folder of masks beside the images that no setting names.",
    "images-without-tags": "Images that teach what none of the classes looks like.",
    "layout-recognised": "How the data lie, as nobody has said it.",
    "data-note": "A remark of the reader of the data.",
}
"""Every key in the order in which findings of one severity are told, and what it means."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        key: of ``KEYS``; scripts may rely on it.
        severity: ``stop``: a run refuses the data; ``warn``: results will suffer; ``note``: good to know.
        what: what arrived, in a sentence.
        why: why it matters.
        do: what to do about it.
        about: names of the classes or images concerned.
    """

    key: str
    severity: Severity
    what: str
    why: str = ""
    do: str = ""
    about: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.key in KEYS, self.key

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(part for part in (self.what, self.why, self.do) if part)


def in_order_of_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first; alike ones in the order of ``KEYS``."""
    keys = list(KEYS)
    return tuple(sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), keys.index(each.key))))


def listed(names: Sequence[str], shown: int = NAMES_SHOWN) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(["cat", "dog", "cow"], shown=2)
        'cat, dog and 1 more'
    """
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "class"), counted(1200, "class"), counted(2, "image")
        ('1 class', '1,200 classes', '2 images')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
