import numpy as np

from doctor.invented import Invented, census, dataset
from tagmask.contracts import Record
from tagmask.doctor.census import Pair, companions, tag_matrix, take_census

TRAINING = [(0,), (0, 1), (0, 1), (2,), ()]
VALIDATION = [(1,), ()]


def test_images_are_counted_by_class_and_split():
    found = census(["cat", "dog", "cow"], TRAINING, VALIDATION)
    assert found.images == {"train": 5, "val": 2}
    assert found.untagged == {"train": 1, "val": 1}
    assert found.counts == {"train": (3, 2, 1), "val": (0, 1, 0)}
    assert found.masks == {"train": 0, "val": 0}
    assert (found.training_images, found.validation_images) == (5, 2)
    assert found.training_counts == (3, 2, 1)
    assert found.validation_counts == (0, 1, 0)
    assert found.together.tolist() == [[3, 2, 0], [2, 2, 0], [0, 0, 1]]


def test_other_splits_come_last_and_missing_ones_have_no_images():
    found = take_census(dataset(["cat"], [(0,)], [(0,)]), "val", None)
    assert list(found.images) == ["val", "train"]
    assert (found.validation_images, found.validation_counts) == (0, (0,))
    empty = take_census(dataset(["cat"], [(0,)]), "other", "val")
    assert (empty.training_images, empty.training_counts, empty.validation_counts) == (0, (0,), (0,))


def test_images_with_a_mask_are_counted():
    images = [Record("a", (0,), "train", True), Record("b", (0,), "train"), Record("c", (0,), "val", True)]
    assert take_census(Invented(["cat"], images), "train", "val").masks == {"train": 1, "val": 1}


def test_tags_become_a_table_of_truths():
    assert tag_matrix(dataset(["a", "b"], [(1,), (), (0, 1)]).records, 2).tolist() == [
        [False, True],
        [False, False],
        [True, True],
    ]


def test_companions_are_mutual_or_bound_to_a_larger_class():
    # a and b on the same 20 images but one; c on 5 images, all of a; d on 2 images of a: too few to say.
    together = np.diag([20, 20, 5, 2])
    together[0, 1] = together[1, 0] = 19
    together[0, 2] = together[2, 0] = 5
    together[0, 3] = together[3, 0] = 2
    mutual, within = companions(together, 0.95, 5)
    assert mutual == [Pair(0, 1, 19)]
    assert within == [Pair(2, 0, 5)]
    assert companions(together, 0.96, 5) == ([], [Pair(2, 0, 5)])
    assert companions(together, 0.95, 2)[1] == [Pair(2, 0, 5), Pair(3, 0, 2)]
