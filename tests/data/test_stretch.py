import numpy as np
import pytest

from data.tiff_of_bands import numbers, tiff
from tagmask.config import FolderData
from tagmask.data import stretch
from tagmask.data.images import read_image
from tagmask.data.stretch import Stretch, between, eight_bits, percentiles_of, stretch_of


def test_integers_are_taken_as_all_of_16_bits_unless_something_else_is_chosen():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    np.testing.assert_array_equal(eight_bits(every), (every / 257.0).round())
    signed = np.array([[[-5], [257], [32767]]], np.int16)
    assert eight_bits(signed).ravel().tolist() == [0, 1, 127]


@pytest.mark.parametrize(("values", "expected"), [([0.0, 0.2, 1.0], [0, 51, 255]), ([0.0, 51.0, 300.0], [0, 51, 255])])
def test_floats_are_taken_as_0_to_1_or_as_0_to_255(values, expected):
    assert eight_bits(np.array(values, np.float32).reshape(1, 3, 1)).ravel().tolist() == expected


def test_what_is_no_number_becomes_black_and_infinities_black_or_white():
    odd = np.array([[[np.nan], [np.inf], [-np.inf], [-3.4e38], [1.0]]], np.float32)
    assert between(odd, np.array([[0.0, 2.0]])).ravel().tolist() == [0, 255, 0, 0, 128]


def test_8_bits_are_left_as_they_are():
    small = np.array([[[1], [200]]], np.uint8)
    assert eight_bits(small, Stretch(percentiles=(2, 98))) is small


def test_each_band_has_its_own_percentiles():
    ramp = np.arange(101, dtype=np.uint16)
    bands = np.stack([ramp, 1000 + 10 * ramp], axis=1)[None]
    assert percentiles_of([bands], (1, 101), (10, 90)).tolist() == [[10, 90], [1100, 1900]]
    found = eight_bits(bands, Stretch(percentiles=(10, 90)))
    for band in (0, 1):
        assert found[0, [0, 10, 26, 90, 100], band].tolist() == [0, 0, 51, 255, 255]


def test_a_band_of_one_number_and_one_of_none_are_no_trouble():
    flat = np.full((2, 2, 1), 7, np.uint16)
    assert not eight_bits(flat, Stretch(percentiles=(2, 98))).any()
    assert not eight_bits(np.full((2, 2, 1), np.nan, np.float32), Stretch(percentiles=(2, 98))).any()


@pytest.mark.parametrize("height", [1, 3, 7, 40])
def test_strips_give_the_percentiles_of_the_whole(height, monkeypatch):
    monkeypatch.setattr(stretch, "SAMPLED", 100)  # every fourth row and column
    whole = np.random.default_rng(0).integers(0, 5000, (40, 33, 2)).astype(np.uint16)
    expected = np.percentile(whole[::4, ::4].reshape(-1, 2), (2, 98), axis=0).T
    strips = (whole[top : top + height] for top in range(0, 40, height))
    np.testing.assert_allclose(percentiles_of(strips, (40, 33), (2, 98)), expected)


def test_fixed_limits_hold_for_all_bands_or_for_each():
    pixel = np.array([[[40, 40, 40]]], np.uint16)
    assert eight_bits(pixel, Stretch(values=((0, 100),))).tolist() == [[[102, 102, 102]]]
    assert eight_bits(pixel, Stretch(values=((0, 40), (40, 100), (0, 200)))).tolist() == [[[255, 0, 51]]]


def test_settings_say_how():
    assert stretch_of(FolderData()) == Stretch()
    assert stretch_of(FolderData(stretch=(2, 98))) == Stretch((2, 98))
    assert stretch_of(FolderData(stretch_values=(0, 3000))) == Stretch(None, ((0, 3000),))
    three = ((0, 1), (0, 2), (0, 3))
    assert stretch_of(FolderData(stretch_values=three)) == Stretch(None, three)


def test_files_are_read_with_it(tmp_path):
    values = numbers("uint16")  # 0 to 249
    (tmp_path / "a.tif").write_bytes(tiff(values))
    assert read_image(tmp_path / "a.tif", (0, 1, 2)).max() == 1
    found = read_image(tmp_path / "a.tif", (0, 1, 2), Stretch(values=((0, 255),)))
    np.testing.assert_array_equal(found, values[:, :, :3])
