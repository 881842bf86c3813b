import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from tagmask.masks.outlines import FACTORS, best_factor, outline_contrast, steepness


def scene(seed: int = 0):
    """A bright ellipse on a darker ground with noise, and where it is."""
    rows, columns = np.mgrid[:72, :96]
    truth = ((rows - 36) / 20) ** 2 + ((columns - 50) / 28) ** 2 < 1
    noise = np.random.default_rng(seed).normal(0, 6, (72, 96))
    grey = 90 + 60 * gaussian_filter(truth.astype(float), 1) + noise
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), truth


@pytest.mark.parametrize("seed", range(4))
def test_the_outline_of_the_object_has_more_contrast_than_any_other(seed):
    image, truth = scene(seed)
    steep = steepness(image)
    best = outline_contrast(steep, truth)
    for pixels in (3, 6, 10):
        assert best > 1.2 * outline_contrast(steep, binary_dilation(truth, iterations=pixels))
        assert best > 1.2 * outline_contrast(steep, binary_erosion(truth, iterations=pixels))


def test_what_has_no_outline_has_no_contrast():
    image, _ = scene()
    steep = steepness(image)
    for mask in (np.zeros((72, 96), bool), np.ones((72, 96), bool)):
        assert outline_contrast(steep, mask) == 0
    assert outline_contrast(np.zeros((72, 96), np.float32), scene()[1]) == 0


def test_the_border_of_the_image_is_no_outline():
    steep = np.zeros((20, 20), np.float32)
    steep[:, 9] = 1
    half = np.zeros((20, 20), bool)
    half[:, :10] = True
    assert outline_contrast(steep, half) == pytest.approx(20 / 20 / (20 / (14 * 20)))


def test_brightness_alone_counts_and_not_its_level():
    image, _ = scene()
    np.testing.assert_allclose(steepness(image + np.uint8(20)), steepness(image), atol=1e-3)
    assert steepness(image).dtype == np.float32


def test_the_best_factor_is_that_of_the_largest_mean_and_1_where_nothing_has_contrast():
    peak = FACTORS.index(1.0) + 2
    rising = [-abs(step - peak) + 20.0 for step in range(len(FACTORS))]
    assert best_factor([rising, rising]) == FACTORS[peak]
    assert best_factor([[0.0] * len(FACTORS)]) == 1
    blunt = [*rising]
    blunt[peak - 1] = blunt[peak] - 0.1  # hardly less, and not in every image
    assert best_factor([blunt, rising]) == FACTORS[peak]
    more = [*rising]
    more[peak - 1] = rising[peak] + 0.9
    assert best_factor([more, rising]) == FACTORS[peak - 1]  # 0.05 behind on average, which is less than its error
    one, other = [*rising], [*rising]
    one[0], other[0] = rising[peak] - 0.02, rising[peak] + 0.01
    assert best_factor([one, other]) == FACTORS[peak]  # as good, but beyond factors that are worse
