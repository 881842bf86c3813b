"""SEAM's losses against their plain form on all classes and all pixels, and what each of them may reach."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tagmask.config import EquivarianceConfig
from tagmask.methods.equivariance import (
    compared_maps,
    cross,
    equivariance_losses,
    mean_of_resized,
    min_pool,
    stretched_maps,
    view_consistency,
    winning_maps,
)

SIZES = [(24, 31), (7, 9)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def two_views(channels: int, seed: int = 0) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Scores and refined maps of two images on the grids of two views."""
    grids = [(6, 8), (2, 3)]
    scores = [draw(2, channels, *grid, seed=seed + i) for i, grid in enumerate(grids)]
    refined = [draw(2, channels, *grid, seed=seed + 2 + i).sigmoid() for i, grid in enumerate(grids)]
    return [x.requires_grad_() for x in scores], [x.requires_grad_() for x in refined]


# ── the plain form: all classes, all pixels ──────────────────────────────────────────────────────────────────────────


def plainly_enlarged(maps, size):
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def plainly_stretched(x):
    positive = F.relu(x)
    least, largest = positive.flatten(2).min(2).values, positive.flatten(2).max(2).values
    least, largest = least[:, :, None, None], largest[:, :, None, None]
    return F.relu(positive - least - 1e-5) / (largest - least + 1e-5)


def plain_losses(scores, refined, tags, fraction=0.2, lowest=0.25):
    known = F.pad(tags, (1, 0), value=1.0)[:, :, None, None]
    large = [[plainly_enlarged(x, size) for x, size in zip(view, SIZES, strict=True)] for view in (scores, refined)]
    maps, drawn = (
        [plainly_enlarged(plainly_stretched(x), SIZES[1]) * known for x in view] for view in (large[0], large[1])
    )
    best = []
    for x in maps:
        classes = x[:, 1:].detach()
        largest = classes.amax(dim=1, keepdim=True)
        best.append(torch.cat([1 - largest, torch.where(classes < largest, 0.0, classes)], dim=1))
    count = int(scores[0].shape[1] * SIZES[1][0] * SIZES[1][1] * fraction)
    crosses = [(best[1 - i] - drawn[i]).abs().flatten(1).topk(count, dim=1).values.mean(dim=1).mean() for i in range(2)]
    pools = []
    for x in large[1]:
        strongest = (x * known)[:, 1:].max(dim=1).values.flatten(1)
        pools.append(F.relu(strongest.topk(int(lowest * strongest.shape[1]), dim=1, largest=False).values).mean())
    return {
        "consistency": (maps[0] - maps[1])[:, 1:].abs().mean(),
        "cross": crosses[0] + crosses[1],
        "min_pool": (pools[0] + pools[1]) / 2,
    }


def gradients(losses, leaves):
    total = torch.stack(list(losses.values())).sum()
    return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("channels", [2, 4, 12])
