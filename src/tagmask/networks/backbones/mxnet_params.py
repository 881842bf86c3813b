"""Reader of MXNet ``.params`` files, without MXNet.

The file is a flat little-endian list::

    u64 0x112 · u64 0 · u64 number of arrays
    per array   V2      u32 0xF993FAC9 · i32 storage type · u32 ndim · i64 dims · device · data
                V1      u32 0xF993FAC8 · u32 ndim · i64 dims · device · data
                legacy  u32 ndim · u32 dims · device · data
                device  i32 type · i32 id        data  i32 dtype · raw values
    u64 number of names, per name u64 length · UTF-8 bytes

An array of no dimensions ends after its shape. Every length is compared with what the file still holds before anything
is read, so a damaged file cannot ask for memory it does not occupy itself.
"""

import math
from pathlib import Path
from typing import NoReturn

import numpy as np

from tagmask.errors import TagmaskError

FILE_MAGIC = 0x112
V1_MAGIC = 0xF993FAC8
V2_MAGIC = 0xF993FAC9
DTYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")
_DENSE = 0
_MAX_NDIM = 32


class _Cursor:
    """A position in the bytes of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = memoryview(path.read_bytes())
        self.position = 0

    def refuse(self, reason: str) -> NoReturn:
        raise TagmaskError(
            f"{self.path} is no readable MXNet .params file: {reason} (near byte {self.position} of {len(self.data)}); "
            "download it again or give a .pth or .safetensors file."
        )

    def bytes(self, length: int) -> memoryview:
        left = len(self.data) - self.position
        if length > left:
            self.refuse(f"{length} bytes announced, {left} left")
        self.position += length
        return self.data[self.position - length : self.position]

    def integer(self, dtype: str) -> int:
        return int(np.frombuffer(self.bytes(np.dtype(dtype).itemsize), dtype)[0])

    def expect(self, dtype: str, value: int, what: str) -> None:
        found = self.integer(dtype)
        if found != value:
            self.refuse(f"{what} is {found:#x}, expected {value:#x}")


def read_mxnet_params(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by name, as stored (``arg:`` and ``aux:`` prefixes included), read-only.

    Raises:
        TagmaskError: missing, truncated or foreign file, sparse arrays, unnamed arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise TagmaskError(f"no weights file at {path}; give the path of an existing .params file.")
    cursor = _Cursor(path)
    cursor.expect("<u8", FILE_MAGIC, "the file's magic number")
    cursor.integer("<u8")  # reserved
    arrays = [_read_array(cursor) for _ in range(cursor.integer("<u8"))]
    cursor.expect("<u8", len(arrays), "the number of names")
    names = [_read_name(cursor) for _ in arrays]
    if cursor.position != len(cursor.data):
        cursor.refuse(f"{len(cursor.data) - cursor.position} bytes too many")
    if len(set(names)) != len(names):
        cursor.refuse("a name occurs twice")
    return dict(zip(names, arrays, strict=True))


def _read_array(cursor: _Cursor) -> np.ndarray:
    shape = _read_shape(cursor)
    if not shape:
        return np.zeros(0, np.float32)
    cursor.bytes(8)  # the device the array lived on
    flag = cursor.integer("<i4")
    if not 0 <= flag < len(DTYPES):
        cursor.refuse(f"unknown dtype number {flag}")
    dtype = np.dtype(DTYPES[flag])
    values = np.frombuffer(cursor.bytes(math.prod(shape) * dtype.itemsize), dtype)
    try:
        return values.reshape(shape)
    except ValueError:  # without elements, but of more than numpy can count in the other dimensions
        cursor.refuse(f"impossible shape {shape}")


def _read_shape(cursor: _Cursor) -> tuple[int, ...]:
    """Dimensions of the next array, in whichever of the three forms."""
    first = cursor.integer("<u4")
    if first == V2_MAGIC:
        cursor.expect("<i4", _DENSE, "the storage type")
    modern = first in (V1_MAGIC, V2_MAGIC)
    ndim = cursor.integer("<u4") if modern else first
    if ndim > _MAX_NDIM:
        cursor.refuse(f"unknown array form or dimension count {ndim:#x}")
    shape = tuple(cursor.integer("<i8" if modern else "<u4") for _ in range(ndim))
    if any(size < 0 for size in shape):
        cursor.refuse(f"negative size in shape {shape}")
    return shape


def _read_name(cursor: _Cursor) -> str:
    raw = bytes(cursor.bytes(cursor.integer("<u8")))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        cursor.refuse("a name is not UTF-8")
