"""What FiftyOne reads as ``ImageSegmentationDirectory``: photographs, PNG masks, and what their numbers mean.

``data/<name>`` photographs · ``labels/<name>.png`` 0 background, class i as i + 1, 255 no label · ``mask_targets.json``
the name of each number, which FiftyOne takes as the data set's ``default_mask_targets``.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from tagmask.data.images import write_mask
from tagmask.exchange.items import (
    NO_LABEL,
    Arrivals,
    Parcel,
    class_numbers,
    existing,
    names_of_numbers,
    numbered_masks,
)
from tagmask.system.storage import read_json_as, write_json

TARGETS = "mask_targets.json"
_TARGETS = TypeAdapter(dict[int, str])


def write(parcel: Parcel) -> list[str]:
    """Write masks and what their numbers mean; nothing is lost."""
    parcel.check_classes("fiftyone")
    for item, mask in parcel.masks():
        write_mask(parcel.folder / "labels" / f"{item.name}.png", mask, NO_LABEL, len(parcel.classes))
    targets = {str(number): name for number, name in names_of_numbers(parcel.classes).items()}
    write_json(parcel.folder / TARGETS, targets)
    return []


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks below ``labels/``.

    Raises:
        TagmaskError: they or ``mask_targets.json`` are missing, or a class is unknown.
    """
    path = existing(folder / TARGETS, 'write what the numbers mean there, as {"0": "background", "1": "cat"}')
    names = read_json_as(path, _TARGETS.validate_python, 'expected {"0": "background", "1": "cat"}')
    numbers = class_numbers(names, classes, path)
    return Arrivals(numbered_masks(existing(folder / "labels", "expected the masks there, one PNG an image"), numbers))
