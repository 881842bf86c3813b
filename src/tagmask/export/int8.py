"""An ONNX file with numbers of 8 bits: a quarter of the size, and, on processors made for it, less time.

Static quantisation measures the range of every grid on photographs of the run; dynamic quantisation finds it anew in
every pass. Weights are rounded channel by channel, as those of depthwise convolutions differ much.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tagmask.conventions import Int8
from tagmask.export.forms import hushed
from tagmask.inference.exported import require

Calibration = Sequence[Float32[np.ndarray, "1 3 _ _"]]


def write_int8(file: Path, kind: Int8, images: Calibration) -> None:
    """Replace an ONNX file by its quantised form.

    Args:
        file: the network in 32 bits.
        kind: how the ranges of grids are found.
        images: normalised photographs that static quantisation measures them on.

    Raises:
        TagmaskError: onnxruntime is missing.
    """
    require("onnxruntime")
    from onnxruntime import quantization  # noqa: PLC0415 (optional)

    whole = file.with_name(f"float32-{file.name}")
    file.rename(whole)
    with hushed():
        if kind == "dynamic":
            quantization.quantize_dynamic(whole, file, per_channel=True, weight_type=quantization.QuantType.QUInt8)
        else:
            quantization.quantize_static(whole, file, _reader(images), per_channel=True)
    whole.unlink()


def _reader(images: Calibration) -> Any:
    """The photographs as onnxruntime asks for them: one by one, then none."""
    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415 (optional)

    class _Photographs(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[Float32[np.ndarray, "1 3 _ _"]] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride] - its end
            image = next(self._left, None)
            return None if image is None else {"images": image}

    return _Photographs()
