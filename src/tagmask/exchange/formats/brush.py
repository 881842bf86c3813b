"""Label Studio's run lengths of brush strokes: four bytes a pixel, red, green, blue and opacity, in packed bits.

After a head of 53 bits (how many values, bits of a value, bits of each of four kinds of lengths) come blocks: a bit
that says whether one value is repeated, two bits for the kind of length, the length less one, and the value or values.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from tagmask.system.rle import pixel_runs

KINDS = (3, 4, 8, 16)  # bits of lengths that we write, as Label Studio does
WORD = 8
CHANNELS = 4
LONGEST = 1 << KINDS[-1]


def encode(region: Bool[np.ndarray, "h w"]) -> list[int]:
    """Packed bytes of a region, opaque white inside and all zero outside.

    >>> encode(np.array([[False, True]]))
    [0, 0, 0, 8, 57, 27, 252, 96, 17, 255, 128]
    """
    head = f"{region.size * CHANNELS:032b}{WORD - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in KINDS)
    lengths = pixel_runs(region.T)  # along the rows
    blocks = (
        _block(part, inside) for number, length in enumerate(lengths) for part, inside in _parts(length, number % 2)
    )
    bits = head + "".join(blocks)
    return np.packbits(np.frombuffer(bits.encode(), np.uint8) - ord("0")).tolist()


def decode(packed: Sequence[object], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The region of packed bytes: where the brush has any opacity.

    Raises:
        ValueError: they are no such bytes, are cut off, or belong to another size.

    >>> decode([0, 0, 0, 8, 57, 27, 252, 96, 17, 255, 128], 1, 2).tolist()
    [[False, True]]
    """
    octets = [value for value in packed if type(value) is int and 0 <= value < 256]
    if len(octets) < len(packed):
        raise ValueError("the brush strokes are no bytes; expected whole numbers from 0 to 255")
    bits = _Bits(bytes(octets))
    count, word = bits.take(32), bits.take(5) + 1
    kinds = [bits.take(4) + 1 for _ in range(4)]
    if count != height * width * CHANNELS or word != WORD:
        raise ValueError(
            f"the brush strokes hold {count} values of {word} bits; expected {height} x {width} x {CHANNELS} of {WORD}"
        )
    values = np.concatenate([*_values(bits, count, kinds), np.zeros(0, np.uint8)])
    return values.reshape(height, width, CHANNELS)[..., 3] > 0


def _parts(length: int, inside: int) -> Iterator[tuple[int, int]]:
    """Runs of bytes for a run of pixels, none longer than a length can say."""
    left = length * CHANNELS
    while left:
        yield min(left, LONGEST), inside
        left -= min(left, LONGEST)


def _block(length: int, inside: int) -> str:
    kind = next(place for place, bits in enumerate(KINDS) if length <= 1 << bits)
    return f"1{kind:02b}{length - 1:0{KINDS[kind]}b}{'11111111' if inside else '00000000'}"


class _Bits:
    """Bits of bytes, taken one number after another."""

    def __init__(self, packed: bytes) -> None:
        self._text = "".join(f"{value:08b}" for value in packed)
        self._at = 0

    def take(self, count: int) -> int:
        """The next bits as a number."""
        return int(self._next(count), 2)

    def words(self, count: int) -> UInt8[np.ndarray, " _"]:
        """The next bytes, wherever they begin."""
        text = self._next(count * WORD)
        return np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0"))

    def _next(self, count: int) -> str:
        found = self._text[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("the brush strokes are cut off")
        self._at += count
        return found


def _values(bits: _Bits, count: int, kinds: list[int]) -> Iterator[UInt8[np.ndarray, " _"]]:
    left = count
    while left:
        is_repeated = bits.take(1)
        length = bits.take(kinds[bits.take(2)]) + 1
        if length > left:
            raise ValueError(f"the brush strokes hold more than the {count} values that they announce")
        left -= length
        yield np.repeat(bits.words(1), length) if is_repeated else bits.words(length)
