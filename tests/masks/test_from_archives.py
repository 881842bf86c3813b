import numpy as np
import pytest

from archives import NO_CRF, NONE, POWER, THRESHOLD, WHOLE, archive, perfect
from shared_runs import SIZE
from tagmask.affinity.random_walk import random_walk
from tagmask.config import (
    BackgroundConfig,
    CrfConfig,
    LearntLabels,
    PowerLabels,
    ThresholdLabels,
    WalkConfig,
)
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.masks import crf
from tagmask.masks.confident_labels import label_scores
from tagmask.masks.from_archives import (
    confident_mask,
    label_posteriors,
    refined_scores,
    scores_with_background,
    walk_start,
    walked_at_image_size,
    walked_scores,
)
from tagmask.masks.grids import resized, to_grid
from tagmask.masks.scores import add_threshold
from tagmask.system.storage import MapArchive

GREY = np.zeros((1, 4, 3), np.uint8)
FOUR = [[[0.9, 0.9, 0.2, 0.3]], [[0.02, 0.5, 0.15, 0.8]]]  # a background of some kind, and one class


@pytest.mark.parametrize(("rule", "first"), [(POWER, 0.25), (THRESHOLD, 0.3)])
def test_the_configured_background_comes_first(rule, first):
    scores, classes = scores_with_background(archive([3], np.full((1, 2, 2), 0.5)), (2, 2), rule)
    assert classes.tolist() == [0, 3]
    np.testing.assert_allclose(scores[:, 0, 0], [first, 0.5])
    assert scores.dtype == np.float32


def test_without_a_rule_there_is_no_background():
    scores, classes = scores_with_background(archive([3], np.ones((1, 2, 2))), (2, 2), NONE)
    assert (scores.shape, classes.tolist()) == ((1, 2, 2), [3])


@pytest.mark.parametrize("rule", [POWER, THRESHOLD, NONE])
def test_a_background_that_is_there_is_kept(rule):
    maps = np.stack([np.full((2, 2), 0.9), np.full((2, 2), 0.1)])
    scores, classes = scores_with_background(archive([0, 3], maps), (2, 2), rule)
    assert classes.tolist() == [0, 3]
    np.testing.assert_allclose(scores, maps)


@pytest.mark.parametrize(("rule", "shape"), [(POWER, (1, 4, 4)), (THRESHOLD, (1, 4, 4)), (NONE, (0, 4, 4))])
def test_a_negative_is_all_background_or_nothing(rule, shape):
    scores, classes = scores_with_background(archive([], np.zeros((0, 2, 2))), (4, 4), rule)
    assert scores.shape == shape
    assert classes.tolist() == [0] * shape[0]


def test_coarse_maps_are_brought_to_the_image():
    scores, _ = scores_with_background(archive([1], [[[0.0, 1.0]]]), (1, 4), NONE)
    np.testing.assert_allclose(scores[0, 0], [0, 0.25, 0.75, 1])


