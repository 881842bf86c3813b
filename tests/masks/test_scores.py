import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tagmask.config import BackgroundConfig
from tagmask.masks.scores import (
    IGNORE,
    add_background,
    add_threshold,
    apply_ignore_band,
    argmax_classes,
    background_scores,
    block_mean,
    mask_from_scores,
    mask_values,
    normalize_jointly,
    normalize_max,
    normalize_min_max,
    posterior,
    quality,
)

NO_MAPS = np.zeros((0, 3, 4), np.float32)
UNIT = st.floats(0, 1, width=32)


def maps_of(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)[:, None, :]


# ── normalisation ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_normalize_max_scales_each_map_and_keeps_zeros() -> None:
    out = normalize_max(maps_of([1.0, 2.0], [0.0, 0.0]))
    assert out[0, 0] == pytest.approx([1 / 2.00001, 2 / 2.00001])
    assert not out[1].any()
    assert out.dtype == np.float32


def test_normalize_min_max_repeats_the_published_arithmetic() -> None:
    out = normalize_min_max(maps_of([1.0, 2.0, 3.0]), eps=0.0)
    assert out[0, 0].tolist() == [0.0, 0.5, 1.0]
    # The value at the least, 1, is set to 0 before the least is subtracted.
    out = normalize_min_max(maps_of([1.0, 2.0, 3.0]), eps=0.5)
    assert out[0, 0] == pytest.approx([-1.5 / 2.5, 0.5 / 2.5, 1.5 / 2.5])


def test_normalize_min_max_of_zeros_and_negatives_is_minus_one() -> None:
    assert normalize_min_max(maps_of([0.0, 0.0], [-3.0, -1.0])).ravel().tolist() == [-1.0] * 4


def test_normalize_jointly_keeps_ratios_between_maps_and_survives_zeros() -> None:
    assert normalize_jointly(maps_of([1.0, 2.0], [0.0, 4.0])).tolist() == [[[0.25, 0.5]], [[0.0, 1.0]]]
    assert not normalize_jointly(np.zeros((2, 1, 2), np.float32)).any()


@pytest.mark.parametrize("normalize", [normalize_max, normalize_min_max, normalize_jointly])
def test_no_maps_stay_no_maps(normalize) -> None:
    assert normalize(NO_MAPS).shape == NO_MAPS.shape


# ── background ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_background_is_a_power_of_what_the_best_map_leaves() -> None:
    scores = add_background(maps_of([0.5, 0.0, 1.0], [0.25, 0.0, 0.0]), power=2)
    assert scores[0, 0].tolist() == [0.25, 1.0, 0.0]
    assert scores[1:].tolist() == maps_of([0.5, 0.0, 1.0], [0.25, 0.0, 0.0]).tolist()


def test_background_of_values_above_one_is_zero_and_of_negatives_one() -> None:
    assert add_background(maps_of([1.5, -1.0, -7e4]), power=12)[0, 0].tolist() == [0.0, 1.0, 1.0]


def test_background_without_maps_is_everywhere() -> None:
    assert add_background(NO_MAPS, power=16).tolist() == np.ones((1, 3, 4)).tolist()


@pytest.mark.parametrize(
    ("rule", "expected"), [("power", [[0.25], [0.5]]), ("threshold", [[2.0], [0.5]]), ("none", [[0.5]])]
)
def test_rule_of_the_configuration(rule: str, expected: list[list[float]]) -> None:
    config = BackgroundConfig.model_validate({"rule": rule, "value": 2})
    assert background_scores(config, maps_of([0.5]))[:, 0].tolist() == expected


def test_ties_with_the_threshold_are_background() -> None:
    scores = add_threshold(maps_of([0.2, 0.3], [0.2, 0.3]), 0.2)
    assert argmax_classes(scores, mask_values(np.array([4, 6]), with_background=True)).tolist() == [[0, 5]]


