"""Drawn scenes, no download: the data of the demo and of the tests, with exact masks."""

from pathlib import Path

import numpy as np
from numpy.random import Generator

from tagmask.config import ToyData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.checks import class_numbers, first_of_each_split
from tagmask.data.datasets.saliency_files import BUILT_IN
from tagmask.data.datasets.scenes import GLYPHS, Thing, draw_mask, draw_scene, place_things
from tagmask.errors import TagmaskError

NEGATIVE_EVERY = 16


class Toy(Dataset):
    """Scenes with one to three objects, one in sixteen with none.

    Each object has a small telling part, a glyph near one end, and a larger plain body whose shape and colour
    say nothing about the class. Activation maps of a classifier find the glyph; the later stages have to find the
    body. A scene is a function of the seed, the split and its index, whatever the number of scenes.

    Args:
        config: numbers of scenes and classes, size, seed.
        root: not used; there are no files.
        verify: not used; there is nothing to verify.

    Attributes:
        skipped: always empty.
        notes: always empty.

    Raises:
        TagmaskError: ``config.classes`` names a class that is not drawn, or ``config.saliency`` names a folder.
    """

    def __init__(self, config: ToyData, root: Path | None = None, verify: bool = True) -> None:  # noqa: ARG002 — every data set is opened alike
        if config.saliency not in (None, BUILT_IN):
            raise TagmaskError(
                f"data.saliency={config.saliency} names a folder, but the scenes are drawn and have no files; set "
                f"data.saliency={BUILT_IN}"
            )
        self._config = config
        self.name = "toy scenes"
        self._numbers = class_numbers(config.classes, tuple(GLYPHS)[: config.num_classes])
        self.classes = tuple(self._numbers)
        splits = ((config.train_split, config.num_train), (config.val_split, config.num_val))
        scenes = [(split, index) for split, number in splits if split for index in range(number)]
        self._scenes = {f"{split}/{index:05d}": (split == config.train_split, index) for split, index in scenes}
        records = [self._record(f"{split}/{index:05d}", split) for split, index in scenes]
        self.records = first_of_each_split(records, config.max_images)
        self.skipped: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()

    def _record(self, key: str, split: str) -> Record:
        _, things = self._scene(key)
        return Record(key, tuple(sorted({self._numbers[thing.glyph] for thing in things})), split, has_mask=True)

    def _scene(self, key: str) -> tuple[Generator, tuple[Thing, ...]]:
        training, index = self._scenes[key]
        random = np.random.default_rng([self._config.seed, int(training), index])
        return random, place_things(random, _wanted(random, index, self.classes), self._config.size)

    def image_path(self, record: Record) -> None:
        """None: the scenes are drawn in memory."""

    def read_image(self, record: Record) -> ImageArray:
        """The scene."""
        random, things = self._scene(record.id)
        return draw_scene(random, things, self._config.size)

    def read_mask(self, record: Record) -> MaskArray:
        """Its exact mask."""
        return draw_mask(self._scene(record.id)[1], self._numbers, self._config.size)


def _wanted(random: Generator, index: int, classes: tuple[str, ...]) -> list[str]:
    """Classes of a scene's objects: the first in turn, so that few scenes hold all of them; most others differ."""
    if index % NEGATIVE_EVERY == NEGATIVE_EVERY - 1:
        return []
    first = classes[index % len(classes)]
    others = [name for name in random.permutation(np.array(classes)).tolist() if name != first]
    number = int(random.choice([1, 2, 2, 3]))
    twin = [first] if random.random() < 0.15 else []
    return [first, *twin, *others][:number]
