"""Perceptual hashes: 64 bits that are nearly the same for pictures that look the same.

As in pHash (Zauner, 2010): the coarsest frequencies of the small grey picture, each a bit that says whether it is above
the median. Compression, scaling and brightness hardly move them.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8, UInt64

BITS = 64
_FREQUENCIES = 8


def perceptual_hashes(copies: UInt8[np.ndarray, "n 32 32"]) -> UInt64[np.ndarray, " n"]:
    """The hash of each small grey picture."""
    return _packed(_spectrum(copies))


def mirrored_hashes(copies: UInt8[np.ndarray, "n 32 32"]) -> UInt64[np.ndarray, " n"]:
    """The hash that each picture has when it is mirrored from left to right."""
    return _packed(_spectrum(copies[:, :, ::-1]))


def _spectrum(copies: UInt8[np.ndarray, "n r r"]) -> Float32[np.ndarray, "n 8 8"]:
    """The coarsest frequencies of each picture, but for its mean: a cosine transform of rows and columns."""
    waves = _waves(copies.shape[1])
    return (waves @ copies.astype(np.float32) @ waves.T).astype(np.float32)


def _waves(side: int) -> Float32[np.ndarray, "8 r"]:
    """Cosines of half a period to four, over the pixels of a row."""
    frequency, pixel = np.arange(1, _FREQUENCIES + 1)[:, None], np.arange(side)
    return np.cos(np.pi * frequency * (pixel + 0.5) / side).astype(np.float32)


def _packed(spectrum: Float[np.ndarray, "n 8 8"]) -> UInt64[np.ndarray, " n"]:
    values = spectrum.reshape(len(spectrum), BITS)
    bits: Bool[np.ndarray, "n 64"] = values > np.median(values, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


# ── hashes that are close ────────────────────────────────────────────────────────────────────────────────────────────


def close_pairs(
    hashes: UInt64[np.ndarray, " n"], others: UInt64[np.ndarray, " m"], distance: int
) -> Iterator[Int[np.ndarray, "p 2"]]:
    """Places of hashes and others that differ in at most so many bits; a pair may come more than once.

    The bits are cut into bands, one more than may differ: two close hashes agree in at least one band, so that only
    hashes that share a band are compared.

    Args:
        hashes: from which the first places are.
        others: from which the second places are.
        distance: bits that may differ.
    """
    for band in np.array_split(np.arange(BITS, dtype=np.uint64), distance + 1):
        mask = np.bitwise_or.reduce(np.left_shift(np.uint64(1), band))
        for first, second in _sharing(hashes & mask, others & mask):
            yield from _compared(hashes, others, first, second, distance)


def _sharing(
    keys: UInt64[np.ndarray, " n"], others: UInt64[np.ndarray, " m"]
) -> Iterator[tuple[Int[np.ndarray, " p"], Int[np.ndarray, " q"]]]:
    """Places of equal keys."""
    places = dict(_grouped(others))
    for key, first in _grouped(keys):
        if key in places:
            yield first, places[key]


def _grouped(keys: UInt64[np.ndarray, " n"]) -> Iterator[tuple[int, Int[np.ndarray, " p"]]]:
    """Each key and the places that have it."""
    if not len(keys):
        return
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=True):
        yield int(keys[order[start]]), order[start:end]


ROWS = 512
"""Hashes compared with all others of their band at once, which bounds the memory."""


def _compared(
    hashes: UInt64[np.ndarray, " n"],
    others: UInt64[np.ndarray, " m"],
    first: Int[np.ndarray, " p"],
    second: Int[np.ndarray, " q"],
    distance: int,
) -> Iterator[Int[np.ndarray, "_ 2"]]:
    for start in range(0, len(first), ROWS):
        rows = first[start : start + ROWS]
        near = np.bitwise_count(hashes[rows][:, None] ^ others[second]) <= distance
        found = np.argwhere(near)
        if len(found):
            yield np.stack([rows[found[:, 0]], second[found[:, 1]]], axis=1)
