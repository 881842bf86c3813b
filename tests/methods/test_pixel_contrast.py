"""Pixel-to-prototype contrast: each function by hand, and against plain Python loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tagmask.conventions import IGNORE
from tagmask.methods.pixel_contrast import (
    best_channel,
    class_prototypes,
    cross_losses,
    even_weights,
    first_of_top,
    hard_pixels,
    intra_losses,
    label_weights,
    other_prototypes,
    present_scores,
    published_ranks,
    published_scores,
    random_pixels,
    rank_within,
    scaled_ranks,
    shared_top,
    similarities,
    unit_range,
    with_prototype,
)

CHANNELS = 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def row(*values: float) -> Tensor:
    """One map of one row."""
    return torch.tensor(values)[None, None, None]


def everywhere(maps: Tensor) -> Tensor:
    return torch.ones_like(maps[:, 0]).bool()


# ── scores and labels ────────────────────────────────────────────────────────────────────────────────────────────────


def test_published_scores_by_hand():
    scores = published_scores(torch.cat([row(1.0, 3.0, 5.0), row(0.0, 0.0, 0.0), row(-2.0, 1.0, 0.0)], 1), 0.3)
    eps = 1e-5
    expected = torch.tensor(
        [
            [0.3, 0.3, 0.3],
            [-(1 + eps) / (4 + eps), (2 - eps) / (4 + eps), (4 - eps) / (4 + eps)],  # least becomes 0, then less
            [-1, -1, -1],
            [-eps / (1 + eps), (1 - eps) / (1 + eps), -eps / (1 + eps)],
        ]
    )
    torch.testing.assert_close(scores[0, :, 0], expected)


def test_classes_without_tag_and_padding_have_no_score():
    maps = torch.cat([row(4.0, 2.0, 8.0), row(9.0, 9.0, 9.0)], 1)
    inside = torch.tensor([[[True, True, False]]])
    scores = present_scores(maps, None, torch.tensor([[1.0, 0.0]]), inside, "max")
    expected = torch.tensor([[0, 0.5, 0], [1, 0.5, 0], [0, 0, 0]])
    torch.testing.assert_close(scores[0, :, 0], expected, atol=1e-4, rtol=0)


def test_a_learnt_background_is_normalised_like_the_classes():
    maps, background = row(4.0, 2.0), row(0.1, 0.4)
    scores = present_scores(maps, background, torch.tensor([[1.0]]), everywhere(maps), "max")
    torch.testing.assert_close(scores[0, :, 0], torch.tensor([[0.25, 1], [1, 0.5]]), atol=1e-4, rtol=0)
    scores = present_scores(maps, background, torch.tensor([[1.0]]), everywhere(maps), "min_max")
    torch.testing.assert_close(scores[0, :, 0], torch.tensor([[0.0, 1], [1, 0]]), atol=1e-4, rtol=0)


def test_an_image_without_tags_is_background():
    maps = drawn(1, 3, 2, 2)
    scores = present_scores(maps, None, torch.zeros(1, 3), everywhere(maps), "max")
    assert (scores[:, 0] == 1).all()
    assert (scores[:, 1:] == 0).all()


@pytest.mark.parametrize("normalization", ["max", "min_max"])
@pytest.mark.parametrize("maps", [torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), 7.0), drawn(1, 2, 2, 2) * 1e6])
@pytest.mark.parametrize("inside", [True, False])
def test_the_unit_range_holds_what_is_degenerate(normalization, maps, inside):
    found = unit_range(maps, torch.full((1, 2, 2), inside), normalization)
    assert found.isfinite().all()
    assert ((found >= 0) & (found <= 1)).all()
    assert inside or (found == 0).all()


def test_the_best_channel_is_a_tag_or_background_and_the_first_of_equals():
    scores = torch.tensor([[0.5, 0.5, 0.1, 0.0], [0.5, 0.2, 0.3, 0.0], [0.9, 0.9, 0.9, 0.9]])[None, :, None]
    inside = torch.tensor([[[True, True, True, False]]])
    labels = best_channel(scores, torch.tensor([[1.0, 0.0]]), inside)
    assert labels.tolist() == [[[0, 0, 1, IGNORE]]]


# ── prototypes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_tops_are_the_same_without_equals():
    scores = drawn(30, 4)
    expected = torch.zeros_like(scores)
    for channel in range(4):
        for pixel in scores[:, channel].argsort(descending=True)[:7]:
            expected[pixel, channel] = scores[pixel, channel]
    torch.testing.assert_close(first_of_top(scores, 7), expected)
    torch.testing.assert_close(shared_top(scores, 7), expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 14))
def test_the_shared_top_is_the_mean_over_all_orders(values, count):
    scores = torch.tensor(values, dtype=torch.float32)[:, None]
    found = shared_top(scores, count)[:, 0]
    count = min(count, len(values))
    torch.testing.assert_close(found.sum(), sum(sorted(values, reverse=True)[:count]) + torch.tensor(0.0))
    for value in set(values):  # equals are treated alike
        assert found[scores[:, 0] == value].unique().numel() == 1


@pytest.mark.parametrize("top", [first_of_top, shared_top])
def test_more_places_than_pixels_take_all(top):
    scores = drawn(3, 2)
    torch.testing.assert_close(top(scores, 10), scores)


def test_a_prototype_is_a_weighted_mean_of_unit_length():
    features, weights = drawn(6, 3), drawn(6, 2, seed=1)
    expected = torch.stack([(weights[:, [k]] * features).sum(0) / weights[:, k].sum() for k in range(2)])
    torch.testing.assert_close(class_prototypes(features, weights), F.normalize(expected, dim=1))
    # the published floor is negative: weights of -1 are a plain mean too
    torch.testing.assert_close(
        class_prototypes(features, -torch.ones(6, 1)), F.normalize(features.mean(0)[None], dim=1)
    )


def test_a_channel_without_weight_has_no_prototype():
    found = class_prototypes(drawn(4, 3), torch.tensor([[0.0, 1.0, -1.0]] * 2 + [[0.0, -1.0, 0.0]] * 2))
    assert (found[:2] == 0).all()
    assert (found[2] > 0).all()


# ── which pixels count ───────────────────────────────────────────────────────────────────────────────────────────────

pixels = st.lists(st.tuples(st.integers(IGNORE, CHANNELS - 1), st.integers(0, 6)), min_size=1, max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    labels, values = zip(*pairs, strict=True)
    return torch.tensor(labels), torch.tensor(values, dtype=torch.float32)


def members_in_order(labels: Tensor, values: Tensor, label: int) -> list[int]:
    """Pixels of a label, the least value first, equals as they stand."""
    return sorted((i for i in range(len(labels)) if labels[i] == label), key=lambda i: float(values[i]))


@given(pixels)
def test_ranks_are_those_of_a_plain_loop(pairs):
    labels, values = columns(pairs)
    ranks = rank_within(values, labels)
    for label in range(IGNORE, CHANNELS):
        assert [int(ranks[i]) for i in members_in_order(labels, values, label)] == list(range((labels == label).sum()))


@given(pixels, st.sampled_from([0.5, 0.55, 0.6, 0.7, 1.0]))
def test_hard_and_random_pixels_are_those_of_a_plain_loop(pairs, fraction):
    labels, values = columns(pairs)
    hard, drawn_half = hard_pixels(values, labels, CHANNELS, fraction), random_pixels(values, labels, CHANNELS)
    expected_hard, expected_half = set(), set()
    for label in range(CHANNELS):
        members = members_in_order(labels, values, label)
        half, last = len(members) // 2, int(fraction * len(members))
        expected_hard |= set(members[last - half : last])
        expected_half |= set(members[:half])
    assert set(hard.nonzero()[:, 0].tolist()) == expected_hard
    assert set(drawn_half.nonzero()[:, 0].tolist()) == expected_half


def test_the_hard_share_is_rounded_as_python_rounds():
    for number in range(2, 300):
        hard = hard_pixels(torch.arange(float(number)), torch.zeros(number).long(), 1, 0.6)
        assert hard.nonzero()[-1].item() == int(0.6 * number) - 1
        assert hard.sum() == number // 2


@given(pixels)
def test_label_weights_take_a_mean_of_means(pairs):
    labels, times = columns(pairs)
    losses = drawn(len(labels))
    found = (label_weights(times, labels, CHANNELS) * losses).sum()
    there = [label for label in range(CHANNELS) if (labels == label).any()]
    means = []
    for label in there:
        total = times[labels == label].sum()
        means.append((times * losses)[labels == label].sum() / total if total else torch.tensor(0.0))
    torch.testing.assert_close(found, torch.stack(means).mean() if there else torch.tensor(0.0))


def test_pixels_without_label_weigh_nothing():
    assert even_weights(torch.tensor([2, IGNORE, 0])).tolist() == [0.5, 0, 0.5]
    assert even_weights(torch.tensor([IGNORE])).tolist() == [0]


def test_a_label_without_prototype_is_ignored():
    present = torch.tensor([True, False, True])
    assert with_prototype(torch.tensor([0, 1, 2, IGNORE]), present).tolist() == [0, IGNORE, 2, IGNORE]
    assert with_prototype(torch.tensor([IGNORE]), torch.tensor([False])).tolist() == [IGNORE]


@given(st.integers(1, 90), st.integers(0, 30), st.integers(1, 30))
def test_there_is_a_negative_wherever_there_is_another_prototype(number, skipped, kept):
    ranks = scaled_ranks(torch.ones(number).bool(), skipped, kept)
    assert number == 1 or ranks[: number - 1].any()
    assert ranks.sum() <= max(1, kept * (number - 1) // 20)


def test_21_prototypes_have_the_published_numbers():
    present = torch.ones(21).bool()
    assert scaled_ranks(present, 3, 10).nonzero()[:, 0].tolist() == list(range(3, 13))
    assert published_ranks(present, 3, 10).nonzero()[:, 0].tolist() == list(range(3, 13))
    few = torch.tensor([True] * 7 + [False] * 14)
    assert scaled_ranks(few, 3, 10).nonzero()[:, 0].tolist() == [0, 1, 2]
    assert scaled_ranks(few, 10, 10).nonzero()[:, 0].tolist() == [3, 4, 5]


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cross_loss_by_hand():
    similarity = torch.tensor([[2.0, 1.0, 5.0]] * 3)
    found = cross_losses(similarity, torch.tensor([1, IGNORE, 0]), torch.tensor([True, True, False]))
    total = math.exp(2) + math.exp(1)
    assert found.tolist() == pytest.approx([math.log(total) - 1, 0, math.log(total) - 2])


def test_an_intra_loss_by_hand():
    similarity = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    ranks = torch.tensor([False, True, True, False])  # 2 and 1 are negatives
    found = intra_losses(similarity, torch.tensor([0]), torch.ones(1, 4).bool(), ranks)
    assert found.item() == pytest.approx(-math.log(math.exp(3) / (math.exp(3) + math.exp(2) + math.exp(1))))
    rivals = other_prototypes(torch.tensor([0]), torch.tensor([True, True, True, False]))
    found = intra_losses(similarity, torch.tensor([0]), rivals, ranks)  # of 2 and 1 the second alone
    assert found.item() == pytest.approx(-math.log(math.exp(3) / (math.exp(3) + math.exp(1))))


def test_without_any_prototype_losses_and_gradients_are_zero():
    features = drawn(4, 3).requires_grad_()
    similarity = similarities(F.normalize(features, dim=1), torch.zeros(CHANNELS, 3), 0.1)
    labels, none = torch.full((4,), IGNORE), torch.zeros(CHANNELS).bool()
    rivals = other_prototypes(labels, none)
    weights = even_weights(labels)
    losses = cross_losses(similarity, labels, none), intra_losses(similarity, labels, rivals, scaled_ranks(none, 3, 10))
    total = sum((loss * weights).sum() for loss in losses)
    total.backward()
    assert total.item() == 0
    assert (features.grad == 0).all()


def test_similarities_of_unit_vectors_are_cosines_over_the_temperature():
    features = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), dim=1)
    found = similarities(features, torch.tensor([[1.0, 0.0]]), 0.1)
    torch.testing.assert_close(found[:, 0], torch.tensor([10, 10 / math.sqrt(2), 0]))
