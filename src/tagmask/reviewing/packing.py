"""Class numbers per pixel on their way between server and page: exact, never as colours."""

import zlib

import numpy as np
from jaxtyping import Int, Int32

from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError

NO_LABEL = 65535
"""What ``IGNORE`` is on the way."""

HEAD = 8
LEVEL = 1  # masks shrink to a hundredth even so, and time counts more


def pack(numbers: Int[np.ndarray, "h w"]) -> bytes:
    """Rows and columns as 32 bits each, then every number as 16 bits, row by row; the lowest byte first.

    >>> pack(np.array([[1, -1]])).hex(" ", 4)
    '01000000 02000000 0100ffff'
    """
    size = np.array(numbers.shape, "<u4").tobytes()
    return size + np.where(numbers == IGNORE, NO_LABEL, numbers).astype("<u2").tobytes()


def unpack(content: bytes, size: tuple[int, int]) -> Int32[np.ndarray, "h w"]:
    """What ``pack`` wrote.

    Args:
        content: from the page.
        size: rows and columns that it must have.

    Raises:
        TagmaskError: it has another size, or is cut off.
    """
    if len(content) != HEAD + 2 * size[0] * size[1] or tuple(np.frombuffer(content, "<u4", 2)) != size:
        raise TagmaskError(
            f"expected a mask of {size[0]} x {size[1]} rows x columns, got {len(content)} bytes of something else; "
            "reload the page"
        )
    numbers = np.frombuffer(content, "<u2", offset=HEAD).reshape(size).astype(np.int32)
    return np.where(numbers == NO_LABEL, np.int32(IGNORE), numbers)


def squeezed(content: bytes) -> bytes:
    """The content as gzip, which browsers undo by themselves."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def unsqueezed(content: bytes, largest: int) -> bytes:
    """What was gzip, but never more than ``largest`` bytes of it.

    Raises:
        TagmaskError: it is larger, damaged, or no gzip.
    """
    unpacker = zlib.decompressobj(31)
    try:
        found = unpacker.decompress(content, largest)
    except zlib.error as error:
        raise TagmaskError(f"expected gzip, got something else ({error}); reload the page") from error
    if not unpacker.eof:
        raise TagmaskError(f"expected at most {largest} bytes of whole gzip, got more or less; reload the page")
    return found
