"""Regions as COCO writes them: polygons and run lengths turned into pixels, pixels turned into run lengths."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

LONGEST_PIECES = 13  # of five bits each: more cannot belong to a 64-bit number


def polygon_pixels(corners: Float[np.ndarray, "n 2"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels whose centre lies inside a polygon, by the even-odd rule.

    Args:
        corners: (x, y) of each corner in pixels; (0, 0) is the outer corner of the first pixel.
        height: rows of the result.
        width: columns of the result.

    Raises:
        ValueError: a coordinate is NaN or infinite.

    >>> polygon_pixels(np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]]), 3, 4).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    if not np.isfinite(corners).all():
        raise ValueError("a polygon has coordinates that are NaN or infinite, expected pixels")
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    centres = np.arange(height)[:, None] + 0.5
    row, edge = np.nonzero((y0 <= centres) != (y1 <= centres))
    share = (row + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
    crossing = x0[edge] + share * (x1[edge] - x0[edge])
    column = np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.int32)
    np.add.at(crossings, (row, column), 1)
    return crossings.cumsum(axis=1)[:, :-1] % 2 == 1


def run_pixels(counts: Sequence[int], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels of run lengths that alternate between outside and inside, down the columns.

    Raises:
        ValueError: the runs do not cover the region exactly.

    >>> run_pixels([1, 2, 3], 2, 3).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"run lengths add up to {sum(counts)}, expected {height} x {width} = {height * width}")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def pixel_runs(pixels: Bool[np.ndarray, "h w"]) -> list[int]:
    """Run lengths that alternate between outside and inside, down the columns; the first may be 0.

    >>> pixel_runs(np.array([[False, True, False], [True, False, False]])), pixel_runs(np.ones((1, 2), bool))
    ([1, 2, 3], [0, 2])
    """
    down = pixels.T.ravel()
    turns = np.flatnonzero(np.diff(down, prepend=False))
    return np.diff(turns, prepend=0, append=down.size).tolist()


def decode_counts(text: str) -> list[int]:
    """Run lengths of COCO's compressed text.

    Each character carries five bits, lowest first, and a sixth that says that more follow; the last piece of a number
    has its sign in the highest of the five. From the fourth number on, what is stored is the difference to the number
    two before.

    Raises:
        ValueError: the text is cut off or is no such text.

    >>> decode_counts("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    pieces: list[int] = []
    for character in text:
        piece = ord(character) - 48
        if not 0 <= piece < 64 or len(pieces) > LONGEST_PIECES:
            raise ValueError(f"{character!r} does not belong into compressed run lengths")
        pieces.append(piece & 31)
        if not piece & 32:
            counts.append(_signed(pieces) + (counts[-2] if len(counts) > 2 else 0))
            pieces = []
    if pieces:
        raise ValueError("the compressed run lengths are cut off")
    return counts


def encode_counts(counts: Sequence[int]) -> str:
    """COCO's compressed text of run lengths, which ``decode_counts`` reads.

    >>> encode_counts([5, 2, 2, 2, 5])
    '52203'
    """
    before = [0, 0, 0, *counts[1:-2]]
    return "".join(_characters(count - past) for count, past in zip(counts, before, strict=False))


def _characters(value: int) -> str:
    """Five bits each, lowest first, until the sign of the last piece says what is left."""
    piece, rest = value & 31, value >> 5
    if rest == (-1 if piece & 16 else 0):
        return chr(48 + piece)
    return chr(48 + piece + 32) + _characters(rest)


def _signed(pieces: list[int]) -> int:
    value = sum(piece << (5 * place) for place, piece in enumerate(pieces))
    return value - (1 << (5 * len(pieces))) if pieces[-1] & 16 else value


def region_pixels(segmentation: object, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels of one COCO ``segmentation``: polygons, run lengths, or compressed run lengths.

    Raises:
        ValueError: it is none of these, or does not fit the image.
    """
    parts = region_parts(segmentation, height, width)
    if isinstance(parts, list):
        pixels = [polygon_pixels(corners, height, width) for corners in parts]
        return np.any(pixels, axis=0) if pixels else np.zeros((height, width), bool)
    return run_pixels(parts.tolist(), height, width)


def region_parts(
    segmentation: object, height: int, width: int
) -> list[Float[np.ndarray, "_ 2"]] | Int64[np.ndarray, " n"]:
    """One COCO ``segmentation`` as numbers: the corners of its polygons, or its run lengths down the columns.

    One flat list of numbers is one polygon, and so is one list of (x, y). Polygons of fewer than three corners cover
    nothing and are left out.

    Raises:
        ValueError: it is no region, or does not fit the image.

    >>> region_parts([0, 0, 2, 0, 2, 2], 2, 3)[0].tolist()
    [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]
    >>> region_parts({"size": [1, 2], "counts": "11"}, 1, 2).tolist()
    [1, 1]
    """
    if isinstance(segmentation, list) and len(segmentation) == 1 and isinstance(segmentation[0], dict):
        segmentation = segmentation[0]
    if isinstance(segmentation, list):
        return [corners for corners in map(_corners, _polygons(segmentation)) if len(corners) > 2]
    if isinstance(segmentation, dict):
        return _runs(segmentation, height, width)
    raise ValueError(
        f"{_short(segmentation)} is no region; expected polygons or run lengths of size [{height}, {width}]"
    )


def _polygons(segmentation: list[object]) -> list[object]:
    """The polygons of a list, which may itself be one: of numbers, or of three and more (x, y)."""
    if any(isinstance(item, int | float | str) for item in segmentation):
        return [segmentation]
    pairs = [item for item in segmentation if isinstance(item, list) and len(item) == 2]
    return [segmentation] if len(pairs) == len(segmentation) > 2 else segmentation


def _corners(polygon: object) -> Float[np.ndarray, "_ 2"]:
    try:
        numbers = np.array(polygon, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{_short(polygon)} is no polygon; expected its corners as x, y, x, y ...") from error
    if numbers.size % 2 or numbers.ndim > 2 or (numbers.ndim == 2 and numbers.shape[1] != 2):
        raise ValueError(f"a polygon has {numbers.size} numbers of shape {numbers.shape}; expected x, y, x, y ...")
    if not np.isfinite(numbers).all():
        raise ValueError("a polygon has coordinates that are NaN or infinite, expected pixels")
    return numbers.reshape(-1, 2)


def _runs(region: dict[str, object], height: int, width: int) -> Int64[np.ndarray, " n"]:
    size, counts = region.get("size"), region.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise ValueError(f"run lengths of size {_short(size)}; expected run lengths of size [{height}, {width}]")
    if not isinstance(counts, str | list):
        raise ValueError(f"run lengths are {_short(counts)}; expected a list of numbers or their compressed text")
    numbers = decode_counts(counts) if isinstance(counts, str) else list(map(_whole, counts))
    whole = [number for number in numbers if isinstance(number, int) and number >= 0]
    if len(whole) != len(numbers) or sum(whole) != height * width:
        raise ValueError(f"run lengths {_short(numbers)} do not cover {height} x {width} = {height * width} pixels")
    return np.array(whole, np.int64)


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
