"""Instances of hand-made displacement fields, and of drawn scenes that IRN has learned from."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tagmask.config import InstancesConfig
from tagmask.masks.instances import (
    NOBODY,
    AnnotatedImage,
    Instance,
    annotation,
    candidate_maps,
    centroids,
    cluster_numbers,
    coco_instances,
    instances_of,
    winning_candidates,
)

CONFIG = InstancesConfig()
PYCOCOTOOLS = "ignore:__array__ implementation:DeprecationWarning"  # its decoder predates numpy 2


def towards(*discs: tuple[float, float, float], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A field that points to the centre of the (row, column, radius) disc a cell lies in, and the discs' cells.

    Background cells point away from everything, over the border.
    """
    place = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")).astype(np.float32)
    middle = np.array(size, np.float32)[:, None, None] / 2
    field, inside = np.where(place < middle, -4, 4).astype(np.float32), np.zeros((len(discs), *size), bool)
    for disc, (row, column, radius) in zip(inside, discs, strict=True):
        away = np.array([row, column], np.float32)[:, None, None] - place
        disc[:] = np.hypot(*away) < radius
        field[:, disc] = away[:, disc]
    return field, inside


def plain_centroids(field: np.ndarray, iterations: int) -> np.ndarray:
    """All cells at once, every step taken."""
    field = field.astype(np.float64)
    last = np.array(field.shape[1:])[:, None, None] - 1
    place = np.stack(np.meshgrid(*map(np.arange, field.shape[1:]), indexing="ij")).astype(np.float64)
    for _ in range(iterations):
        (top, left), (down, across) = np.floor(place).astype(int), place - np.floor(place)
        bottom, right = np.ceil(place).astype(int)
        above = field[:, top, left] * (1 - across) + field[:, top, right] * across
        below = field[:, bottom, left] * (1 - across) + field[:, bottom, right] * across
        place = (place + (above * (1 - down) + below * down)).clip(0, last)
    return np.round(place).astype(int)


