"""TIFF files of many bands, written from the description of the format."""

import struct
import zlib
from itertools import product

import numpy as np

CODES = {"none": 1, "deflate": 8}
KINDS = {"u": 1, "i": 2, "f": 3}


def numbers(dtype: str, bands: int = 5, rows: int = 21, columns: int = 34) -> np.ndarray:
    random = np.random.default_rng(0)
    values = random.integers(0, 250, (rows, columns, bands))
    return (values / 250 if dtype.startswith("f") else values).astype(dtype)


def differences(block: np.ndarray) -> np.ndarray:
    return np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1).astype(block.dtype)


def tiff(values: np.ndarray, compression="none", predictor=1, separate=False, tile=None, order="<") -> bytes:
    """A TIFF file of many bands, written from the description of the format."""
    rows, columns, bands = values.shape
    planes = [values[:, :, [band]] for band in range(bands)] if separate else [values]
    blocks = []
    for plane in planes:
        if tile is None:
            pieces = [plane[top : top + 8] for top in range(0, rows, 8)]
        else:
            padded = np.pad(plane, ((0, -rows % tile), (0, -columns % tile), (0, 0)))
            pieces = [
                padded[top : top + tile, left : left + tile]
                for top, left in product(range(0, rows, tile), range(0, columns, tile))
            ]
        for piece in pieces:
            block = differences(piece) if predictor == 2 else piece
            raw = block.astype(block.dtype.newbyteorder(order)).tobytes()
            blocks.append(zlib.compress(raw) if compression == "deflate" else raw)
    starts = (8 + np.cumsum([0, *map(len, blocks)])[:-1]).tolist()
    where = {273: starts, 278: [8], 279: list(map(len, blocks))}
    if tile is not None:
        where = {322: [tile], 323: [tile], 324: starts, 325: list(map(len, blocks))}
    bits, kind = values.dtype.itemsize * 8, KINDS[values.dtype.kind]
    entries = {
        256: [columns], 257: [rows], 258: [bits] * bands, 259: [CODES[compression]], 262: [1], 277: [bands],
        284: [2 if separate else 1], 317: [predictor], 339: [kind] * bands, **where,
    }  # fmt: skip
    body = b"".join(blocks)
    start = 8 + len(body)
    lines, behind = [], b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, each in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(each)}L", *each)
        value = packed if len(each) == 1 else struct.pack(f"{order}L", after + len(behind))
        behind += packed if len(each) > 1 else b""
        lines.append(struct.pack(f"{order}HHL", tag, 4, len(each)) + value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", start)
    return head + body + struct.pack(f"{order}H", len(lines)) + b"".join(lines) + bytes(4) + behind
