import numpy as np
import pytest
import torch

from tagmask.choosing.object_size import spread_over_classes, try_poolings
from tagmask.contracts import Backbone, Dataset, Level, Normalization, Record


class Raw(Backbone):
    """The brightness of every pixel, three times over."""

    levels = (Level(3, 1),) * 3
    normalization = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def forward_levels(self, images):
        return [images] * 3

    def stages(self):
        return [[]]


class Spots(Dataset):
    """Grey noise; images with the tag have one white pixel (small), or are brighter all over (large)."""

    name, classes = "spots", ("thing",)

    def __init__(self, small: bool):
        self.small = small
        self.records = tuple(Record(str(i), (0,) if i % 2 else (), "train") for i in range(60))

    def read_image(self, record):
        random = np.random.default_rng(int(record.id))
        image = random.integers(60, 120, (48, 48, 3)).astype(np.uint8)
        if record.tags and self.small:
            image[tuple(random.integers(8, 40, 2))] = 255
        elif record.tags:
            image = image + 6
        return image

    def read_mask(self, record):
        return None

    def image_path(self, record):
        return None


@pytest.mark.parametrize("small", [True, False])
def test_the_maximum_tells_small_things_and_the_mean_what_fills_an_image(small):
    torch.manual_seed(0)
    data = Spots(small)
    trial = try_poolings(data, data.records, Raw().eval())
    assert (trial.by_maximum > trial.by_mean) == small
    low, high = trial.lead_between
    assert (low > 0) == small
    assert low <= trial.by_maximum - trial.by_mean <= high


def test_without_images_enough_nothing_is_said():
    data = Spots(small=True)
    trial = try_poolings(data, data.records[:8], Raw().eval())
    assert trial.lead_between is None


def test_images_are_spread_over_classes_and_over_the_list():
    records = [Record(str(i), ((0,), (0, 1), ())[i % 3], "train") for i in range(300)]
    chosen = spread_over_classes(records, 2, number=4)
    assert sum(1 in record.tags for record in chosen) >= 4
    assert sum(not record.tags for record in chosen) == 4
    assert [r.id for r in chosen if not r.tags] == ["2", "77", "152", "227"]
    assert len({record.id for record in chosen}) == len(chosen)
