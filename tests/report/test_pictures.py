import numpy as np
import pytest

from tagmask.contracts import Record
from tagmask.report.pictures import Photograph, spread_evenly

IMAGE = np.full((60, 80, 3), 100, np.uint8)


def test_pictures_have_one_size_whatever_they_are_made_of() -> None:
    photograph = Photograph.of(IMAGE, 40)
    pictures = [
        photograph.alone(),
        photograph.with_map(np.eye(6, 8, dtype=np.float32), "map: cat"),
        photograph.with_mask(np.ones((60, 80), np.int32), "pseudo mask"),
    ]
    assert [picture.pixels.shape for picture in pictures] == [(30, 40, 3)] * 3
    assert [picture.caption for picture in pictures] == ["photograph", "map: cat", "pseudo mask"]


def test_small_photographs_keep_their_pixels() -> None:
    assert np.array_equal(Photograph.of(IMAGE, 500).pixels, IMAGE)


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_records_are_spread_from_the_first_to_the_last(count: int, expected: list[int]) -> None:
    records = [Record(str(i), (), "train") for i in range(5)]
    assert [int(record.id) for record in spread_evenly(records, count)] == expected
    assert spread_evenly([], count) == []
