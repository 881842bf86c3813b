"""A writer of MXNet ``.params`` files in all three forms, for what the reader has to read."""

import struct

import numpy as np

from tagmask.networks.backbones.mxnet_params import DTYPES, V1_MAGIC, V2_MAGIC


def params_array(array: np.ndarray, form: str) -> bytes:
    head = {"V2": struct.pack("<Ii", V2_MAGIC, 0), "V1": struct.pack("<I", V1_MAGIC), "legacy": b""}[form]
    dims = struct.pack(f"<I{array.ndim}{'I' if form == 'legacy' else 'q'}", array.ndim, *array.shape)
    if not array.ndim:
        return head + dims
    flag = [np.dtype(d) for d in DTYPES].index(array.dtype)
    return head + dims + struct.pack("<iii", 1, 0, flag) + array.tobytes()


def params_file(arrays: dict[str, np.ndarray], form: str) -> bytes:
    names = b"".join(struct.pack("<Q", len(n.encode())) + n.encode() for n in arrays)
    body = b"".join(params_array(a, form) for a in arrays.values())
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + body + struct.pack("<Q", len(arrays)) + names
