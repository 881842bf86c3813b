"""EPS: the saliency loss by hand and against its definition, what learns from what, and what each option does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from shared_runs import tiny_backbone
from tagmask.config import EpsConfig, EquivarianceConfig
from tagmask.contracts import Batch
from tagmask.errors import TagmaskError
from tagmask.inference.passes import class_maps, summed_activations
from tagmask.methods.cam import tag_loss
from tagmask.methods.eps import (
    Eps,
    EpsActivation,
    estimated_saliency,
    probabilities,
    resized_saliency,
    saliency_loss,
    saliency_of,
    salient_share,
    salient_tags,
)
from tagmask.methods.equivariance import equivariance_losses

CLASSES = 4
GRID = (5, 6)
TAGS = torch.tensor([[1.0, 0, 1, 0], [0, 0, 1, 0]])
TWO_VIEWS = EquivarianceConfig(view_scale=0.5, widths=(3, 4), correlation_width=6)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn_saliency(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def method(**settings: object) -> Eps:
    torch.manual_seed(3)
    return Eps(EpsConfig(**settings), tiny_backbone(), CLASSES)


def batch(size: tuple[int, int] = (33, 41), tags: Tensor = TAGS, saliency: bool = True) -> Batch:
    number = len(tags)
    return Batch(
        ids=tuple(map(str, range(number))),
        images=drawn(number, 3, *size, seed=1),
        tags=tags,
        valid=torch.ones(number, *size, dtype=torch.bool),
        saliency=drawn_saliency(number, 1, *size, seed=2) if saliency else None,
    )


def direct_saliency(maps: Tensor, foreground: Tensor, tags: Tensor, weight: float) -> Tensor:
    """The published form: weight * F + (1 - weight) * (1 - B), B with the background and the tags left over."""
    chosen = foreground[:, :, None, None].to(maps.dtype)
    left = (tags[:, :, None, None] > 0).to(maps.dtype) * (1 - chosen)
    front = (maps[:, 1:] * chosen).sum(1, keepdim=True)
    back = maps[:, :1] + (maps[:, 1:] * left).sum(1, keepdim=True)
    return weight * front + (1 - weight) * (1 - back)


def gradients(network: Eps, loss: Tensor) -> dict[str, Tensor]:
    """What each parameter learns, 0 where nothing reaches it."""
    named = dict(network.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), found, strict=True)}


def reached(network: Eps, loss: Tensor) -> set[str]:
    return {name for name, gradient in gradients(network, loss).items() if gradient.any()}


# ── saliency on the grid ─────────────────────────────────────────────────────────────────────────────────────────────


def test_saliency_comes_to_the_grid_by_its_nearest_rows_and_columns():
    saliency = torch.arange(70.0).view(1, 1, 7, 10)
    found = resized_saliency(saliency, (3, 4))
    # floor(i * 7 / 3) = 0, 2, 4 and floor(j * 10 / 4) = 0, 2, 5, 7.
    assert torch.equal(found[0, 0], saliency[0, 0][[0, 2, 4]][:, [0, 2, 5, 7]])
    assert torch.equal(resized_saliency(saliency, (7, 10)), saliency)


@given(st.integers(1, 7), st.integers(1, 40))
def test_every_eighth_pixel_is_taken_where_the_stride_is_eight(cells: int, columns: int):
    saliency = drawn_saliency(1, 1, 8 * cells, columns)
    assert torch.equal(resized_saliency(saliency, (cells, columns)), saliency[:, :, ::8])


# ── salient tags ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_salient_share_by_hand():
    maps = torch.tensor([[[[0.9, 0.6, 0.5]], [[0.1, 0.2, 0.5]], [[0.0, 0.0, 0.51]]]])
    saliency = torch.tensor([[[[0.7, 0.5, 1.0]]]])
    expected = torch.tensor([[1 / (2 + 3e-4), 0.0, 1 / (1 + 3e-4)]])
    torch.testing.assert_close(salient_share(maps, saliency), expected)


def test_the_small_number_is_added_at_every_pixel():
    maps = torch.zeros(1, 1, 40, 40)
    maps[0, 0, 3, 5] = 1
    share = salient_share(maps, torch.ones(1, 1, 40, 40))
    assert share.item() == pytest.approx(1 / (1 + 1600 * 1e-4))


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.5 + 2**-24, 0.75, 1.0]), min_size=8, max_size=8))
def test_cutting_at_a_half_is_rounding_half_to_even(values: list[float]):
    maps, saliency = torch.tensor(values)[None, None, None].split(4, dim=3)
    rounded = maps.round()
    expected = (rounded * saliency.round()).sum() / (rounded + 1e-4).sum()
    assert salient_share(maps, saliency).item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_share_is_between_0_and_1_and_0_for_empty_maps():
    maps = probabilities(3 * drawn(3, CLASSES + 1, *GRID))
    share = salient_share(maps, drawn_saliency(3, 1, *GRID))
    assert (share >= 0).all()
    assert (share < 1).all()
    assert (salient_share(maps / 2, torch.ones(3, 1, *GRID)) == 0).all()
    assert (salient_share(maps, torch.zeros(3, 1, *GRID)) == 0).all()


def test_only_tags_above_the_threshold_are_foreground():
    share = torch.tensor([[0.9, 0.9, 0.4, 0.41], [0.0, 1.0, 0.0, 0.0]])
    tags = torch.tensor([[1.0, 0, 1, 1], [1, 0, 0, 0]])
    expected = [[True, False, False, True], [False] * 4]
    assert salient_tags(share, tags, 0.4).tolist() == expected
    assert not salient_tags(torch.zeros(1, 4), torch.ones(1, 4), 0.0).any()


# ── estimated saliency and its loss ──────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 2**8 - 1), st.integers(0, 2**8 - 1), st.floats(0, 1), st.integers(0, 50))
def test_the_estimate_is_the_published_form(tags: int, foreground: int, weight: float, seed: int):
    known = torch.tensor([float(tags >> bit & 1) for bit in range(8)], dtype=torch.float64).view(2, 4)
    chosen = torch.tensor([bool(foreground >> bit & 1) for bit in range(8)]).view(2, 4) & (known > 0)
    scores = drawn(2, CLASSES + 1, *GRID, seed=seed).double().requires_grad_()
    maps = scores.softmax(1)
    found = estimated_saliency(maps, chosen, known, 1 - weight)
    expected = direct_saliency(maps, chosen, known, weight)
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=0)
    # The same also to learn from, as the maps of every pixel sum to 1 whatever the scores.
    cotangent = drawn(*found.shape, seed=seed + 1).double()
    pair = [torch.autograd.grad(form, scores, cotangent, retain_graph=True)[0] for form in (found, expected)]
    torch.testing.assert_close(*pair, atol=1e-14, rtol=0)


def test_the_estimate_by_hand():
    maps = torch.tensor([0.1, 0.2, 0.3, 0.4])[None, :, None, None]
    tags, foreground = torch.tensor([[1.0, 1, 0]]), torch.tensor([[True, False, False]])
    for share in (0.0, 0.1, 0.5, 1.0):
        assert estimated_saliency(maps, foreground, tags, share).item() == pytest.approx(0.2 + share * 0.4)


def test_the_saliency_loss_by_hand():
    # Two pixels: class 1 has 0.8 and 0.1, the background 0.1 and 0.7, class 2 (absent) 0.1 and 0.2.
    scores = torch.tensor([[[[0.1, 0.7]], [[0.8, 0.1]], [[0.1, 0.2]]]]).log()
    saliency, tags = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[1.0, 0.0]])
    inside = ((0.8 + 0.05 - 1) ** 2 + (0.1 + 0.1) ** 2) / 2
    assert saliency_loss(scores, saliency, tags, 0.4, 0.5).item() == pytest.approx(inside, abs=1e-6)
    # Where the map is not salient, its class explains nothing: only the absent class does.
    outside = ((0.05 - 0) ** 2 + (0.1 - 1) ** 2) / 2
    assert saliency_loss(scores, 1 - saliency, tags, 0.4, 0.5).item() == pytest.approx(outside, abs=1e-6)


def test_learning_scores_draws_the_outline_of_a_salient_tag():
    saliency = torch.zeros(1, 1, 40, 48)
    saliency[:, :, 8:24, 8:32] = 1
    scores = torch.zeros(1, CLASSES + 1, *GRID)
    scores[0, 1, 1, 1], scores[0, 2, 4, 5] = 4, 4  # class 1 begins inside, class 2 outside
    scores.requires_grad_()
    for _ in range(60):
        loss = saliency_loss(scores, saliency, torch.tensor([[1.0, 1, 0, 0]]), 0.4, 0.0)
        scores.data -= 200 * torch.autograd.grad(loss, scores)[0]
    inside = resized_saliency(saliency, GRID)[0, 0] > 0.5
    maps = probabilities(scores.detach())[0]
    assert (maps[1][inside] > 0.9).all()
    assert (maps[1][~inside] < 0.1).all()
    assert (maps[2][inside] < 0.1).all()


@pytest.mark.parametrize("tags", [0.0, 1.0])
@pytest.mark.parametrize("saliency", [0.0, 1.0])
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_extreme_inputs_are_finite(tags: float, saliency: float, size: float):
    scores = (size * drawn(2, CLASSES + 1, *GRID)).requires_grad_()
    loss = saliency_loss(scores, torch.full((2, 1, 40, 48), saliency), torch.full((2, CLASSES), tags))
    loss.backward()
    assert 0 <= loss.item() <= 1
    assert scores.grad.isfinite().all()


def test_one_class_and_one_pixel_are_enough():
    assert saliency_loss(drawn(1, 2, 1, 1), torch.ones(1, 1, 1, 1), torch.ones(1, 1)).isfinite()


def test_the_loss_is_float32_under_mixed_precision():
    scores, saliency = 2 * drawn(2, CLASSES + 1, 40, 40), drawn_saliency(2, 1, 80, 80)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, share = (
            saliency_loss(scores, saliency, TAGS),
            salient_share(probabilities(scores), saliency[:, :, ::2, ::2]),
        )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(saliency_loss(scores, saliency, TAGS).item(), abs=1e-6)
    torch.testing.assert_close(share, salient_share(probabilities(scores), saliency[:, :, ::2, ::2]))
    assert probabilities(scores.bfloat16()).dtype == torch.float32
    assert saliency_loss(scores.bfloat16(), saliency, TAGS).dtype == torch.float32


def test_decisions_carry_no_gradient():
    scores = drawn(2, CLASSES + 1, *GRID).requires_grad_()
    saliency = drawn_saliency(2, 1, *GRID)
    maps = probabilities(scores)
    share = salient_share(maps[:, 1:], saliency)
    assert not share.requires_grad
    fixed = salient_tags(share, TAGS, 0.4)
    estimate = direct_saliency(maps, fixed, TAGS, 0.5)
    pair = [
        torch.autograd.grad(loss, scores, retain_graph=True)[0]
        for loss in (saliency_loss(scores, saliency, TAGS), F.mse_loss(estimate, saliency))
    ]
    torch.testing.assert_close(*pair, atol=1e-8, rtol=1e-5)


# ── the method ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_maps_and_background_share_every_pixel():
    with torch.no_grad():
        found = method()(batch().images)
    assert found.scores.shape == (2, CLASSES + 1, 5, 6)
    assert found.background is not None
    together = torch.cat([found.background, found.maps], dim=1)
    torch.testing.assert_close(together.sum(1), torch.ones(2, 5, 6))
    torch.testing.assert_close(together, found.scores.softmax(1))
    torch.testing.assert_close(found.logits, found.scores[:, 1:].mean(dim=(2, 3)))
    assert found.refined is None


def test_the_embedding_is_what_the_maps_are_read_from():
    network = method()
    with torch.no_grad():
        found = network(batch().images)
        torch.testing.assert_close(network.fc8(found.embedding), found.scores)
    assert network.fc8.bias is None
    assert network.fc8.out_channels == CLASSES + 1


def test_an_ignored_background_still_takes_its_share_of_the_maps():
    with torch.no_grad():
        learnt, ignored = (method(background=kind)(batch().images) for kind in ("learnt", "ignored"))
    assert ignored.background is None
    assert torch.equal(ignored.maps, learnt.maps)


def test_passes_of_several_scales_are_summed_after_their_softmax():
    network = method().eval()
    images = [drawn(3, 33, 41, seed=1), drawn(3, 17, 21, seed=2)]
    passes, _ = summed_activations(network, images, flip=True)
    found = class_maps(passes, torch.tensor([2]), (33, 41))
    expected = torch.zeros(2, 33, 41)
    with torch.no_grad():
        for image in images:
            for mirror in (False, True):
                scores = network(image[None].flip(-1) if mirror else image[None]).scores
                maps = scores.flip(-1).softmax(1) if mirror else scores.softmax(1)
                expected += F.interpolate(maps, (33, 41), mode="bilinear", align_corners=False)[0, [0, 3]]
    torch.testing.assert_close(found, expected)


def test_dropout_acts_on_scores_in_training_alone():
    network = method(dropout=0.9)
    images = batch().images
    with torch.no_grad():
        assert not torch.equal(network.train()(images).scores, network.train()(images).scores)
        assert torch.equal(network.eval()(images).scores, network.eval()(images).scores)
        assert torch.equal(network.train()(images).embedding, network.eval()(images).embedding)


def test_the_losses_are_the_two_terms():
    network = method(saliency_weight=3.0, overlap=0.2, absent_share=0.1)
    losses, step = network.losses(batch()), batch()
    found = network(step.images)
    assert losses.keys() == {"tags", "saliency"}
    torch.testing.assert_close(losses["tags"], tag_loss(found.logits, TAGS))
    expected = 3 * saliency_loss(found.scores, step.saliency, TAGS, 0.2, 0.1)
    torch.testing.assert_close(losses["saliency"], expected)


def test_without_saliency_the_error_names_both_choices():
    for network in (method(), method(equivariance=TWO_VIEWS)):
        with pytest.raises(TagmaskError, match=r"data\.saliency=FOLDER.*data\.saliency=built-in"):
            network.losses(batch(saliency=False))
    with pytest.raises(TagmaskError):
        saliency_of(batch(saliency=False))


def test_what_learns_from_what():
    network = method()
    losses = network.losses(batch())
    everything = {name for name, _ in network.named_parameters()}
    assert reached(network, losses["saliency"]) == everything
    assert reached(network, losses["tags"]) == everything
    assert not gradients(network, losses["tags"])["fc8.weight"][0].any()
    assert gradients(network, losses["tags"])["fc8.weight"][1:].flatten(1).any(dim=1).all()
    assert gradients(network, losses["saliency"])["fc8.weight"].flatten(1).any(dim=1).all()


# ── the second view ──────────────────────────────────────────────────────────────────────────────────────────────────


def activations(network: Eps, step: Batch) -> list[EpsActivation]:
    return [network(view) for view in network.views(step.images)]


def test_views_with_and_without_equivariance():
    images = batch().images
    assert method().num_views == 1
    assert method().views(images)[0] is images
    network = method(equivariance=TWO_VIEWS)
    assert network.num_views == 2
    assert [tuple(view.shape[2:]) for view in network.views(images)] == [(33, 41), (16, 20)]
    fixed = method(equivariance=EquivarianceConfig(view_size=24))
    assert tuple(fixed.views(images)[1].shape[2:]) == (24, 24)


def test_inference_does_without_the_correlation():
    plain, refined = method(), method(equivariance=TWO_VIEWS)
    refined.load_state_dict(plain.state_dict(), strict=False)
    images = batch().images
    with torch.no_grad():
        assert refined.eval()(images).refined is None
        assert torch.equal(refined(images).maps, plain.eval()(images).maps)
        trained = refined.train()(images)
    assert trained.refined is not None
    assert trained.refined.shape == trained.scores.shape
    assert torch.equal(trained.maps, plain(images).maps)


def test_tag_and_saliency_loss_are_means_over_both_views():
    network, step = method(equivariance=TWO_VIEWS), batch()
    losses, views = network.losses(step), activations(network, step)
    assert losses.keys() == {"tags", "saliency", "consistency", "cross", "min_pool"}
    torch.testing.assert_close(losses["tags"], sum(tag_loss(view.logits, TAGS) for view in views) / 2)
    each = [saliency_loss(view.scores, step.saliency, TAGS) for view in views]
    torch.testing.assert_close(losses["saliency"], sum(each) / 2)


def test_a_smaller_view_is_compared_with_the_saliency_of_its_nearest_pixels():
    network, step = method(equivariance=TWO_VIEWS), batch()
    scores = activations(network, step)[1].scores
    assert scores.shape[2:] == (2, 3)  # floor(i * 33 / 2) = 0, 16 and floor(j * 41 / 3) = 0, 13, 27
    small = step.saliency[:, :, [0, 16]][:, :, :, [0, 13, 27]]
    torch.testing.assert_close(saliency_loss(scores, step.saliency, TAGS), saliency_loss(scores, small, TAGS))


def test_the_saliency_of_the_second_view_may_be_resized_to_its_pixels_first():
    settings = {"equivariance": TWO_VIEWS, "refined_saliency": True, "second_saliency": "resized"}
    network, step = method(**settings), batch()
    losses, views = network.losses(step), activations(network, step)
    # Half of 33 x 41 pixels is 16 x 20, of which floor(i * 16 / 2) = 0, 8 and floor(j * 20 / 3) = 0, 6, 13 are read.
    smaller = F.interpolate(step.saliency, (16, 20), mode="bilinear", align_corners=True)
    second = smaller[:, :, [0, 8]][:, :, :, [0, 6, 13]]
    for name, scores in (("saliency", [v.scores for v in views]), ("refined_saliency", [v.refined for v in views])):
        each = [saliency_loss(s, given, TAGS) for s, given in zip(scores, (step.saliency, second), strict=True)]
        torch.testing.assert_close(losses[name], sum(each) / 2)
    sampled = method(**settings | {"second_saliency": "sampled"}).losses(step)
    assert abs(sampled["saliency"] - losses["saliency"]) > 1e-4


def test_without_a_second_view_there_is_no_saliency_of_one():
    with pytest.raises(ValueError, match="second_saliency `resized` needs `equivariance`"):
        EpsConfig(second_saliency="resized")


def test_equivariance_is_that_of_seam_on_the_feature_grids():
    network, step = method(equivariance=TWO_VIEWS), batch()
    losses, views = network.losses(step), activations(network, step)
    scores, refined = [view.scores for view in views], [view.refined for view in views]
    expected = equivariance_losses(scores, refined, TAGS, TWO_VIEWS, [(5, 6), (2, 3)])
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_what_learns_from_the_second_view():
    network = method(equivariance=TWO_VIEWS, refined_saliency=True)
    losses = network.losses(batch())
    everything = {name for name, _ in network.named_parameters()}
    module = {name for name in everything if name.startswith("correlation.")}
    assert len(module) == 3
    for name in ("tags", "saliency", "consistency"):
        assert reached(network, losses[name]) == everything - module
    for name in ("cross", "min_pool", "refined_saliency"):
        assert reached(network, losses[name]) == module


def test_refined_maps_teach_the_classifier_if_asked_to():
    settings = TWO_VIEWS.model_copy(update={"cross_reaches": "maps"})
    network = method(equivariance=settings, refined_saliency=True)
    assert "fc8.weight" in reached(network, network.losses(batch())["refined_saliency"])


def test_refined_saliency_adds_one_loss_and_changes_none():
    step = batch()
    plain = method(equivariance=TWO_VIEWS).losses(step)
    network = method(equivariance=TWO_VIEWS, refined_saliency=True, saliency_weight=2.0)
    losses = network.losses(step)
    each = [saliency_loss(view.refined, step.saliency, TAGS) for view in activations(network, step)]
    assert losses.keys() - plain.keys() == {"refined_saliency"}
    torch.testing.assert_close(losses["refined_saliency"], 2 * sum(each) / 2)
    torch.testing.assert_close(losses["saliency"], 2 * plain["saliency"])
    for name in ("tags", "consistency", "cross", "min_pool"):
        torch.testing.assert_close(losses[name], plain[name])


def test_no_tag_is_ever_salient_by_refined_maps():
    # A softmax of 21 numbers in [0, 1] reaches e / (e + 20) = 0.12, so only the absent classes explain anything.
    refined = torch.zeros(1, 21, *GRID)
    refined[0, 3] = 1
    maps, saliency, tags = probabilities(refined), torch.ones(1, 1, *GRID), F.one_hot(torch.tensor([2]), 20).float()
    assert maps.max().item() == pytest.approx(0.1197, abs=1e-4)
    assert (salient_share(maps[:, 1:], saliency) == 0).all()
    absent = maps[:, 1:].sum(1, keepdim=True) - maps[:, 3:4]
    expected = F.mse_loss(absent / 2, saliency)
    torch.testing.assert_close(saliency_loss(refined, saliency, tags), expected)
    leaf = refined.clone().requires_grad_()
    saliency_loss(leaf, saliency, tags).backward()
    assert (leaf.grad[0, 3] > 0).all()  # so it presses the tag's refined map down where the image is salient


def test_the_published_oversight_changes_the_cross_loss_alone():
    tags = torch.tensor([[1.0, 0, 1, 0], [1, 1, 0, 0]])
    step = batch(tags=tags)
    correct = method(equivariance=TWO_VIEWS).losses(step)
    network = method(equivariance=TWO_VIEWS, background_last=True)
    repeated, views = network.losses(step), activations(network, step)
    assert not torch.allclose(repeated["cross"], correct["cross"])
    for name in ("tags", "saliency", "consistency", "min_pool"):
        torch.testing.assert_close(repeated[name], correct[name])
    scores, refined = [view.scores for view in views], [view.refined for view in views]
    expected = equivariance_losses(scores, refined, tags, TWO_VIEWS, [(5, 6), (2, 3)], exempt=1)
    torch.testing.assert_close(repeated["cross"], expected["cross"])


@pytest.mark.parametrize("tags", [0.0, 1.0])
def test_losses_of_two_views_are_finite_for_images_with_no_tag_or_all(tags: float):
    network = method(equivariance=TWO_VIEWS, refined_saliency=True, background_last=True)
    losses = network.losses(batch(tags=torch.full((2, CLASSES), tags)))
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_every_parameter_is_in_one_group_and_the_added_layers_are_new():
    network = method(equivariance=TWO_VIEWS)
    groups = network.parameter_groups()
    assert sorted(id(p) for group in groups for p in group.parameters) == sorted(map(id, network.parameters()))
    new = {id(p) for group in groups if group.new for p in group.parameters}
    assert new == {id(network.fc8.weight), *map(id, network.correlation.parameters())}
