"""Map archives for tests, and the settings that masks of them are made by."""

import numpy as np

from shared_runs import SIZE
from tagmask.config import BackgroundConfig, CrfConfig
from tagmask.contracts import Dataset, Record
from tagmask.system.storage import MapArchive

WHOLE = (SIZE, SIZE)
POWER = BackgroundConfig(rule="power", value=2)
THRESHOLD = BackgroundConfig(rule="threshold", value=0.3)
NONE = BackgroundConfig(rule="none")
NO_CRF = CrfConfig(iterations=0, unary="hard")


def archive(classes, maps, size=WHOLE) -> MapArchive:
    return MapArchive(np.array(classes, np.int16), np.asarray(maps, np.float32), size)


def perfect(scenes: Dataset, record: Record) -> MapArchive:
    """Maps that are 1 on the true mask."""
    classes = [tag + 1 for tag in record.tags]
    return archive(classes, scenes.read_mask(record) == np.array(classes, np.int32)[:, None, None])
