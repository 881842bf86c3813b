"""Map archives for tests."""

import numpy as np

from shared_runs import SIZE
from tagmask.contracts import Dataset, Record
from tagmask.system.storage import MapArchive

WHOLE = (SIZE, SIZE)


def archive(classes, maps, size=WHOLE) -> MapArchive:
    return MapArchive(np.array(classes, np.int16), np.asarray(maps, np.float32), size)


def perfect(scenes: Dataset, record: Record) -> MapArchive:
    """Maps that are 1 on the true mask."""
    classes = [tag + 1 for tag in record.tags]
    return archive(classes, scenes.read_mask(record) == np.array(classes, np.int32)[:, None, None])
