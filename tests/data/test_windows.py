import numpy as np

from tagmask.data.windows import InMemory


def test_parts_of_pixels_in_memory():
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    source = InMemory(pixels)
    assert source.size == (5, 7)
    np.testing.assert_array_equal(source.read((1, 4), (2, 7)), pixels[1:4, 2:7])
    assert source.known((1, 4), (2, 7)) is None


def test_an_overview_is_antialiased():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, ::2] = 200
    assert abs(InMemory(pixels).overview((2, 2)).astype(int) - 100).max() < 20
