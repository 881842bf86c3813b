"""Ultralytics' semantic segmentation: photographs and masks in folders side by side, a class number a pixel.

``images/<split>/<name>`` photographs · ``masks/<split>/<name>.png`` 0 background, class i as i + 1, 255 no label ·
``data.yaml`` with ``masks_dir: masks`` and the names.
"""

from collections.abc import Sequence
from pathlib import Path

from tagmask.data.images import write_mask
from tagmask.exchange.formats.data_yaml import read_names, write_data_yaml
from tagmask.exchange.items import (
    BACKGROUND_NAME,
    NO_LABEL,
    Arrivals,
    Parcel,
    class_numbers,
    existing,
    numbered_masks,
    unlabelled_name,
)


def write(parcel: Parcel) -> list[str]:
    """Write masks and ``data.yaml``; nothing is lost."""
    parcel.check_classes("ultralytics-semantic")
    for item, mask in parcel.masks():
        path = parcel.folder / "masks" / item.split / f"{item.name}.png"
        write_mask(path, mask, NO_LABEL, len(parcel.classes))
    write_data_yaml(parcel, dict(enumerate((BACKGROUND_NAME, *parcel.classes))), masks_dir="masks")
    return []


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks below ``masks/``.

    Raises:
        TagmaskError: they or ``data.yaml`` are missing, or a class is unknown.
    """
    names = read_names(folder) | {NO_LABEL: unlabelled_name(classes)}
    numbers = class_numbers(names, classes, folder / "data.yaml")
    return Arrivals(numbered_masks(existing(folder / "masks", "expected the masks there, one PNG an image"), numbers))