# ── grids ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_block_mean_completes_with_zeros() -> None:
    out = block_mean(np.ones((1, 3, 5), np.float32), block=2)
    assert out.tolist() == [[[1.0, 1.0, 0.5], [0.5, 0.5, 0.25]]]


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_channels_nothing_is_known() -> None:
    assert argmax_classes(NO_MAPS, np.zeros(0, int)).tolist() == np.full((3, 4), IGNORE).tolist()
    assert mask_from_scores(NO_MAPS, np.zeros(0, int), ignore_below=0.5).tolist() == np.full((3, 4), IGNORE).tolist()


def test_posterior_sums_to_one_whatever_arrives() -> None:
    shares = posterior(maps_of([0.2, 0.0, -1.0], [0.6, 0.0, 0.5]))
    assert shares[:, 0, 0] == pytest.approx([0.25, 0.75])
    assert shares[:, 0, 1].tolist() == [0.5, 0.5]
    assert shares[:, 0, 2].tolist() == [0.0, 1.0]


def test_pixels_in_doubt_are_ignored() -> None:
    scores = maps_of([0.9, 0.45, 0.1], [0.1, 0.55, 0.9])
    classes = np.array([0, 3])
    assert mask_from_scores(scores, classes).tolist() == [[0, 3, 3]]
    assert mask_from_scores(scores, classes, ignore_below=0.6).tolist() == [[0, IGNORE, 3]]


def test_ignore_band_copies() -> None:
    mask = np.zeros((1, 2), np.int32)
    assert apply_ignore_band(mask, np.array([[0.5, 0.4]]), below=0.5).tolist() == [[0, IGNORE]]
    assert not mask.any()


# ── quality ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_quality_by_hand() -> None:
    scores = maps_of([0.9, 0.7, 0.1, 0.4], [0.1, 0.3, 0.9, 0.6])
    # Margins: background .8 and .4, object .8 and .2; regions .6 and .5; the tag owns pixels.
    assert quality(scores, np.array([0, 2])) == pytest.approx(0.55)


def test_a_tag_without_pixels_costs_its_share() -> None:
    scores = maps_of([1.0, 0.0], [0.0, 1.0], [0.0, 0.0])
    assert quality(scores[:2], np.array([0, 1])) == 1.0
    assert quality(scores, np.array([0, 1, 2])) == 0.5


def test_a_doubtful_small_object_comes_before_a_doubtful_strip_of_background() -> None:
    background = np.ones((1, 100), np.float32)
    small_doubt, wide_doubt = background.copy(), background.copy()
    small_doubt[0, :4] = 0.45
    wide_doubt[0, :4], wide_doubt[0, 4:8] = 0.0, 0.55
    small, wide = (quality(np.stack([b, 1 - b]), np.array([0, 1])) for b in (small_doubt, wide_doubt))
    assert small < wide


def test_quality_where_nothing_is_to_decide() -> None:
    assert quality(add_background(NO_MAPS, 16), np.array([0])) == 1.0
    assert quality(maps_of([0.3, 0.2]), np.array([5])) == 1.0
    assert quality(NO_MAPS, np.zeros(0, int)) == 0.0


def test_quality_of_two_classes_without_background_rule() -> None:
    assert quality(maps_of([1.0, 0.0], [0.0, 1.0]), np.array([1, 2])) == 1.0
    assert quality(maps_of([0.5, 0.5], [0.5, 0.5]), np.array([1, 2])) == 0.0


@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-1, 2, width=32)))
def test_quality_is_a_share(scores: np.ndarray) -> None:
    assert 0 <= quality(scores, np.array([0, 2, 3])) <= 1


@pytest.mark.parametrize(("columns", "factor"), [(0, 0.0), (1, 0.5), (2, 1.0), (5, 1.0)])
def test_a_mask_that_leaves_hardly_any_background_is_not_trusted_however_sure_it_is(columns, factor):
    background = np.zeros((10, 10))
    background[:, :columns] = 1
    assert quality(np.stack([background, 1 - background]), np.array([0, 1])) == pytest.approx(factor)
