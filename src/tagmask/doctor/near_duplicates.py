"""The same picture more than once: files of the same bytes, pictures that look the same, mirror images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from tagmask.contracts import Record
from tagmask.doctor.hashes import close_pairs, mirrored_hashes, perceptual_hashes
from tagmask.doctor.looks import Look

DISTANCE = 10
"""Bits of 64 in which the hashes of the same picture may differ: between two photographs about 32 do, while another
exposure or a crop of a fiftieth change up to so many."""

LIKENESS = 0.95
"""Correlation of the small grey copies from which on two pictures with close hashes are taken for the same one. At this
value none of 1 822 photographs was taken for another one, while all were known again at half the size, darker, or with
more contrast, two thirds with a fiftieth cut off, and hardly any with more."""

FLAT = 4.0
"""Deviation in grey levels below which a picture is too plain to be compared: its hash is noise."""

MOST = 100_000
"""Pairs after which no more are looked for: frames of a camera that does not move are all alike."""

_AT_ONCE = 8192  # pairs compared at once, which bounds the memory

Kind = Literal["same file", "same picture", "mirror image"]


@dataclass(frozen=True)
class Twins:
    """Two images that show the same picture.

    Attributes:
        first: an image; of the training split if only one is.
        second: another one.
        kind: how they are alike.
    """

    first: Record
    second: Record
    kind: Kind

    @property
    def across_splits(self) -> bool:
        """Whether they lie in different splits."""
        return self.first.split != self.second.split


def find_twins(records: Sequence[Record], looks: Sequence[Look], train_split: str) -> list[Twins]:
    """All pairs of images that show the same picture, those across splits first, those with training images foremost.

    Of several files of the same bytes in a split, one stands for all in further pairs.

    Args:
        records: the images.
        looks: of each image.
        train_split: the split that is learned from.
    """
    places = [place for place, look in enumerate(looks) if look.copy is not None]
    same = _same_files(places, records, looks)
    standing_in = {second for first, second in same if records[first].split == records[second].split}
    left = np.array([place for place in places if place not in standing_in], np.int64)
    copies = (
        np.stack([copy for place in left.tolist() if (copy := looks[place].copy) is not None]) if len(left) else None
    )
    found: dict[tuple[int, int], Kind] = dict.fromkeys(same, "same file")
    if copies is not None:
        ways: tuple[tuple[Kind, bool], ...] = (("same picture", False), ("mirror image", True))
        for kind, mirrored in ways:
            for first, second in left[alike(copies, mirrored)].tolist():
                found.setdefault((first, second), kind)
    twins = [_twins(records[a], records[b], kind, train_split) for (a, b), kind in found.items()]
    return sorted(twins, key=lambda each: (not each.across_splits, each.first.split != train_split))


def _twins(one: Record, other: Record, kind: Kind, train_split: str) -> Twins:
    return Twins(other, one, kind) if other.split == train_split != one.split else Twins(one, other, kind)


def _same_files(places: Sequence[int], records: Sequence[Record], looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Each file of the same bytes as an earlier one, with the first of its split and the first of all."""
    firsts: dict[bytes, dict[str, int]] = {}
    found = []
    for place in places:
        homes = firsts.setdefault(looks[place].content, {})
        split = records[place].split
        if split in homes:
            found.append((homes[split], place))
        else:
            found.extend((earlier, place) for earlier in homes.values())
            homes[split] = place
    return found


def alike(copies: UInt8[np.ndarray, "n 32 32"], mirrored: bool = False) -> Int[np.ndarray, "p 2"]:
    """Places of the pictures that look the same, the smaller first; each pair once, not many more than ``MOST``.

    Args:
        copies: small and grey.
        mirrored: compare each with the mirror images of the others instead.
    """
    compared = np.flatnonzero(copies.reshape(len(copies), -1).std(axis=1) >= FLAT)
    kept = copies[compared]
    others = kept[:, :, ::-1] if mirrored else kept
    hashes, other_hashes = perceptual_hashes(kept), (mirrored_hashes if mirrored else perceptual_hashes)(kept)
    standard, other_standard = _standardised(kept), _standardised(others)
    found: set[tuple[int, int]] = set()
    for pairs in _in_portions(close_pairs(hashes, other_hashes, DISTANCE)):
        good = pairs[_are_like(standard, other_standard, pairs)]
        found.update(map(tuple, compared[good].tolist()))
        if len(found) >= MOST:
            break
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def _in_portions(found: Iterable[Int[np.ndarray, "_ 2"]]) -> Iterator[Int[np.ndarray, "_ 2"]]:
    """Pairs whose first place is the smaller, not too many at once."""
    for pairs in found:
        ordered = pairs[pairs[:, 0] < pairs[:, 1]]
        for start in range(0, len(ordered), _AT_ONCE):
            yield ordered[start : start + _AT_ONCE]


def _standardised(copies: UInt8[np.ndarray, "n 32 32"]) -> Float32[np.ndarray, "n d"]:
    """Each picture as a vector of length 1 and mean 0, so that a product is a correlation."""
    values = copies.reshape(len(copies), copies.shape[1] * copies.shape[2]).astype(np.float32)
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def _are_like(
    one: Float32[np.ndarray, "n d"], other: Float32[np.ndarray, "n d"], pairs: Int[np.ndarray, "p 2"]
) -> Bool[np.ndarray, " p"]:
    return np.einsum("pd,pd->p", one[pairs[:, 0]], other[pairs[:, 1]]) >= LIKENESS


def groups(records: Sequence[Record], twins: Iterable[Twins]) -> Int[np.ndarray, " n"]:
    """A number for each image; images that show the same picture, directly or through others, have the same."""
    places = {record.id: place for place, record in enumerate(records)}
    parents = list(range(len(records)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    for pair in twins:
        if pair.first.id in places and pair.second.id in places:
            parents[root(places[pair.first.id])] = root(places[pair.second.id])
    return np.array([root(place) for place in range(len(records))], np.int64)
