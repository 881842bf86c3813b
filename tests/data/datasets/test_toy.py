import pickle

import numpy as np
import pytest

from tagmask.config import ToyData
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.scenes import GLYPHS
from tagmask.data.datasets.toy import Toy
from tagmask.errors import TagmaskError

SIX = ToyData(num_classes=6, num_train=120, num_val=10)


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy(SIX)


def test_numbers_and_names(toy: Toy):
    assert (len(toy.split("train")), len(toy.split("val"))) == (120, 10)
    assert toy.classes == tuple(GLYPHS)
    assert len({record.id for record in toy.records}) == 130
    assert isinstance(open_dataset(ToyData(num_train=4, num_val=1), None), Toy)


def test_a_scene_is_a_function_of_seed_split_and_index(toy: Toy):
    record = toy.records[5]
    again = Toy(SIX.model_copy(update={"num_train": 7, "num_val": 3}))
    np.testing.assert_array_equal(again.read_image(again.records[5]), toy.read_image(record))
    assert again.records[5] == record
    other = Toy(SIX.model_copy(update={"seed": 1}))
    assert (other.read_image(other.records[5]) != toy.read_image(record)).any()
    val = toy.split("val")[5]
    assert (toy.read_image(val) != toy.read_image(record)).any()
    copy = pickle.loads(pickle.dumps(toy))
    np.testing.assert_array_equal(copy.read_image(record), toy.read_image(record))


@pytest.mark.parametrize("size", [48, 112, 200])
def test_shapes(size: int):
    toy = Toy(ToyData(size=size, num_train=3, num_val=1))
    for record in toy.records:
        assert toy.read_image(record).shape == (size, size, 3)
        mask = toy.read_mask(record)
        assert mask.shape == (size, size)
        assert mask.dtype == np.int32


def test_masks_hold_exactly_the_tags(toy: Toy):
    for record in toy.records:
        assert set(np.unique(toy.read_mask(record))) == {0, *(tag + 1 for tag in record.tags)}


def test_objects_per_scene_and_negatives(toy: Toy):
    counts = [len(record.tags) for record in toy.records]
    assert counts.count(0) == 120 // 16
    assert set(counts) == {0, 1, 2, 3}
    assert all(counts.count(number) > 20 for number in (1, 2))


def test_few_scenes_hold_every_class():
    toy = Toy(ToyData(num_train=6, num_val=1, num_classes=6))
    assert {tag for record in toy.split("train") for tag in record.tags} == set(range(6))


def test_the_telling_part_is_a_small_share_of_the_object(toy: Toy):
    shares = []
    for record in toy.records:
        image, mask = toy.read_image(record), toy.read_mask(record)
        if (mask > 0).any():
            inks = np.array([GLYPHS[toy.classes[tag]].ink for tag in record.tags])
            distance = abs(image[:, :, None].astype(int) - inks).max(axis=3).min(axis=2)
            shares.append(((distance < 40) & (mask > 0)).sum() / (mask > 0).sum())
    assert 0.03 < np.mean(shares) < 0.15
    assert max(shares) < 0.2


def test_bodies_are_told_from_clutter_but_not_from_each_other(toy: Toy):
    colours: dict[int, list[np.ndarray]] = {}
    saturation: dict[bool, list[float]] = {True: [], False: []}
    for record in toy.records:
        image, mask = toy.read_image(record).astype(float), toy.read_mask(record)
        plain = image.max(axis=2) > 120  # most ink is darker than that
        for inside in (True, False):
            part = image[plain & ((mask > 0) == inside)]
            if len(part):
                saturation[inside].append(float((1 - part.min(axis=1) / part.max(axis=1)).mean()))
        for number in np.unique(mask[mask > 0]):
            colours.setdefault(int(number), []).append(image[plain & (mask == number)].mean(axis=0))
    assert np.mean(saturation[True]) > 0.5
    assert np.mean(saturation[False]) < 0.2
    means = np.array([np.mean(values, axis=0) for values in colours.values()])
    spread = np.mean([np.std(values, axis=0) for values in colours.values()])
    assert len(means) == 6
    assert np.abs(means - means.mean(axis=0)).max() < spread


def test_chosen_classes_and_their_order():
    toy = Toy(ToyData(num_train=8, num_val=2, classes=("cross", "ring")))
    first = toy.records[0]
    assert toy.classes == ("cross", "ring")
    assert 0 in first.tags
    with pytest.raises(TagmaskError, match=r"zebra.*ring"):
        Toy(ToyData(classes=("zebra",)))


def test_a_limited_number_and_no_validation():
    toy = Toy(ToyData(num_train=9, num_val=9, max_images=4))
    assert (len(toy.split("train")), len(toy.split("val"))) == (4, 4)
    assert len(Toy(ToyData(num_train=9, val_split=None)).records) == 9
    assert toy.image_path(toy.records[0]) is None


def test_scenes_have_no_folder_of_saliency_maps():
    assert Toy(ToyData(saliency="built-in")).read_saliency(Toy(SIX).records[0]) is None
    with pytest.raises(TagmaskError, match=r"data\.saliency=maps .* set data\.saliency=built-in"):
        Toy(ToyData(saliency="maps"))