@pytest.mark.parametrize(("long_side", "cells"), [(None, 6), (96, 12)])
def test_walked_maps_come_back_to_the_pixels_they_were_on(long_side, cells):
    grid = np.zeros((1, cells, cells), np.float32)
    grid[:, :, cells // 2 :] = 1
    found = walked_at_image_size(archive([1], grid), WHOLE, WalkConfig(base_long_side=long_side), stride=8)
    assert found.maps.shape == (1, *WHOLE)
    assert ((found.maps[0] > 0.5) == (np.arange(SIZE) >= SIZE // 2)).all()


def test_no_channels_need_no_crf():
    nothing = np.zeros((0, 2, 2), np.float32)
    assert refined_scores(np.zeros((2, 2, 3), np.uint8), nothing, CrfConfig()) is nothing


def test_walked_maps_are_stretched_before_their_background_is_made():
    flat = archive([1, 2], [[[0.0, 0.2]], [[0.1, 0.0]]], size=(1, 2))
    rule = BackgroundConfig(rule="power", value=1, when="after_walk")
    scores, classes = walked_scores(flat, rule)
    assert classes.tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores[:, 0], [[0, 0], [0, 1], [1, 0]], atol=1e-3)
    jointly, _ = walked_scores(flat, rule.model_copy(update={"walked_maps": "jointly"}))
    np.testing.assert_allclose(jointly[:, 0], [[0.5, 0], [0, 1], [0.5, 0]], atol=1e-6)


def test_unchanged_walked_maps_get_the_constant_that_would_have_walked_along():
    stored = archive([1, 2], [[[0.9, 0.0, 0.4]], [[0.1, 0.6, 0.2]]], size=(1, 3))
    affinities = np.array([[[0.8, 0.3, 0.0]]], np.float32)  # of each cell to the one on its right
    along = random_walk(add_threshold(stored.maps, 0.27), affinities, [(0, 1)], beta=2, steps=3, form="exact")
    walked = MapArchive(stored.classes, along[1:], stored.size)
    rule = BackgroundConfig(rule="threshold", value=0.27, when="after_walk", walked_maps="unchanged")
    scores, classes = walked_scores(walked, rule)
    assert classes.tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores, along, atol=1e-6)


def test_a_background_that_walked_along_is_kept():
    walked = archive([0, 1], [[[0.9, 0.2]], [[0.1, 0.3]]], size=(1, 2))
    scores, classes = walked_scores(walked, POWER)
    assert classes.tolist() == [0, 1]
    np.testing.assert_array_equal(scores, walked.maps)


def test_thresholds_label_what_both_constants_say():
    config = ThresholdLabels(foreground=0.3, background=0.05, crf=NO_CRF)
    assert confident_mask(GREY, archive([7], FOUR[1:], (1, 4)), config).tolist() == [[0, 7, IGNORE, 7]]


def test_a_learnt_background_labels_what_all_and_half_of_it_say():
    config = LearntLabels(crf=NO_CRF)
    # 0.02 < 0.45, 0.45 < 0.5 < 0.9, 0.1 < 0.15 < 0.2, 0.3 < 0.8
    assert confident_mask(GREY, archive([0, 7], FOUR, (1, 4)), config).tolist() == [[0, IGNORE, IGNORE, 7]]


def test_a_learnt_background_must_be_there():
    with pytest.raises(TagmaskError, match="background of their own"):
        confident_mask(GREY, archive([7], FOUR[1:], (1, 4)), LearntLabels(crf=NO_CRF))


@pytest.mark.parametrize("config", [ThresholdLabels(), LearntLabels(), PowerLabels()])
def test_a_negative_is_confidently_background(config):
    stored = archive([0], np.zeros((1, *WHOLE))) if config.kind == "learnt" else archive([], np.zeros((0, *WHOLE)))
    image = np.zeros((*WHOLE, 3), np.uint8)
    assert (confident_mask(image, stored, config) == 0).all()


def test_posteriors_are_those_of_the_crf_on_both_scores(scenes, record):
    image, stored = scenes.read_image(record), perfect(scenes, record)
    config = ThresholdLabels(crf=CrfConfig(iterations=2, unary="hard"))
    strong, weak, classes = label_posteriors(image, stored, config)
    assert classes.tolist() == [0, *stored.classes]
    for found, expected in zip((strong, weak), label_scores(stored.maps, False, config), strict=True):
        np.testing.assert_array_equal(found, crf.refine(image, expected, config.crf))


def test_maps_come_to_the_grid_by_block_means_or_by_sampling():
    maps = np.random.default_rng(0).random((2, 30, 41), np.float32)
    mean = walk_start(maps, (30, 41), 4, WalkConfig(resizing="mean"))
    sampled = walk_start(maps, (30, 41), 4, WalkConfig(resizing="bilinear"))
    np.testing.assert_array_equal(mean, to_grid(maps, (30, 41), 4))
    np.testing.assert_array_equal(sampled, resized(maps, (8, 11)))
    assert mean.shape == sampled.shape == (2, 8, 11)


def test_maps_are_brought_to_the_image_that_is_walked_on():
    maps = np.ones((1, 10, 12), np.float32)
    for resizing in ("mean", "bilinear"):
        assert walk_start(maps, (40, 48), 8, WalkConfig(resizing=resizing)).shape == (1, 5, 6)


@pytest.mark.parametrize("resizing", ["mean", "bilinear"])
def test_a_power_is_taken_on_the_grid_and_of_what_is_not_negative(resizing):
    maps = np.array([[[0.25, 0.25, 0.81, 0.81]] * 2, [[-1.0, -1.0, 1.0, 1.0]] * 2], np.float32)
    walking = walk_start(maps, (2, 4), 2, WalkConfig(resizing=resizing, map_power=1.5))
    plain = walk_start(maps, (2, 4), 2, WalkConfig(resizing=resizing))
    np.testing.assert_allclose(walking[:, 0], [[0.125, 0.729], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(plain[:, 0], [[0.25, 0.81], [-1, 1]], rtol=1e-6)
    assert walking.dtype == plain.dtype == np.float32


def test_an_image_without_tags_has_nothing_to_walk():
    assert walk_start(np.zeros((0, 9, 9), np.float32), (9, 9), 4, WalkConfig(map_power=1.5)).shape == (0, 3, 3)


def test_likenesses_lose_their_floor_before_they_walk():
    maps = np.array([[[0.6, 0.7], [0.8, 1.0]], [[0.5, 0.5], [0.5, 0.5]]], np.float32)
    found = walk_start(maps, (2, 2), 1, WalkConfig(stretch=True, map_power=2))
    np.testing.assert_allclose(found, [[[0, 0.0625], [0.25, 1]], [[0, 0], [0, 0]]], atol=1e-4)
