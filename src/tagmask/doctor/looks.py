"""One look at every image: its size, its content, and a small grey copy to compare it by."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tagmask.contracts import Dataset, Record
from tagmask.data.images import read_small
from tagmask.errors import TagmaskError
from tagmask.system.progress import track
from tagmask.system.workers import in_order

SIDE = 32
"""Pixels a side of the grey copies: enough to tell photographs apart, few enough for any number of them."""

CHUNK = 32
"""Images that a worker looks at before it answers; one by one, the answers would cost as much as the looks."""


@dataclass(frozen=True)
class Look:
    """What was seen of one image.

    Attributes:
        id: of the image.
        size: rows and columns; None: it cannot be read.
        content: the same for files of the same bytes alone.
        copy: small and grey; None: it cannot be read.
        problem: why it cannot be read, else empty.
    """

    id: str
    size: tuple[int, int] | None
    content: bytes
    copy: UInt8[np.ndarray, "32 32"] | None
    problem: str = ""


def look_at_images(dataset: Dataset, records: Sequence[Record], workers: int | None = None) -> list[Look]:
    """Look at every image, several at once; those that cannot be read are no error.

    Args:
        dataset: where the images are.
        records: those to look at.
        workers: processes; None: one a core, none beside this one on a single core.
    """
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]
    answers = in_order(partial(_look_at_all, dataset), chunks, num_workers() if workers is None else workers)
    looks = (look for chunk in answers for look in chunk)
    return list(track(looks, "looking at images", len(records)))


def num_workers() -> int:
    """Processes that help: as many as there are cores for us, none where there is only one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores > 1 else 0


def _look_at_all(dataset: Dataset, records: Sequence[Record]) -> list[Look]:
    return [look_at(dataset, record) for record in records]


def look_at(dataset: Dataset, record: Record) -> Look:
    """Look at one image."""
    path = dataset.image_path(record)
    try:
        if path is None:
            pixels = dataset.read_image(record)
            size, content = (pixels.shape[0], pixels.shape[1]), pixels.tobytes()
        else:
            pixels, size = read_small(path, SIDE)
            content = path.read_bytes()
    except (TagmaskError, OSError) as error:
        return Look(record.id, None, b"", None, str(error))
    return Look(record.id, size, hashlib.blake2b(content, digest_size=16).digest(), grey_copy(pixels))


def grey_copy(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "32 32"]:
    """The image in grey, squeezed into a square of ``SIDE`` pixels."""
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def unread(looks: Sequence[Look]) -> Iterator[Look]:
    """Those that cannot be read."""
    return (look for look in looks if look.size is None)