def as_they_are(starts: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """No walk, and a grid as fine as the image."""
    return lambda chosen: starts[chosen]


def found(field: np.ndarray, maps: np.ndarray, config: InstancesConfig = CONFIG) -> list[Instance]:
    """Instances of maps that do not walk."""
    candidates, origins = candidate_maps(maps, cluster_numbers(field, config))
    shares, winner = winning_candidates(candidates, as_they_are(candidates), maps.shape[1:], config.background)
    return list(instances_of(shares, winner, (origins + 1).astype(np.int16), config))


# ── clusters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 11), st.sampled_from([0.3, 2.0, 30.0]))
def test_cells_end_where_three_hundred_plain_steps_end(seed, rows, columns, strength):
    field = np.random.default_rng(seed).normal(0, strength, (2, rows, columns)).astype(np.float32)
    np.testing.assert_array_equal(centroids(field, 300), plain_centroids(field, 300))


def test_the_plain_form_agrees_on_smooth_fields():
    field, _ = towards((12, 10, 7), (12, 24, 7), size=(25, 36))
    np.testing.assert_array_equal(centroids(field, 300), plain_centroids(field, 300))
    np.testing.assert_array_equal(centroids(field, 2), plain_centroids(field, 2))


def test_a_step_goes_no_further_than_the_border():
    field = np.full((2, 3, 4), 50, np.float32)
    assert (centroids(field, 1) == np.array([2, 3])[:, None, None]).all()
    assert (centroids(-field, 1) == 0).all()


def test_without_displacement_all_cells_are_one_cluster():
    np.testing.assert_array_equal(cluster_numbers(np.zeros((2, 33, 47), np.float32), CONFIG), 0)


def test_touching_discs_are_two_clusters():
    field, discs = towards((12, 10, 7), (12, 24, 7), size=(25, 36))
    clusters = cluster_numbers(field, CONFIG)
    own = [np.unique(clusters[disc]) for disc in discs]
    assert [len(numbers) for numbers in own] == [1, 1]
    assert own[0] != own[1]


def test_cells_that_end_outside_every_centre_share_the_first_cluster():
    field = np.array([[[-9, -9, 0, 9, 9]], [[0, 0, 0, 0, 0]]], np.float32)  # rows: the grid has but one
    np.testing.assert_array_equal(cluster_numbers(field, CONFIG), [[0, 0, 1, 0, 0]])


def test_centres_that_touch_at_a_corner_are_two():
    strong = np.array([[0, 9], [9, 0]], np.float32)
    away = np.stack([strong * np.array([[0, 1], [-1, 0]]), np.zeros_like(strong)])
    clusters = cluster_numbers(away.astype(np.float32), CONFIG)
    assert clusters[0, 0] != clusters[1, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_displacements_must_be_finite(bad):
    field = np.zeros((2, 3, 3), np.float32)
    field[0, 1, 1] = bad
    with pytest.raises(ValueError, match="lower rate"):
        cluster_numbers(field, CONFIG)


# ── candidates and instances ─────────────────────────────────────────────────────────────────────────────────────────


def test_touching_discs_of_one_class_are_two_instances():
    field, discs = towards((12, 10, 7), (12, 24, 7), size=(25, 36))
    maps = discs.any(axis=0)[None].astype(np.float32)
    masks = [instance.mask for instance in found(field, maps)]
    assert len(masks) == 2
    np.testing.assert_array_equal(sorted(masks, key=lambda mask: np.nonzero(mask)[1].mean()), discs)


def test_one_disc_is_one_instance_of_its_class_and_score():
    field, discs = towards((16, 20, 9), size=(33, 47))
    maps = np.stack([discs[0] * np.float32(0.1), discs[0] * np.float32(0.8)])
    (instance,) = found(field, maps)
    assert instance.class_number == 2
    assert instance.score == 1  # the largest of the image
    np.testing.assert_array_equal(instance.mask, discs[0])


def test_two_classes_in_one_cluster_share_it_by_their_scores():
    field = np.zeros((2, 4, 6), np.float32)
    maps = np.linspace([1.0] * 6, [0.5] * 6, 4).T[None].repeat(2, 0).reshape(2, 4, 6).astype(np.float32)
    maps[0], maps[1] = np.linspace(1, 0, 6), np.linspace(0, 0.5, 6)
    instances = {instance.class_number: instance for instance in found(field, maps)}
    np.testing.assert_array_equal(instances[1].mask[0], [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(instances[2].mask[0], [0, 0, 0, 0, 1, 1])
    assert instances[1].score == 1
    assert instances[2].score == pytest.approx(0.5)


@pytest.mark.parametrize("num_maps", [0, 2])
def test_empty_maps_give_no_instance_and_no_nan(num_maps):
    maps = np.zeros((num_maps, 33, 47), np.float32)
    assert found(np.zeros((2, 33, 47), np.float32), maps) == []
    shares, winner = winning_candidates(maps, as_they_are(maps), (33, 47), 0.25)
    assert (shares == 0).all()
    assert (winner == NOBODY).all()


def test_small_parts_score_nothing():
    maps = np.zeros((1, 20, 20), np.float32)
    maps[0, :10, :10], maps[0, 15, 15:18] = 1, 0.9  # 100 and 3 of 400 pixels
    field = np.zeros((2, 20, 20), np.float32)
    (large,) = found(field, maps)
    assert large.mask.sum() == 100
    instances = found(field, maps, InstancesConfig(keep_small=True))
    assert sorted((int(instance.mask.sum()), instance.score) for instance in instances) == [(3, 0.0), (100, 1.0)]
    assert len(found(field, maps, InstancesConfig(smallest_share=3 / 400))) == 2


def test_what_does_not_exceed_the_background_is_background():
    maps = np.array([[[1.0, 0.25, 0.26]]], np.float32)
    masks = [instance.mask for instance in found(np.zeros((2, 1, 3), np.float32), maps)]
    np.testing.assert_array_equal(np.any(masks, axis=0), [[True, False, True]])


@given(st.integers(0, 10**6), st.integers(0, 60), st.sampled_from([0.0, 0.25, 0.9]))
def test_scoring_some_at_a_time_changes_no_winner(seed, number, background):
    random = np.random.default_rng(seed)
    starts = (random.random((number, 5, 4)) * random.random((number, 1, 1)) ** 3).astype(np.float32)
    seen = []
    mixing = random.dirichlet(np.ones(20), 63).astype(np.float32)

    def score(chosen):
        seen.extend(chosen)
        return (starts[chosen].reshape(len(chosen), 20) @ mixing.T).reshape(-1, 7, 9)

    shares, winner = winning_candidates(starts, score, (7, 9), background)
    everything = np.concatenate([np.zeros((1, 7, 9), np.float32), score(np.arange(number))])
    everything /= max(everything.max(), 1e-12)
    everything[0] = background
    np.testing.assert_array_equal(winner, everything.argmax(axis=0) - 1)
    np.testing.assert_allclose(shares[winner != NOBODY], everything.max(axis=0)[winner != NOBODY], rtol=1e-6)


def test_hopeless_candidates_do_not_walk():
    starts = np.full((100, 3, 3), 0.2, np.float32)
    starts[70] = 1
    walked = []
    _, winner = winning_candidates(starts, lambda chosen: walked.append(len(chosen)) or starts[chosen], (3, 3), 0.25)
    assert (winner == 70).all()
    assert sum(walked) < 20


# ── COCO ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def content() -> tuple[dict, list[list[Instance]]]:
    random = np.random.default_rng(0)
    images = []
    for size in ((33, 47), (40, 25), (64, 64)):
        masks = [np.zeros(size, bool) for _ in range(3)]
        masks[0][3:20, 5:17], masks[1][:] = True, random.random(size) < 0.5
        masks[2][-1, -1] = True
        images.append([Instance(1 + i % 2, mask, 0.9 - 0.2 * i) for i, mask in enumerate(masks)])
    images.append([])
    annotated = [
        AnnotatedImage(f"{i}.jpg", each[0].mask.shape if each else (50, 60), [annotation(x) for x in each])
        for i, each in enumerate(images)
    ]
    return coco_instances(annotated, ["cat", "dog"]), images


@pytest.mark.filterwarnings(PYCOCOTOOLS)
def test_coco_reads_what_is_written(content, tmp_path, capsys):
    written, images = content
    (tmp_path / "instances.json").write_text(json.dumps(written))
    coco = COCO(str(tmp_path / "instances.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["cat", "dog"]
    for number, instances in enumerate(images, start=1):
        entries = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert len(entries) == len(instances)
        for entry, instance in zip(entries, instances, strict=True):
            np.testing.assert_array_equal(coco.annToMask(entry), instance.mask)
            rows, columns = np.nonzero(instance.mask)
            assert entry["area"] == rows.size
            left, top, width, height = entry["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())
            assert entry["category_id"] == instance.class_number


def test_coco_scores_perfect_instances_perfectly(content, tmp_path, capsys):
    written, _ = content
    (tmp_path / "instances.json").write_text(json.dumps(written))
    truth = COCO(str(tmp_path / "instances.json"))
    results = truth.loadRes(written["annotations"])
    evaluation = COCOeval(truth, results, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_an_instance_has_pixels():
    with pytest.raises(ValueError, match="at least one pixel"):
        annotation(Instance(1, np.zeros((2, 2), bool), 0.5))
