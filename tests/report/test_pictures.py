import numpy as np

from tagmask.report.pictures import Photograph

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
