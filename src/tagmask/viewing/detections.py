"""Masks for supervision, the package that counts, crops and draws detections."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tagmask.contracts import MaskArray
from tagmask.conventions import BACKGROUND
from tagmask.exchange.items import box, parts, regions
from tagmask.system.extras import require

if TYPE_CHECKING:
    from supervision import Detections  # pyright: ignore[reportMissingImports] (optional)


def detections(mask: MaskArray, classes: Sequence[str]) -> "Detections":
    """A detection for each part of a class that hangs together, as in COCO exports; the rest is left out.

    ``class_id`` counts from 0 as ``classes`` does, so mask value i + 1 is i; ``data["class_name"]`` holds names,
    ``mask`` is True inside the part, ``xyxy`` holds its left, top, right and bottom sides in pixels.

    Args:
        mask: 0 background, class i as i + 1, -1 without label.
        classes: without background.

    Raises:
        TagmaskError: supervision is not installed.
    """
    require("supervision", "supervision")
    from supervision import Detections  # noqa: PLC0415 - not everybody has it  # pyright: ignore[reportMissingImports]

    found = [(number, part) for number in regions(mask) if number > BACKGROUND for part in parts(mask, number)]
    ids = [number - 1 for number, _ in found]
    return Detections(
        xyxy=np.array([box(part) for _, part in found], np.float32).reshape(-1, 4),
        mask=np.array([part for _, part in found], bool).reshape(-1, *mask.shape),
        class_id=np.array(ids, int),
        data={"class_name": np.array([classes[i] for i in ids], str)},
    )
