import numpy as np
import pytest
from PIL import Image

from conftest import SIZE, tiny_recipe
from tagmask.affinity.random_walk import random_walk
from tagmask.config import (
    BackgroundConfig,
    CrfConfig,
    LearntLabels,
    MasksConfig,
    PowerLabels,
    ThresholdLabels,
    WalkConfig,
)
from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.masks import crf
from tagmask.masks.confident_labels import label_scores
from tagmask.masks.grids import resized, to_grid
from tagmask.masks.scores import add_background, add_threshold, posterior, quality
from tagmask.stages.masks import (
    AffinityLabelMaker,
    MaskMaker,
    confident_mask,
    label_ignore_value,
    label_posteriors,
    read_quality,
    refined_scores,
    scores_with_background,
    walk_start,
    walked_at_image_size,
    walked_scores,
)
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, read_posteriors, write_maps

WHOLE = (SIZE, SIZE)
POWER = BackgroundConfig(rule="power", value=2)
THRESHOLD = BackgroundConfig(rule="threshold", value=0.3)
NONE = BackgroundConfig(rule="none")


def archive(classes, maps, size=WHOLE) -> MapArchive:
    return MapArchive(np.array(classes, np.int16), np.asarray(maps, np.float32), size)


def perfect(scenes, record) -> MapArchive:
    """Maps that are 1 on the true mask."""
    classes = [tag + 1 for tag in record.tags]
    return archive(classes, scenes.read_mask(record) == np.array(classes, np.int32)[:, None, None])


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def record(scenes):
    """A scene with a tag."""
    return next(record for record in scenes.split("train") if record.tags)


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_archive_has_a_background_if_it_comes_first():
    assert has_background(np.array([0, 3], np.int16))
    assert not has_background(np.array([3], np.int16))
    assert not has_background(np.array([], np.int16))


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


# ── one image at a time ──────────────────────────────────────────────────────────────────────────────────────────────


def test_perfect_maps_make_perfect_masks(scenes, run, record):
    write_maps(run.maps(record.id), perfect(scenes, record))
    MaskMaker(run, scenes, MasksConfig(background=THRESHOLD, crf=None), None, 8)(record)
    np.testing.assert_array_equal(read_mask(run.mask(record.id), 255), scenes.read_mask(record))
    with Image.open(run.mask(record.id)) as image:
        assert image.mode == "P"


def test_confidence_is_the_posterior_and_carries_the_quality(scenes, run, record):
    maps = np.linspace(0, 1, SIZE**2).reshape(1, *WHOLE).repeat(len(record.tags), 0)
    maps[1:] *= 0.5
    stored = archive([tag + 1 for tag in record.tags], maps)
    write_maps(run.maps(record.id), stored)
    MaskMaker(run, scenes, MasksConfig(background=POWER, crf=None), None, 8)(record)
    scores, classes = scores_with_background(archive(stored.classes, stored.maps.astype(np.float16)), WHOLE, POWER)
    with Image.open(run.confidence(record.id)) as image:
        confidence = np.asarray(image)
    np.testing.assert_array_equal(confidence, (posterior(scores).max(0) * 255).round().astype(np.uint8))
    assert read_quality(run.confidence(record.id)) == pytest.approx(quality(scores, classes), abs=1e-6)


def test_unsure_pixels_become_the_ignore_value(scenes, run, record):
    write_maps(run.maps(record.id), archive([record.tags[0] + 1], np.linspace(0, 1, SIZE)[None, None].repeat(SIZE, 1)))
    config = MasksConfig(background=THRESHOLD, crf=None, ignore_below=0.6, ignore_value=200)
    MaskMaker(run, scenes, config, None, 8)(record)
    with Image.open(run.mask(record.id)) as image:
        assert set(np.unique(np.asarray(image))) == {0, record.tags[0] + 1, 200}
    mask = read_mask(run.mask(record.id), 200)
    x = np.linspace(0, 1, SIZE)  # the share of the background is 0.6 at x = 0.2, that of the class at x = 0.45
    np.testing.assert_array_equal(mask[0] == IGNORE, (x > 0.2) & (x < 0.45))


@pytest.mark.parametrize("rule", [POWER, THRESHOLD, NONE])
def test_negatives_have_masks_too(scenes, run, record, rule):
    write_maps(run.maps(record.id), archive([], np.zeros((0, *WHOLE))))
    MaskMaker(run, scenes, MasksConfig(background=rule), None, 8)(record)
    expected = IGNORE if rule.rule == "none" else 0
    assert (read_mask(run.mask(record.id), 255) == expected).all()
    assert 0 <= read_quality(run.confidence(record.id)) <= 1


def test_the_crf_follows_the_image(scenes, run, record):
    write_maps(run.maps(record.id), perfect(scenes, record))
    for preset, path in ((None, "plain"), ("psa", "refined")):
        folder = RunFolder(run.path / path)
        write_maps(folder.maps(record.id), perfect(scenes, record))
        MaskMaker(folder, scenes, MasksConfig(background=THRESHOLD, crf=preset), None, 8)(record)
    masks = [read_mask(RunFolder(run.path / path).mask(record.id), 255) for path in ("plain", "refined")]
    assert 0 < (masks[0] != masks[1]).mean() < 0.2


