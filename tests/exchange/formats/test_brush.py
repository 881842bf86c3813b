"""Label Studio's run lengths, checked with its own decoder and encoder."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tagmask.exchange.formats import brush
from test_docs import load_script

regions = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: arrays(bool, size))


@pytest.fixture(scope="module")
def theirs():
    package = importlib.util.find_spec("label_studio_converter")
    if package is None or package.origin is None:
        pytest.skip("the group `formats` is not installed")
    return load_script(Path(package.origin).with_name("brush.py"))  # the whole package takes ten seconds


@given(regions)
def test_regions_come_back(region):
    assert np.array_equal(brush.decode(brush.encode(region), *region.shape), region)


def test_runs_longer_than_a_length_can_say():
    region = np.zeros((300, 300), bool)
    region[100:250] = True
    assert np.array_equal(brush.decode(brush.encode(region), 300, 300), region)


def test_their_decoder_reads_what_we_write(theirs):
    random = np.random.default_rng(0)
    for _ in range(20):
        region = random.random((7, 11)) < random.random()
        values = theirs.decode_rle(brush.encode(region))
        assert np.array_equal(np.reshape(values, (7, 11, 4)), np.repeat(region[..., None], 4, axis=2) * 255)


def test_we_read_what_their_encoder_writes(theirs):
    random = np.random.default_rng(1)
    for _ in range(20):
        region = random.random((7, 11)) < random.random()
        assert np.array_equal(brush.decode(theirs.mask2rle(region.astype(np.uint8) * 255), 7, 11), region)


GOOD = brush.encode(np.eye(3, dtype=bool))


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        ([], "cut off"),
        (GOOD[:-2], "cut off"),
        ([255, *GOOD[1:]], r"hold 4278190116 values of 8 bits; expected 3 x 3 x 4"),
        ([*GOOD[:4], 0, *GOOD[5:]], "values of 1 bits"),
        ([256], "are no bytes"),
        ([1.5], "are no bytes"),
        ([*GOOD[:6], 255, 255, 255, 255, 255], "more than the 36 values"),
    ],
)
def test_damaged_strokes_are_refused(packed, words):
    with pytest.raises(ValueError, match=words):
        brush.decode(packed, 3, 3)


def test_values_that_are_not_repeated():
    bits = f"{4:032b}{7:05b}" + "".join(f"{b - 1:04b}" for b in brush.KINDS) + "0" + "00" + "011"
    bits += "".join(f"{value:08b}" for value in (9, 9, 9, 200))
    packed = [int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8)]
    assert brush.decode(packed, 1, 1).tolist() == [[True]]
