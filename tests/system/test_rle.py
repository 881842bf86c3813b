import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.system.rle import (
    decode_counts,
    encode_counts,
    pixel_runs,
    polygon_pixels,
    region_parts,
    region_pixels,
    run_pixels,
)


def test_compressed_counts_by_hand():
    assert decode_counts("") == []
    assert decode_counts("5") == [5]
    assert decode_counts("`0") == [16]  # 16 needs a second piece, or its top bit would be a sign
    assert decode_counts("PP1") == [1 << 10]
    assert decode_counts("52203") == [5, 2, 2, 2, 5]
    assert decode_counts("522O") == [5, 2, 2, 1]  # the last is one less than the number two before


@given(st.lists(st.integers(0, 2**40), max_size=12))
def test_compressed_counts_return(counts: list[int]):
    assert decode_counts(encode_counts(counts)) == counts


@pytest.mark.parametrize("text", ["P", "5\n", "é", "o" * 40])
def test_damaged_counts_are_refused(text: str):
    with pytest.raises(ValueError, match="run lengths"):
        decode_counts(text)


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_runs_return(height: int, width: int, data: st.DataObject):
    flat = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)))
    pixels = flat.reshape(width, height).T
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int)))
    counts = np.diff([0, *changes, height * width]).tolist()
    np.testing.assert_array_equal(run_pixels(counts, height, width), pixels)
    compressed = {"size": [height, width], "counts": encode_counts(counts)}
    np.testing.assert_array_equal(region_pixels(compressed, height, width), pixels)


def test_polygons_by_hand():
    triangle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    # centres with x + y < 4; those on the right edge are outside
    assert polygon_pixels(triangle, 4, 4).astype(int).tolist() == [
        [1, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_a_polygon_over_the_border_is_cut():
    far = np.array([[-10.0, -10.0], [2.0, -10.0], [2.0, 20.0], [-10.0, 20.0]])
    assert polygon_pixels(far, 3, 4).astype(int).tolist() == [[1, 1, 0, 0]] * 3


@given(st.integers(3, 9), st.integers(0, 10**6))
def test_polygon_pixels_are_those_whose_centre_is_inside(corners: int, seed: int):
    points = np.random.default_rng(seed).uniform(-2, 12, (corners, 2))
    pixels = polygon_pixels(points, 10, 11)
    for row in range(10):
        for column in range(11):
            assert pixels[row, column] == inside(points, column + 0.5, row + 0.5)


def inside(points: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule, one edge at a time."""
    odd = False
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            odd = not odd
    return odd


def test_regions_of_several_polygons_and_of_none():
    two = [[0, 0, 1, 0, 1, 1, 0, 1], [2, 1, 3, 1, 3, 2, 2, 2], [0, 0, 1, 1]]
    assert region_pixels(two, 2, 3).astype(int).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert not region_pixels([], 2, 3).any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools predates numpy 2
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.integers(0, 10**6))
def test_pixels_survive_run_lengths_and_their_text(rows, columns, share, seed):
    pixels = np.random.default_rng(seed).random((rows, columns)) < share
    runs = pixel_runs(pixels)
    text = encode_counts(runs)
    assert decode_counts(text) == runs
    np.testing.assert_array_equal(run_pixels(runs, rows, columns), pixels)
    assert text.encode() == pycocotools.mask.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]


@pytest.mark.parametrize("counts", [[5], [7], [], [3, -1, 4]])
def test_runs_that_do_not_cover_the_region_exactly_are_refused(counts: list[int]):
    with pytest.raises(ValueError, match="expected 2 x 3 = 6"):
        run_pixels(counts, 2, 3)


@pytest.mark.parametrize("segmentation", [None, "05", {"counts": [6]}, {"size": [3, 2], "counts": [6]}])
def test_what_is_no_region_of_this_size_is_refused(segmentation: object):
    with pytest.raises(ValueError, match=r"run lengths of size \[2, 3\]"):
        region_pixels(segmentation, 2, 3)


def test_regions_that_overlap_are_one():
    left, right = [0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 3, 0, 3, 2, 1, 2]
    assert region_pixels([left, right], 2, 3).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_coordinates_that_are_no_numbers_are_refused(bad: float):
    with pytest.raises(ValueError, match="NaN or infinite"):
        polygon_pixels(np.array([[1.0, 1.0], [bad, 1.0], [3.0, 3.0]]), 4, 4)
    with pytest.raises(ValueError, match="NaN or infinite"):
        region_pixels([[1, 1, bad, 1, 3, 3]], 4, 4)


@pytest.mark.parametrize(
    "written",
    [
        [[1, 1, 3, 1, 3, 3, 1, 3]],
        [1, 1, 3, 1, 3, 3, 1, 3],
        [[1, 1], [3, 1], [3, 3], [1, 3]],
        [[[1, 1], [3, 1], [3, 3], [1, 3]]],
        [["1", "1", "3", "1", "3", "3", "1", "3"]],
        [{"size": [4, 4], "counts": [5, 2, 2, 2, 5]}],
        {"size": [4, 4], "counts": [5.0, 2.0, 2.0, 2.0, 5.0]},
    ],
    ids=["polygons", "flat", "points", "polygons of points", "text", "run lengths in a list", "run lengths as floats"],
)
def test_one_square_in_all_the_ways_that_tools_write_it(written: object):
    assert region_pixels(written, 4, 4).astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("written", [[], [[]], [[1, 1, 3, 3]], [[1, 1], [2, 2]], [[], [2, 2]]])
def test_what_has_fewer_than_three_corners_covers_nothing(written: object):
    assert region_parts(written, 4, 4) == []


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ([[1, 1, 3, 1, 3]], "5 numbers"),
        ([{"x": 1, "y": 1}, {"x": 2, "y": 1}, {"x": 2, "y": 2}], "x, y, x, y"),
        ([[1, None, 3, 1, 3, 3]], "NaN"),
        ([["a", "b", "c", "d", "e", "f"]], "no polygon"),
        ({"size": [4, 4], "counts": None}, "run lengths are None"),
        ({"size": [4, 4], "counts": [5, "x"]}, "do not cover"),
        ({"size": 4, "counts": [16]}, "size 4"),
        ({"size": [4, 5], "counts": [20]}, r"size \[4, 5\]"),
        ("1 1 3 3", "no region"),
        (7, "no region"),
    ],
)
def test_what_is_wrong_with_a_region_is_said(written: object, words: str):
    with pytest.raises(ValueError, match=words):
        region_pixels(written, 4, 4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools predates numpy 2
@given(st.integers(3, 8), st.integers(0, 10**6))
def test_polygons_agree_with_pycocotools_but_for_their_border(corners: int, seed: int):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    points = 20 + random.uniform(5, 18) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    theirs = pycocotools.mask.decode(pycocotools.mask.frPyObjects([points.ravel().tolist()], 40, 40))[..., 0] == 1
    different = np.argwhere(region_pixels([points.ravel().tolist()], 40, 40) != theirs) + 0.5
    sides = list(zip(points, np.roll(points, -1, axis=0), strict=True))
    for row, column in different:
        assert min(to_segment(np.array([column, row]), *side) for side in sides) <= 1.5


def to_segment(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    along = end - start
    share = np.clip((point - start) @ along / max(along @ along, 1e-12), 0, 1)
    return float(np.linalg.norm(point - start - share * along))