def test_walks_are_read_where_there_was_a_walk(scenes, run, record):
    grid = np.zeros((2, 6, 6), np.float32)
    grid[0, :, :3] = grid[1, :, 3:] = 1
    write_maps(run.walks(record.id), archive([0, 2], grid))
    MaskMaker(run, scenes, MasksConfig(background=POWER, crf=None), WalkConfig(), 8)(record)
    mask = read_mask(run.mask(record.id), 255)
    assert ((mask == 2) == (np.arange(SIZE) >= SIZE // 2)).all()


# ── labels of the affinity net ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("learnt", [False, True])
def test_affinity_labels_are_posteriors_under_both_powers(scenes, run, record, learnt):
    stored = perfect(scenes, record)
    maps = stored.maps * np.float32(0.7)
    classes = stored.classes
    if learnt:  # its background makes way for the two powers
        maps, classes = np.concatenate([maps[:1], maps]), np.concatenate([[0], classes]).astype(np.int16)
    write_maps(run.maps(record.id), archive(classes, maps))
    config = tiny_recipe("affinity.labels.crf.iterations=0").affinity.labels
    AffinityLabelMaker(run, scenes, config)(record)
    posteriors, found = read_posteriors(run.affinity_labels(record.id, "powers"))
    assert found.tolist() == stored.classes.tolist()
    half = (stored.maps * np.float32(0.7)).astype(np.float16).astype(np.float32)
    for name, power in (("low", config.low), ("high", config.high)):
        scores = add_background(half, power).clip(1e-5, 1)
        np.testing.assert_allclose(posteriors[name], scores / scores.sum(axis=0), atol=1e-3)


def test_both_powers_share_one_lattice(scenes, run, record, monkeypatch):
    built = []
    original = crf.gaussian_filter
    monkeypatch.setattr(crf, "gaussian_filter", lambda *a, **k: built.append(1) or original(*a, **k))
    write_maps(run.maps(record.id), perfect(scenes, record))
    AffinityLabelMaker(run, scenes, tiny_recipe().affinity.labels)(record)
    assert len(built) == 2  # one Gaussian, one bilateral


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


# ── labels per pixel, where two backgrounds agree ────────────────────────────────────────────────────────────────────

NO_CRF = CrfConfig(iterations=0, unary="hard")
GREY = np.zeros((1, 4, 3), np.uint8)
FOUR = [[[0.9, 0.9, 0.2, 0.3]], [[0.02, 0.5, 0.15, 0.8]]]  # a background of some kind, and one class


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


@pytest.mark.parametrize("kind", ["thresholds", "learnt"])
def test_labels_per_pixel_are_written_as_an_indexed_image(scenes, run, record, kind):
    stored, config = perfect(scenes, record), ThresholdLabels(crf=NO_CRF)
    if kind == "learnt":
        config, maps = LearntLabels(crf=NO_CRF), np.concatenate([np.full((1, *WHOLE), 0.5, np.float32), stored.maps])
        stored = archive([0, *stored.classes], maps)
    write_maps(run.maps(record.id), stored)
    AffinityLabelMaker(run, scenes, config)(record)
    path = run.affinity_labels(record.id, kind)
    assert path.suffix == ".png"
    found = read_mask(path, label_ignore_value(len(scenes.classes)))
    np.testing.assert_array_equal(found, confident_mask(scenes.read_image(record), stored, config))
    np.testing.assert_array_equal(found, scenes.read_mask(record))  # perfect maps leave nothing undecided


@pytest.mark.parametrize(("classes", "expected"), [(4, 255), (254, 255), (300, 65535)])
def test_no_label_is_a_number_no_class_has(classes, expected):
    assert label_ignore_value(classes) == expected


def test_confident_masks_are_pseudo_masks_with_undecided_pixels(scenes, run, record):
    half = perfect(scenes, record)
    maps = np.concatenate([np.full((1, *WHOLE), 0.5), half.maps * np.float32(0.4)])
    maps[:, : SIZE // 2] = np.concatenate([np.full((1, *WHOLE), 0.5), half.maps])[:, : SIZE // 2]
    write_maps(run.maps(record.id), archive([0, *half.classes], maps))
    config = MasksConfig(confident=LearntLabels(crf=NO_CRF), ignore_value=200)
    MaskMaker(run, scenes, config, None, 8)(record)
    truth = scenes.read_mask(record)
    truth[SIZE // 2 :][truth[SIZE // 2 :] > 0] = IGNORE  # 0.25 < 0.4 < 0.5
    np.testing.assert_array_equal(read_mask(run.mask(record.id), 200), truth)
    assert 0 <= read_quality(run.confidence(record.id)) <= 1


# ── what walks ───────────────────────────────────────────────────────────────────────────────────────────────────────


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
