"""What the images themselves say: unreadable ones, sizes, and the same picture more than once, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tagmask.doctor.findings import Finding, counted, listed
from tagmask.doctor.looks import Look, unread
from tagmask.doctor.near_duplicates import Twins

SMALL = 64
"""Pixels of the shorter side below which an image is called small: at stride 16 its maps have four cells there."""

LARGE = 640
"""Pixels of the longer side of the middle image from which on images are called large: the measured set has 320."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of all images in pixels, rows and columns.

    Attributes:
        smallest: the one of the smallest area.
        middle: median of rows and of columns.
        largest: the one of the largest area.
    """

    smallest: tuple[int, int]
    middle: tuple[int, int]
    largest: tuple[int, int]


def sizes_of(looks: Sequence[Look]) -> Sizes | None:
    """Sizes of the images that can be read; None where none can."""
    sizes = [look.size for look in looks if look.size is not None]
    if not sizes:
        return None
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    rows, columns = (int(np.median([size[axis] for size in sizes])) for axis in (0, 1))
    return Sizes(by_area[0], (rows, columns), by_area[-1])


def image_findings(
    looks: Sequence[Look], skipped: Sequence[str], twins: Sequence[Twins], are_skipped: bool = True
) -> Iterator[Finding]:
    """All that a look at the images has shown.

    Args:
        looks: one per image.
        skipped: ids of images that are left out here as unreadable.
        twins: pairs that show the same picture.
        are_skipped: whether a run leaves them out as well; else it refuses the data because of them.
    """
    bad = {look.id: look.problem for look in unread(looks)}
    if bad or skipped:
        names = (*skipped, *bad)
        yield Finding(
            "unreadable-images",
            "warn",
            f"{counted(len(names), 'image')} cannot be read: {listed(names)}.",
            "They are left out, or lie in a split that a run does not use."
            if are_skipped or not skipped
            else "That is why a run refuses the data; all else is told without them.",
            "Replace the files, or delete their rows.",
            names,
        )
    yield from _sizes(looks)
    yield from _twins(twins)


def _sizes(looks: Sequence[Look]) -> Iterator[Finding]:
    small = [look.id for look in looks if look.size and min(look.size) < SMALL]
    if small:
        yield Finding(
            "images-small",
            "note",
            f"{counted(len(small), 'image')} with a side of less than {SMALL} pixels: {listed(small)}.",
            "Maps have four cells or fewer along it.",
            "Take larger versions if there are any.",
            tuple(small),
        )
    sizes = sizes_of(looks)
    if sizes and max(sizes.middle) >= LARGE:
        yield Finding(
            "images-large",
            "note",
            f"The middle image has {sizes.middle[0]} x {sizes.middle[1]} pixels.",
            "The measured set has 320: time grows with the area, and the kernels of the CRF were chosen at that size.",
            "For a first run, --set data.largest_side=320.",
        )


# ── the same picture twice ───────────────────────────────────────────────────────────────────────────────────────────


def _twins(twins: Sequence[Twins]) -> Iterator[Finding]:
    across = [pair for pair in twins if pair.across_splits]
    if across:
        copies = _copies(across)
        splits = sorted({f"{pair.first.split}/{pair.second.split}" for pair in across})
        yield Finding(
            "duplicates-across-splits",
            "warn",
            f"The picture of {counted(len(copies), 'image')} is in another split as well ({', '.join(splits)}): "
            f"{listed(_pairs(copies), 4)}.",
            "A network that has learned a picture is not tested by it: scores are too good.",
            "Put both into the same split, or take one away.",
            _seconds(across),
        )
    differing = [pair for pair in twins if pair.first.tags != pair.second.tags]
    if differing:
        yield Finding(
            "duplicates-with-other-tags",
            "warn",
            f"The same picture has different tags in {counted(len(differing), 'pair')} of images: "
            f"{listed(_pairs(differing), 4)}.",
            "One of the two teaches the contrary of the other, unless what the tags tell is the little that differs.",
            "Look at both; then correct the tags of one, or take it away.",
            _seconds(differing),
        )
    copies = _copies([pair for pair in twins if not pair.across_splits])
    if copies:
        yield Finding(
            "duplicates-within-a-split",
            "note",
            f"The picture of {counted(len(copies), 'image')} is in the same split once more: "
            f"{listed(_pairs(copies), 4)}.",
            "They count twice in training and in scores.",
            "Keep one of each.",
            _seconds(copies),
        )


def _pairs(twins: Sequence[Twins]) -> list[str]:
    return [f"{pair.second.id} = {pair.first.id}" for pair in twins]


def _copies(twins: Sequence[Twins]) -> list[Twins]:
    """The first pair of each second image, so that an image that is like several others counts once."""
    found: dict[str, Twins] = {}
    for pair in twins:
        found.setdefault(pair.second.id, pair)
    return list(found.values())


def _seconds(twins: Sequence[Twins]) -> tuple[str, ...]:
    return tuple(pair.second.id for pair in _copies(twins))
