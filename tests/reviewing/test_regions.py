import numpy as np
import pytest
from scipy.ndimage import label

from tagmask.reviewing import regions
from tagmask.reviewing.regions import superpixels


def square(side=60):
    """A bright square, off the grid, on noise."""
    image = np.random.default_rng(0).integers(20, 60, (side, side, 3)).astype(np.uint8)
    image[13:38, 17:44] = (200, 180, 40)
    return image


def test_every_region_is_connected_and_numbered():
    found = superpixels(square(), 6)
    assert found.shape == (60, 60)
    assert set(np.unique(found)) == set(range(36))
    assert all(label(found == region)[1] == 1 for region in range(36))


def test_regions_end_where_the_look_changes():
    found, inside = superpixels(square(), 6), np.zeros((60, 60), bool)
    inside[13:38, 17:44] = True
    mixed = sum(min(((found == region) & inside).sum(), ((found == region) & ~inside).sum()) for region in range(36))
    assert mixed / inside.sum() < 0.03


def test_flat_images_are_cut_into_a_grid():
    found = superpixels(np.full((40, 80, 3), 9, np.uint8), 8)
    assert found.max() + 1 == 4 * 8
    assert np.bincount(found.ravel()).max() < 2 * 100


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 300)])
def test_tiny_and_narrow_images_have_regions_too(size):
    assert superpixels(np.zeros((*size, 3), np.uint8), 45).shape == size


def test_large_images_are_divided_at_a_smaller_size(monkeypatch):
    monkeypatch.setattr(regions, "LARGEST", 30)
    found = superpixels(square(), 6)
    assert found.shape == (60, 60)
    assert (found[::2, ::2] == found[1::2, 1::2]).all()


def test_colours_are_those_of_cielab():
    from PIL import Image  # noqa: PLC0415

    image = Image.fromarray(np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8))
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2]]
    assert regions._lab(image)[0] == pytest.approx(np.array(expected), abs=0.1)
