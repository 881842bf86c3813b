import pickle

import numpy as np
import pytest
from PIL import Image

from tagmask.config import FolderData, ToyData
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.bounded import Bounded

SCENES = open_dataset(ToyData(num_train=3, num_val=1, size=64), None)
RECORD = next(record for record in SCENES.records if record.tags)


def test_larger_images_and_their_masks_shrink_together_and_keep_their_form():
    half = Bounded(SCENES, 32)
    image, mask = half.read_image(RECORD), half.read_mask(RECORD)
    assert image.shape == (32, 32, 3)
    assert np.array_equal(mask, SCENES.read_mask(RECORD)[1::2, 1::2])  # the pixel at (2 i + 1), nearest to its centre
    blocks = SCENES.read_image(RECORD).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(image - blocks).mean() < 6  # antialiased, not picked


def test_images_that_are_small_enough_stay_as_they_are():
    same = Bounded(SCENES, 64)
    assert np.array_equal(same.read_image(RECORD), SCENES.read_image(RECORD))
    assert np.array_equal(same.read_mask(RECORD), SCENES.read_mask(RECORD))
    assert same.notes == SCENES.notes


def test_everything_else_is_the_data_sets_own():
    bounded = pickle.loads(pickle.dumps(Bounded(SCENES, 32)))
    for name in ("name", "classes", "records", "skipped", "score_ids"):
        assert getattr(bounded, name) == getattr(SCENES, name)


@pytest.fixture
def photos(tmp_path):
    for name, size in {"a": (3000, 2000), "b": (40, 2500), "c": (64, 48), "d": (640, 480)}.items():
        Image.new("RGB", size, (90, 120, 30)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\nd.jpg,dog\n")
    return tmp_path


def test_photographs_of_a_folder_are_bounded_unless_told_otherwise(photos):
    dataset = open_dataset(FolderData(val_fraction=0), photos)
    sizes = {record.id: dataset.read_image(record).shape[:2] for record in dataset.records}
    assert sizes == {"a": (683, 1024), "b": (1024, 16), "c": (48, 64), "d": (480, 640)}
    assert any(note.startswith("2 of 4 images are larger than 1024 pixels a side") for note in dataset.notes)
    whole = open_dataset(FolderData(val_fraction=0, largest_side=None), photos)
    assert whole.read_image(whole.records[0]).shape == (2000, 3000, 3)
