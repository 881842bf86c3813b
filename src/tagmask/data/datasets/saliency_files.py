"""Saliency maps that somebody brings along: where their files lie, whether all are there, how they are read."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tagmask.config import DataConfig
from tagmask.contracts import Record
from tagmask.data.datasets.checks import Problem, Problems, existing_folder
from tagmask.data.images import read_image

BUILT_IN = "built-in"
SUFFIXES = (".png", ".jpg", ".jpeg")


def read_saliency_map(path: Path) -> Float32[np.ndarray, "h w"]:
    """Object-ness in [0, 1] of a grey or RGB picture: the mean of its channels, divided by 255.

    Raises:
        TagmaskError: the file is missing or no whole picture.
    """
    return read_image(path).mean(axis=2, dtype=np.float32) / np.float32(255)


class SaliencyFiles:
    """The folder of saliency maps of a data set, named like its images.

    Args:
        config: the data settings; without a folder in ``saliency`` no map is found.
        root: what that folder is relative to.
        flat: whether a map may also lie in the folder itself under the last part of the image's id.

    Attributes:
        folder: where the maps are; None: the data set has none of its own.

    Raises:
        TagmaskError: the folder does not exist.
    """

    def __init__(self, config: DataConfig, root: Path, flat: bool = False) -> None:
        self.folder: Path | None = None
        if config.saliency is not None and config.saliency != BUILT_IN:
            self.folder = existing_folder(root / config.saliency, "the folder of saliency maps (data.saliency)")
        self._train_split = config.train_split
        self._flat = flat

    def path(self, record: Record) -> Path | None:
        """The map's file, if there is one."""
        if self.folder is None:
            return None
        places = [self.folder / record.id, self.folder / Path(record.id).name][: 1 + self._flat]
        files = (place.with_name(place.name + suffix) for place in places for suffix in SUFFIXES)
        return next((file for file in files if file.is_file()), None)

    def read(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1] at the size of the file, if there is one."""
        path = self.path(record)
        return None if path is None else read_saliency_map(path)

    def note_missing(self, records: Iterable[Record], problems: Problems) -> None:
        """Note each training image without a map, if there is a folder of them."""
        for record in records if self.folder else ():
            if record.split == self._train_split and self.path(record) is None:
                problems.add(Problem.NO_SALIENCY, record.id)
