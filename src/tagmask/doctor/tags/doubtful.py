"""Tags that look wrong: confident learning (Northcutt, Jiang & Chuang, 2021) on probabilities of an outsider.

cleanlab compares the tags with what a classifier says that has not learned from them. How sure it must be is measured
class by class, on the images that carry the class, so that a weak classifier accuses few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Bool, Float32

from tagmask.contracts import Record
from tagmask.doctor.findings import Finding, counted, listed
from tagmask.errors import TagmaskError

USUAL = 0.02
"""Share of all decisions, a class on an image each, up to which doubts are a note. Of photographs with right tags one
in eighty is doubted, as its object is small or hidden; with one image in twenty wrongly tagged, one in forty is."""


@dataclass(frozen=True)
class Doubt:
    """A tag that an outsider contradicts.

    Attributes:
        record: the image.
        class_id: the class.
        name: of the class.
        is_tagged: whether the image carries the class; else it seems to lack the tag.
        probability: that the class is on the image, by the outsider.
    """

    record: Record
    class_id: int
    name: str
    is_tagged: bool
    probability: float

    @property
    def surprise(self) -> float:
        """How sure the outsider is of the contrary, 0 to 1."""
        return 1 - self.probability if self.is_tagged else self.probability


def require_cleanlab() -> None:
    """Find out, before any work, whether tags can be judged.

    Raises:
        TagmaskError: cleanlab is not installed.
    """
    if find_spec("cleanlab") is None:
        raise TagmaskError(
            "cleanlab is not installed: pip install 'tagmask[doctor]', or leave out --check-tags and --run"
        )


def find_doubts(
    records: Sequence[Record],
    classes: Sequence[str],
    tags: Bool[np.ndarray, "n c"],
    probabilities: Float32[np.ndarray, "n c"],
    judged: Bool[np.ndarray, " c"],
) -> list[Doubt]:
    """Tags that are probably wrong, the surest first.

    Args:
        records: the images.
        classes: their names.
        tags: as they are given.
        probabilities: by a classifier that has not learned from these images.
        judged: classes that it can judge.

    Raises:
        TagmaskError: cleanlab is not installed.
    """
    require_cleanlab()
    from cleanlab.filter import find_label_issues  # noqa: PLC0415 (optional, and slow to load)

    found = []
    for number in np.flatnonzero(judged).tolist():
        chances = probabilities[:, number].clip(1e-6, 1 - 1e-6)
        wrong = find_label_issues(
            tags[:, number].astype(int),
            np.stack([1 - chances, chances], axis=1),
            filter_by="confident_learning",
            n_jobs=1,
        )
        for place in np.flatnonzero(wrong).tolist():
            tagged, chance = bool(tags[place, number]), float(chances[place])
            found.append(Doubt(records[place], number, classes[number], tagged, chance))
    return sorted(found, key=lambda doubt: -doubt.surprise)


def doubt_finding(doubts: Sequence[Doubt], decisions: int, protocol: str) -> Finding:
    """What was found, in words.

    Args:
        doubts: tags that look wrong.
        decisions: how many were judged, a class on an image each.
        protocol: who judged which images.
    """
    shown = [f"{d.record.id} ({'not ' if d.is_tagged else ''}{d.name}?)" for d in doubts]
    return Finding(
        "tags-doubtful",
        "warn" if len(doubts) > USUAL * decisions else "note",
        f"{counted(len(doubts), 'tag')} {'looks' if len(doubts) == 1 else 'look'} wrong, of {decisions:,} that were "
        f"judged{f': {listed(shown, 6)}' if doubts else ''}.",
        f"Judged by {protocol}.",
        "Look at them on the page (--out): right tags of small or hidden things are among them." if doubts else "",
        tuple(dict.fromkeys(doubt.record.id for doubt in doubts)),
    )