@pytest.mark.parametrize("seed", range(4))  # not any: where two differences are all but equal, either may be chosen
def test_leaving_out_what_is_zero_changes_nothing(channels, seed):
    tags = torch.rand(2, channels - 1, generator=torch.Generator().manual_seed(seed)).round()
    scores, refined = two_views(channels, seed)
    found = equivariance_losses(scores, refined, tags, EquivarianceConfig(), SIZES)
    expected = plain_losses(scores, refined, tags)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)
    leaves = scores + refined
    for one, other in zip(gradients(found, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("channels", [3, 12])
def test_fractions_that_need_a_choice_and_fractions_that_do_not(channels):
    scores, refined = two_views(channels, 5)
    tags = torch.zeros(2, channels - 1)
    tags[0, :2] = 1
    for fraction in (0.05, 0.5, 1.0):
        config = EquivarianceConfig(cross_fraction=fraction, min_pool_fraction=fraction)
        found = equivariance_losses(scores, refined, tags, config, SIZES)
        expected = plain_losses(scores, refined, tags, fraction, fraction)
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)


# ── resizing and stretching ──────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20))
def test_the_mean_of_resized_maps_needs_no_resizing(rows, columns, height, width):
    maps = draw(2, 3, rows, columns)
    expected = plainly_enlarged(maps, (height, width)).mean(dim=(2, 3))
    torch.testing.assert_close(mean_of_resized(maps, (height, width)), expected, atol=1e-5, rtol=1e-5)


def test_the_mean_over_pixels_is_not_the_mean_over_cells():
    maps = torch.tensor([[[[4.0, 1.0, 1.0]]]])
    assert mean_of_resized(maps, (1, 5)).item() == pytest.approx(1.9)
    assert mean_of_resized(maps.bfloat16(), (1, 5)).dtype == torch.float32


@pytest.mark.parametrize("value", [-2.0, 0.0, 3.0])
def test_a_constant_map_stretches_to_zero(value):
    scores = torch.full((1, 1, 4, 5), value, requires_grad=True)
    found = stretched_maps(scores, (2, 2))
    found.sum().backward()
    assert (found == 0).all()
    assert (scores.grad == 0).all()


def test_stretched_maps_stay_within_bounds_and_keep_their_order():
    scores = draw(2, 3, 6, 5) * torch.tensor([1e-4, 1.0, 1e4])[:, None, None]
    found = stretched_maps(scores, (6, 5))
    assert found.min() == 0
    assert found.max() < 1 + 1e-6
    torch.testing.assert_close(found, plainly_stretched(scores))


def test_winners_by_hand():
    maps = torch.tensor([0.9, 0.5, 0.5, 0.4])[None, :, None, None]
    background, second = torch.tensor([[True, False, False, False]]), torch.tensor([[False, True, False, False]])
    assert winning_maps(maps, background).flatten().tolist() == pytest.approx([0.9, 0.5, 0.5, 0])
    assert winning_maps(maps, second).flatten().tolist() == pytest.approx([0.9, 0.5, 0, 0])


# ── the losses ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_consistency_by_hand():
    first, second = torch.zeros(2, 2, 1, 2), torch.zeros(2, 2, 1, 2)
    first[0, 0, 0, 0], second[1, 1, 0, 1] = 1.0, 0.5
    assert view_consistency(first, second, 4).item() == pytest.approx((1 + 0.5) / (2 * 4 * 2))
    each = view_consistency(first, second, torch.tensor([1, 2]))
    assert each.item() == pytest.approx((1 / 2 / 1 + 0.5 / 2 / 2) / 2)


def test_cross_by_hand():
    target, refined = torch.tensor([[[[0.0, 0.8, 0.3]]]]), torch.tensor([[[[1.0, 0.2, 0.3]]]])
    assert cross(target, refined, 1, 0.34).item() == pytest.approx(1.0)
    assert cross(target, refined, 1, 1.0).item() == pytest.approx(1.6 / 3)
    assert cross(target, refined, 4, 0.5).item() == pytest.approx(1.6 / 6)  # 9 more differences are 0
    assert cross(target, refined, 1, 0.01).item() == pytest.approx(1.0)  # at least one


def test_min_pool_by_hand():
    maps = torch.tensor([[[[0.4, 0.1, 0.9, 0.3]], [[0.2, 0.6, 0.0, 0.2]]]], requires_grad=True)
    loss = min_pool(maps, 0.5)  # of 0.4, 0.6, 0.9, 0.3
    assert loss.item() == pytest.approx(0.35)
    loss.backward()
    assert maps.grad.flatten().tolist() == pytest.approx([0.5, 0, 0, 0.5, 0, 0, 0, 0])
    assert min_pool(maps[:, :, :, :1], 0.25).item() == pytest.approx(0.4)  # at least one pixel


def test_a_mean_over_tags_does_not_depend_on_the_number_of_classes():
    tags = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    scores, refined = two_views(4)
    more = F.pad(tags, (0, 5))
    padded = [F.pad(x, (0, 0, 0, 0, 0, 5)) for x in scores], [F.pad(x, (0, 0, 0, 0, 0, 5)) for x in refined]
    for over, same in (("present", True), ("all", False)):
        config = EquivarianceConfig(consistency_over=over)
        few = equivariance_losses(scores, refined, tags, config, SIZES)["consistency"]
        many = equivariance_losses(*padded, more, config, SIZES)["consistency"]
        assert (few.item() == pytest.approx(many.item())) == same
    torch.testing.assert_close(few / many, torch.tensor(8 / 3))


def test_weights_multiply_their_terms():
    scores, refined = two_views(4)
    tags = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    config = EquivarianceConfig(consistency_weight=2, cross_weight=3, min_pool_weight=0)
    plain = equivariance_losses(scores, refined, tags, EquivarianceConfig(), SIZES)
    found = equivariance_losses(scores, refined, tags, config, SIZES)
    torch.testing.assert_close(
        torch.stack(list(found.values())), torch.stack(list(plain.values())) * torch.tensor([2.0, 3.0, 0.0])
    )


def test_images_are_averaged_one_by_one():
    scores, refined = two_views(5)
    tags = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    for config in (EquivarianceConfig(), EquivarianceConfig(consistency_over="present")):
        together = equivariance_losses(scores, refined, tags, config, SIZES)
        apart = [
            equivariance_losses(
                [x[i : i + 1] for x in scores], [x[i : i + 1] for x in refined], tags[i : i + 1], config, SIZES
            )
            for i in range(2)
        ]
        for name, value in together.items():
            torch.testing.assert_close(value, (apart[0][name] + apart[1][name]) / 2)


def reached(losses, leaves, name) -> list[bool]:
    found = torch.autograd.grad(losses[name], leaves, retain_graph=True, allow_unused=True)
    return [gradient is not None and bool((gradient != 0).any()) for gradient in found]


@pytest.mark.parametrize("reaches", ["correlation", "maps"])
def test_what_each_loss_reaches(reaches):
    scores, refined = two_views(4)
    tags = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    losses = equivariance_losses(scores, refined, tags, EquivarianceConfig(cross_reaches=reaches), SIZES)
    leaves = scores + refined
    assert reached(losses, leaves, "consistency") == [True, True, False, False]
    assert reached(losses, leaves, "cross") == [reaches == "maps"] * 2 + [True, True]
    assert reached(losses, leaves, "min_pool") == [False, False, True, True]


def test_absent_classes_and_the_background_of_scores_learn_nothing():
    scores, refined = two_views(4)
    tags = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    losses = equivariance_losses(scores, refined, tags, EquivarianceConfig(), SIZES)
    for gradient in gradients(losses, scores):
        assert (gradient[:, 0] == 0).all()
        assert (gradient[:, 1:][tags == 0] == 0).all()
    for gradient in gradients(losses, refined):
        assert (gradient[:, 0] != 0).any()
        assert (gradient[:, 1:][tags == 0] == 0).all()


def test_an_exempt_class_keeps_its_values_and_the_background_competes():
    scores, refined = two_views(4)
    tags = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    usual, other = compared_maps(scores, refined, tags, SIZES), compared_maps(scores, refined, tags, SIZES, exempt=1)
    for one, two in zip(usual, other, strict=True):
        torch.testing.assert_close(one.maps, two.maps)
        assert torch.equal(two.winners[0, 1], two.maps[0, 0])
        assert torch.equal(one.winners[:, 0], 1 - one.maps.amax(dim=1))
        pair = torch.cat([one.winners[:1, :1], one.maps[:1, 1:]], dim=1)  # background and class 2 of the first image
        assert torch.equal(two.winners[:1, [0, 2]], pair * (pair == pair.amax(dim=1, keepdim=True)))


@pytest.mark.parametrize("tags", [0.0, 1.0])
@pytest.mark.parametrize("value", [-1.0, 0.0, 2.0])
def test_constant_maps_and_extreme_tags_are_finite(tags, value):
    scores = [torch.full((2, 3, *grid), value, requires_grad=True) for grid in ((3, 3), (1, 1))]
    refined = [torch.full((2, 3, *grid), max(value, 0.0), requires_grad=True) for grid in ((3, 3), (1, 1))]
    for reaches in ("correlation", "maps"):
        config = EquivarianceConfig(cross_reaches=reaches, consistency_over="present")
        losses = equivariance_losses(scores, refined, torch.full((2, 2), tags), config, SIZES)
        assert all(loss.isfinite() for loss in losses.values())
        assert all(gradient.isfinite().all() for gradient in gradients(losses, scores + refined))


def test_half_precision_is_made_whole():
    scores, refined = two_views(4)
    tags = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    halves = [x.bfloat16() for x in scores], [x.bfloat16() for x in refined]
    whole = [x.float() for x in halves[0]], [x.float() for x in halves[1]]
    for name, value in equivariance_losses(*halves, tags, EquivarianceConfig(), SIZES).items():
        assert value.dtype == torch.float32
        assert torch.equal(value, equivariance_losses(*whole, tags, EquivarianceConfig(), SIZES)[name])
