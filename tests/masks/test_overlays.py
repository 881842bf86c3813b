import base64
import io

import numpy as np
import pytest
from PIL import Image

from tagmask.data.images import palette
from tagmask.masks.overlays import (
    class_colors,
    data_uri,
    heat_colors,
    overlay_map,
    overlay_mask,
    scale_map,
    shrink_image,
    shrink_mask,
    thumbnail_size,
)
from tagmask.masks.scores import IGNORE

GREY = np.full((12, 16, 3), 100, np.uint8)


def luminance(colors: np.ndarray) -> np.ndarray:
    linear = (colors / 255.0) ** 2.2
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_heat_grows_lighter_all_the_way() -> None:
    assert (np.diff(luminance(heat_colors())) > -2e-3).all()
    assert (np.diff(luminance(heat_colors())[::16]) > 0).all()
    assert luminance(heat_colors())[[0, 255]] == pytest.approx([0.0, 0.9], abs=0.1)


def test_map_overlay_shows_more_where_the_map_is_larger() -> None:
    values = np.zeros((12, 16), np.float32)
    values[:, 8:] = [0.5, 0.7, 0.8, 0.9, 1.0, 1.0, 2.0, 9.0]
    shown = luminance(overlay_map(GREY, values))
    assert (shown[:, 15] == shown[:, 13]).all()
    assert (np.diff(shown[0, [0, 8, 9, 10, 11, 12]]) > 0).all()


def test_mask_overlay_colours_classes_and_leaves_the_background_grey() -> None:
    mask = np.zeros((12, 16), np.int32)
    mask[3:9, 4:12] = 2
    mask[10:] = IGNORE
    shown = overlay_mask(GREY, mask)
    assert (shown[0, 0] == shown[0, 0, 0]).all()
    assert shown[5, 7, 1] > shown[5, 7, 0]
    assert shown[3, 4].tolist() == palette()[2].tolist()
    assert len(np.unique(shown[10:], axis=None)) > 1


def test_every_pixel_is_its_class_over_the_faded_grey_of_its_photograph() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (40, 31, 3), dtype=np.uint8)
    mask = random.choice([IGNORE, 0, 1, 2, 255, 256, 700], (40, 31)).astype(np.int32)
    mask[10:30, 5:25] = 7
    shown = overlay_mask(image, mask)
    for row, column in np.ndindex(mask.shape):
        beside = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        others = [mask[r, c] for r, c in beside if 0 <= r < 40 and 0 <= c < 31]
        opacity = (
            0.0 if mask[row, column] <= 0 else 0.62 if all(other == mask[row, column] for other in others) else 1.0
        )
        faded = int(90 + 0.55 * int(image[row, column].mean()))
        expected = np.round(faded * (1 - opacity) + class_colors(mask)[row, column] * opacity)
        if mask[row, column] == IGNORE and (row + column) % 8 < 3:
            expected = np.full(3, 240)
        assert shown[row, column].tolist() == expected.tolist(), (row, column)


def test_colours_are_those_of_the_mask_files_and_repeat_beyond_them() -> None:
    assert class_colors(np.array([0, 1, 255, 256, 511])).tolist() == palette()[[0, 1, 255, 1, 1]].tolist()
    assert class_colors(np.array([IGNORE])).tolist() == palette()[[0]].tolist()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (375, 500), (5000, 3)])
def test_thumbnails_fit_and_are_never_empty(size: tuple[int, int]) -> None:
    rows, columns = thumbnail_size(size, 240)
    assert 1 <= rows <= 240
    assert 1 <= columns <= 240


def test_shrinking_keeps_classes_and_places() -> None:
    mask = np.zeros((8, 8), np.int32)
    mask[:4, :4], mask[4:, 4:] = 7, IGNORE
    assert shrink_mask(mask, (2, 2)).tolist() == [[7, 0], [0, IGNORE]]
    assert shrink_image(GREY, (3, 4)).shape == (3, 4, 3)


def test_maps_are_scaled_to_their_own_largest_value() -> None:
    assert scale_map(np.array([[0.0, 0.25]], np.float32), (1, 2)).tolist() == [[0.0, 1.0]]
    assert not scale_map(np.zeros((2, 2), np.float16), (5, 3)).any()


def test_data_uri_holds_the_picture() -> None:
    header, data = data_uri(GREY).split(",")
    assert header == "data:image/jpeg;base64"
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).shape == GREY.shape
