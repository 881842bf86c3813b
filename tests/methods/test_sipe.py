"""SIPE: each step by hand and against its definition, what learns from what, and what each option does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from shared_runs import tiny_backbone
from tagmask.config import LearntLabels, MasksConfig, SipeConfig, TimmBackbone
from tagmask.contracts import Activation, Batch
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.inference.passes import class_maps, pyramid, summed_activations, unmirrored
from tagmask.masks.scores import normalize_max
from tagmask.methods import likeness
from tagmask.methods.cam import tag_loss
from tagmask.methods.likeness import unit_features
from tagmask.methods.sipe import (
    Sipe,
    SipeActivation,
    allowed,
    divided_by_maximum,
    general_maps,
    hierarchical_features,
    image_prototypes,
    image_specific_maps,
    map_consistency,
    matched_factor,
    seeds,
    structure_overlap,
)
from tagmask.networks.backbones.freezing import freeze
from tagmask.networks.backbones.from_timm import FromTimm
from tagmask.stages.masks import MaskMaker
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, write_maps

CLASSES = 4
GRID = (5, 6)
TAGS = torch.tensor([[1.0, 0, 1, 0], [0, 0, 1, 0]])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def method(**settings: object) -> Sipe:
    torch.manual_seed(3)
    return Sipe(SipeConfig(**{"widths": (3, 4, 5), **settings}), tiny_backbone(), CLASSES)


def activation(images: int = 2, size: tuple[int, int] = GRID, seed: int = 0) -> SipeActivation:
    """What ``forward`` could return: class maps of either sign, three levels of side features."""
    scores = drawn(images, CLASSES, *size, seed=seed)
    sides = [drawn(images, width, *size, seed=seed + width) for width in (3, 4, 5)]
    embedding = drawn(images, 8, *size, seed=seed + 9).relu()
    hierarchical = hierarchical_features(sides, size)
    return SipeActivation(scores.mean(dim=(2, 3)), scores.relu(), None, embedding, scores, hierarchical)


def all_maps(found: Activation) -> Tensor:
    return torch.cat([found.background, found.maps], dim=1)


def valid_box(bottom: int, right: int, size: tuple[int, int] = GRID, images: int = 2) -> Tensor:
    valid = torch.zeros(images, *size, dtype=torch.bool)
    valid[:, :bottom, :right] = True
    return valid


def broadcast_overlap(features: Tensor, maps: Tensor) -> Tensor:
    """Equations 3 and 4 as they stand: channels x pixels x pixels numbers."""
    flat = features.flatten(2)
    unit = flat / (flat.norm(dim=1, keepdim=True) + 1e-5)
    structure = (unit.transpose(1, 2) @ unit).relu()
    intersection = (structure[:, None] * maps.flatten(2)[:, :, None]).sum(dim=3)
    union = structure.sum(dim=2)[:, None] + maps.flatten(2).sum(dim=2)[..., None] - intersection
    return (intersection / union).nan_to_num(0).view_as(maps)


# ── features ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_side_features_have_unit_length_at_their_own_resolution_only():
    coarse, fine = drawn(1, 64, *GRID), drawn(1, 64, 20, 24)
    stacked = hierarchical_features([fine, coarse], GRID)
    assert stacked.shape == (1, 128, *GRID)
    torch.testing.assert_close(stacked[:, 64:], unit_features(coarse))
    torch.testing.assert_close(stacked[:, 64:].norm(dim=1), torch.ones(1, *GRID), atol=1e-4, rtol=0)
    # Four neighbours of unit length and no likeness, averaged: half as long.
    torch.testing.assert_close(stacked[:, :64].norm(dim=1), torch.full((1, *GRID), 0.5), atol=0.1, rtol=0)


def test_a_smooth_fine_level_keeps_its_length():
    flat = drawn(1, 8, 1, 1).expand(-1, -1, 20, 24)
    length = hierarchical_features([flat], GRID).norm(dim=1)
    torch.testing.assert_close(length, torch.ones(1, *GRID), atol=1e-4, rtol=0)


# ── maps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_general_maps_by_hand():
    scores = torch.tensor([[[[4.0, 1.0, -3.0]], [[-1.0, 2.0, -2.0]]]])
    expected = torch.tensor([[[[0.0, 0.0, 1.0]], [[1.0, 0.25, 0.0]], [[0.0, 1.0, 0.0]]]])
    torch.testing.assert_close(general_maps(scores), expected, atol=1e-5, rtol=0)
    half = general_maps(scores, background_factor=0.5)
    torch.testing.assert_close(half[:, 0], expected[:, 0] / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(half[:, 1:], expected[:, 1:], atol=1e-5, rtol=0)


def test_maps_without_a_positive_score_are_zero_and_all_background():
    maps = general_maps(-drawn(2, 3, *GRID).abs())
    assert (maps[:, 1:] == 0).all()
    assert (maps[:, 0] == 1).all()


def test_what_is_allowed_is_the_background_and_the_tags_within_the_photograph():
    valid = torch.zeros(2, 33, 47, dtype=torch.bool)
    valid[0], valid[1, 5:30, :20] = True, True
    channels = allowed(TAGS, valid, GRID)
    assert channels.shape == (2, 1 + CLASSES, *GRID)
    assert (channels[0] == torch.tensor([1.0, 1, 0, 1, 0])[:, None, None]).all()
    assert (channels[1, 2] == 0).all()
    # Nearest: cell i looks at pixel floor(i * 33 / 5) = 0, 6, 13, 19, 26, column j at floor(j * 47 / 6) = 0, 7, 15, 23.
    inside = torch.zeros(GRID)
    inside[1:5, :3] = 1
    assert torch.equal(channels[1, 0], inside)
    assert torch.equal(channels[1, 3], inside)
    assert torch.equal(allowed(TAGS, None, GRID)[1, :, 0, 0], torch.tensor([1.0, 0, 0, 1, 0]))


# ── structure and seeds ──────────────────────────────────────────────────────────────────────────────────────────────

shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 7), st.integers(1, 7))


@given(shapes, st.integers(0, 99), st.booleans(), st.booleans())
def test_the_overlap_is_its_definition(shape, seed, rectified, gaps):
    images, channels, width, *size = shape
    features, maps = drawn(images, width, *size, seed=seed), drawn(images, channels, *size, seed=seed + 1).sigmoid()
    features = features.relu() if rectified else features
    if gaps:  # pixels without feature, an empty map
        features = features * (drawn(images, 1, *size, seed=seed + 2) > 0)
        maps[:, :1] = 0
    found = structure_overlap(features, maps)
    torch.testing.assert_close(found, broadcast_overlap(features, maps), atol=2e-6, rtol=0)
    assert (found >= 0).all()
    assert (found <= 1 + 1e-6).all()
    if rectified:
        spared = structure_overlap(features, maps, signed=False)
        torch.testing.assert_close(spared, found, atol=2e-6, rtol=0)


def test_the_overlap_by_hand():
    features = torch.tensor(
        [[[[1.0, 3.0, 0.0]], [[0.0, 0.0, -2.0]]]]
    )  # the first two pixels alike, the third by itself
    maps = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]])
    expected = torch.tensor([[[[1 / 2, 1 / 2, 0]], [[0.5 / 3, 0.5 / 3, 1 / 1.5]], [[0.0, 0.0, 0.0]]]])
    torch.testing.assert_close(structure_overlap(features, maps), expected, atol=1e-4, rtol=0)


@given(shapes, st.integers(0, 99), st.integers(1, 400))
def test_rows_in_blocks_are_rows_at_once(shape, seed, memory):
    images, channels, width, *size = shape
    features, maps = drawn(images, width, *size, seed=seed), drawn(images, channels, *size, seed=seed + 1).sigmoid()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "MEBIBYTE", 1)
        blocks = structure_overlap(features, maps, memory)
    torch.testing.assert_close(blocks, structure_overlap(features, maps), atol=1e-6, rtol=0)


class LargestTensor(TorchDispatchMode):
    """How many numbers the largest tensor has that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        made = result if isinstance(result, list | tuple) else [result]
        self.numbers = max([self.numbers, *(each.numel() for each in made if isinstance(each, Tensor))])
        return result


@pytest.mark.parametrize("channels", [2, 81])
def test_the_structure_map_never_exists_whole(channels):
    features, maps = drawn(2, 3, 40, 50), drawn(2, channels, 40, 50).sigmoid()
    with LargestTensor() as largest:
        structure_overlap(features, maps, memory=1)
    assert 0 < largest.numbers <= max(2**20 // 4, 2 * 2 * (channels + 1) * 2000)
    assert largest.numbers < 2 * 2000**2 / 8


def test_nothing_learns_through_structure_or_seeds():
    features, scores = drawn(1, 3, *GRID).requires_grad_(), drawn(1, CLASSES, *GRID).requires_grad_()
    overlap = structure_overlap(features, general_maps(scores))
    assert not overlap.requires_grad
    assert not seeds(overlap, torch.ones_like(overlap)).requires_grad


def test_seeds_are_the_first_of_the_best_where_they_are_allowed():
    overlap = torch.tensor([[[[0.5, 0.1, 0.2]], [[0.5, 0.3, 0.1]], [[0.1, 0.3, 0.9]]]])
    everywhere = torch.ones_like(overlap)
    assert seeds(overlap, everywhere)[0, :, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    without_third = everywhere.clone()
    without_third[:, 2] = 0
    assert seeds(overlap, without_third)[0, :, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


@given(st.integers(0, 99), st.integers(0, 33), st.integers(0, 47))
def test_padding_never_receives_seeds(seed, bottom, right):
    open_to = allowed(TAGS, valid_box(bottom, right, (33, 47)), GRID)
    sown = seeds(drawn(2, 1 + CLASSES, *GRID, seed=seed), open_to)
    outside = F.interpolate(valid_box(bottom, right, (33, 47))[:, None].float(), GRID) == 0
    assert (sown.sum(dim=1, keepdim=True)[outside] == 0).all()


# ── prototypes and image-specific maps ───────────────────────────────────────────────────────────────────────────────


def test_prototypes_are_sums_over_seeds_by_the_number_of_all_pixels():
    features, channel = drawn(2, 7, *GRID), drawn(2, 3, *GRID).argmax(dim=1)
    sown = F.one_hot(channel, 3).permute(0, 3, 1, 2).float()
    sown[:, 1] = 0
    found = image_prototypes(sown, features)
    expected = (sown[:, :, None] * features[:, None]).mean(dim=(3, 4))  # channels x features x pixels numbers
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)
    assert (found[:, 1] == 0).all()


def test_image_specific_maps_are_rectified_cosines():
    features, found = drawn(2, 7, *GRID), drawn(2, 3, 7)
    features[:, :, 0, 0], found[:, 1] = 0, 0
    maps = image_specific_maps(features, found)
    expected = F.cosine_similarity(features[:, None], found[..., None, None], dim=2).relu()
    torch.testing.assert_close(maps, expected, atol=1e-6, rtol=0)
    assert (maps[:, 1] == 0).all()  # a prototype without seeds
    assert (maps[..., 0, 0] == 0).all()  # a pixel without feature


def test_a_single_seed_is_most_like_itself():
    features, sown = drawn(1, 7, *GRID), torch.zeros(1, 1, *GRID)
    sown[0, 0, 2, 3] = 1
    maps = image_specific_maps(features, image_prototypes(sown, features))
    assert maps[0, 0, 2, 3].item() == pytest.approx(1, abs=1e-6)
    assert maps.flatten().argmax() == 2 * GRID[1] + 3


# ── consistency ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_consistency_by_hand():
    general = torch.tensor([[[[1.0, 0.5]], [[0.0, 0.5]]]])
    specific = torch.tensor([[[[0.2, 0.4]], [[0.0, 0.0]]]])  # over their maxima 0.5, 1 and 0, 0
    loss = map_consistency(general, specific)
    assert loss.item() == pytest.approx((0.5 + 0.5 + 0 + 0.5) / 4, abs=1e-4)
    only_first = map_consistency(general, specific, torch.tensor([[1.0, 0.0]]))
    assert only_first.item() == pytest.approx(0.5, abs=1e-4)


def test_absent_classes_dilute_the_consistency_by_known_factors():
    present, absent = torch.rand(2, 3, *GRID), torch.zeros(2, 5, *GRID)
    general, specific = torch.cat([present, absent], 1), torch.cat([drawn(2, 3, *GRID).relu(), absent], 1)
    channels = torch.tensor([[1.0] * 3 + [0.0] * 5] * 2)
    diluted, undiluted = (
        map_consistency(general, specific),
        map_consistency(general, specific, channels),
    )
    torch.testing.assert_close(undiluted, diluted * 8 / 3)


def test_dividing_by_the_maximum_leaves_zero_maps_alone():
    maps = torch.tensor([[[[2.0, 4.0]], [[0.0, 0.0]]]])
    torch.testing.assert_close(
        divided_by_maximum(maps)[0, :, 0], torch.tensor([[0.5, 1.0], [0.0, 0.0]]), atol=1e-5, rtol=0
    )


# ── the method: training ─────────────────────────────────────────────────────────────────────────────────────────────


def test_training_follows_the_deepest_features_and_lets_only_tags_compete():
    found, valid = activation(), valid_box(4, 5)
    finished = method().train().finish(found, TAGS, valid)
    open_to = allowed(TAGS, valid, GRID)
    general = general_maps(found.class_maps) * open_to
    overlap = broadcast_overlap(found.embedding, general)
    overlap[:, 0] *= 0.5
    sown = seeds(overlap, open_to)
    assert torch.equal(finished.general, general)
    expected = image_specific_maps(found.hierarchical, image_prototypes(sown, found.hierarchical))
    torch.testing.assert_close(all_maps(finished), expected)
    assert (finished.maps[TAGS == 0] == 0).all()


@given(st.integers(0, 50), st.lists(st.booleans(), min_size=2 * CLASSES, max_size=2 * CLASSES))
def test_leaving_out_classes_without_tag_changes_no_seed(seed, chosen):
    tags, found = torch.tensor(chosen).float().view(2, CLASSES), activation(seed=seed)
    open_to = allowed(tags, None, GRID)
    overlap = broadcast_overlap(found.embedding, general_maps(found.class_maps) * open_to)
    overlap[:, 0] *= 0.5
    sown = seeds(overlap, open_to)
    expected = image_specific_maps(found.hierarchical, image_prototypes(sown, found.hierarchical))
    torch.testing.assert_close(all_maps(method().train().finish(found, tags)), expected, atol=1e-6, rtol=0)


@given(st.integers(0, 50), st.integers(0, 33), st.integers(0, 47), st.booleans())
def test_no_prototype_knows_the_padding(seed, bottom, right, training):
    valid, found = valid_box(bottom, right, (33, 47)), activation(seed=seed)
    inside = F.interpolate(valid[:, None].float(), GRID)
    network = method(inference_seed_features="semantic").train(training)
    other = replace(found, hierarchical=torch.where(inside > 0, found.hierarchical, 7.0))
    before, after = (all_maps(network.finish(each, TAGS, valid)) for each in (found, other))
    assert torch.equal(before * inside, after * inside)


def test_losses_are_the_tag_loss_and_the_weighted_consistency():
    batch = Batch(("a", "b"), torch.zeros(2, 3, *GRID), TAGS, valid_box(*GRID))
    network = method(consistency_weight=0.25).train()
    finished = network.finish(activation(), TAGS)
    losses = network.view_losses([finished], batch)
    torch.testing.assert_close(losses["tags"], tag_loss(finished.logits, TAGS))
    torch.testing.assert_close(losses["consistency"], 0.25 * map_consistency(finished.general, all_maps(finished)))
    present = method(consistency_over="present").view_losses([finished], batch)["consistency"]
    difference = (finished.general - divided_by_maximum(all_maps(finished))).abs().mean(dim=(2, 3)).sum(dim=1)
    torch.testing.assert_close(present, (difference / torch.tensor([3.0, 2.0])).mean())


def photographs(number: int = 2, size: tuple[int, int] = (33, 47)) -> Batch:
    return Batch(tuple("abcd"[:number]), drawn(number, 3, *size), TAGS[:number], valid_box(*size, size, number))


def reached(network: Sipe, loss: Tensor) -> set[str]:
    """First words of the names of the parameters a loss has a gradient for."""
    network.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    return {name.split(".")[0] for name in moved}


def test_the_tag_loss_teaches_backbone_and_classifier_alone():
    network = method().train()
    losses = network.losses(photographs())
    assert reached(network, losses["tags"]) == {"backbone", "classifier"}
    assert reached(network, losses["consistency"]) == {"backbone", "classifier", "sides"}


def test_each_kind_of_map_carries_the_consistency_to_its_own_layers():
    network, batch = method().train(), photographs()
    finished = network.finish(network(batch.images), batch.tags, batch.valid)
    general = replace(finished, maps=finished.maps.detach(), background=finished.background.detach())
    specific = replace(finished, general=finished.general.detach())
    assert reached(network, network.view_losses([general], batch)["consistency"]) == {"backbone", "classifier"}
    assert reached(network, network.view_losses([specific], batch)["consistency"]) == {"sides"}


def test_frozen_stages_learn_nothing():
    network = method().train()
    freeze(network.backbone, frozen_stages=2, batch_norm="fixed")
    torch.stack(list(network.losses(photographs()).values())).sum().backward()
    learned = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert not any(name.startswith(("backbone.convolutions.0", "backbone.convolutions.1")) for name in learned)
    assert {"backbone.convolutions.2.weight", "classifier.weight", "sides.0.weight"} <= learned


def test_half_precision_finds_the_seeds_of_full_precision():
    network, found = method().train(), activation(size=(24, 30))
    full = all_maps(network.finish(found, TAGS))
    with torch.autocast("cpu", torch.bfloat16):
        half = all_maps(network.finish(found, TAGS))
        losses = network.losses(photographs())
    torch.testing.assert_close(half, full, atol=1e-5, rtol=0)
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())


# ── the method: inference ────────────────────────────────────────────────────────────────────────────────────────────


def inferred(found: SipeActivation, tags: Tensor = TAGS, **settings: object) -> Tensor:
    return all_maps(method(**settings).eval().finish(found, tags))


def expected_maps(found: SipeActivation, features: Tensor, competing: Tensor, factors: tuple[float, float]) -> Tensor:
    """Image-specific maps from seeds by the structure of ``features``; factors of background map and overlap."""
    general = general_maps(found.class_maps, factors[0]) * allowed(competing, None, GRID)
    overlap = broadcast_overlap(features, general)
    overlap[:, 0] *= factors[1]
    sown = seeds(overlap, allowed(TAGS, None, GRID))
    return image_specific_maps(found.hierarchical, image_prototypes(sown, found.hierarchical))


def test_each_option_of_inference_does_what_it_says():
    found, everyone = activation(), torch.ones_like(TAGS)
    cases = {
        (): (found.hierarchical, everyone, (1.0, 0.5)),
        (("inference_seed_features", "semantic"),): (found.embedding, everyone, (1.0, 0.5)),
        (("absent_classes_compete", False),): (found.hierarchical, TAGS, (1.0, 0.5)),
        (("background_factor", 2.0),): (found.hierarchical, everyone, (1.0, 2.0)),
        (("background_factor_on", "map"),): (found.hierarchical, everyone, (0.5, 1.0)),
    }
    results = []
    for settings, case in cases.items():
        results.append(inferred(found, **dict(settings)))
        torch.testing.assert_close(results[-1], expected_maps(found, *case), atol=1e-6, rtol=0)
    assert not any(torch.equal(results[i], results[j]) for i in range(len(results)) for j in range(i))


def test_a_factor_on_the_map_changes_the_consistency_too():
    found = activation()
    general = method(background_factor_on="map").train().finish(found, TAGS).general
    plain = method().train().finish(found, TAGS).general
    torch.testing.assert_close(general[:, 0], plain[:, 0] / 2)
    assert torch.equal(general[:, 1:], plain[:, 1:])


def test_options_of_inference_leave_training_alone():
    settings = {"inference_seed_features": "semantic", "absent_classes_compete": False, "maps": "general"}
    plain = all_maps(method().train().finish(activation(), TAGS))
    for name, value in settings.items():
        assert torch.equal(all_maps(method(**{name: value}).train().finish(activation(), TAGS)), plain)


def test_general_maps_are_the_classifiers_with_a_background_by_rule():
    found = activation()
    finished = method(maps="general").eval().finish(found, TAGS)
    assert finished.background is None
    assert torch.equal(finished.maps, found.maps)


def test_mean_maps_lie_half_way():
    found = activation()
    network = method(maps="mean").eval()
    both = network.finish(found, TAGS)
    specific = divided_by_maximum(inferred(found))
    torch.testing.assert_close(all_maps(both), (specific + both.general) / 2)


def test_without_tags_every_class_may_have_seeds():
    found = activation()
    unknown = all_maps(method().eval().finish(found))
    assert torch.equal(unknown, inferred(found, torch.ones_like(TAGS)))
    assert (unknown.amax(dim=(2, 3)) > 0).sum() > (inferred(found).amax(dim=(2, 3)) > 0).sum()


def test_a_pixel_won_by_an_absent_class_seeds_nothing():
    """Of two kinds of pixels one belongs to an absent class: what is known about it stays unsaid."""
    features = torch.zeros(1, 2, 1, 4)
    features[0, 0, 0, :2] = features[0, 1, 0, 2:] = 1
    scores = torch.full((1, CLASSES, 1, 4), -1.0)
    scores[0, 0, 0, :2] = scores[0, 1, 0, 2:] = 1
    found = SipeActivation(scores.mean(dim=(2, 3)), scores.relu(), None, features, scores, features)
    first_alone = torch.tensor([[1.0, 0, 0, 0]])
    silent = inferred(found, first_alone)
    assert silent[0, 1, 0].tolist() == pytest.approx([1, 1, 0, 0])
    assert (silent[0, [0, 2, 3, 4]] == 0).all()
    spoken = inferred(found, first_alone, absent_classes_compete=False)
    assert torch.equal(spoken[0, 1], silent[0, 1])
    # 1 - max over all classes leaves it hardly any background there, but nothing else competes.
    assert spoken[0, 0, 0].tolist() == pytest.approx([0, 0, 1, 1])


def test_passes_of_an_image_and_its_mirror_image_are_one():
    network = method().eval()
    image = drawn(1, 3, 40, 48)
    with torch.no_grad():
        merged = unmirrored(network(torch.cat([image, image.flip(-1)])))
        single, mirrored = network(image), network(image.flip(-1))
        finished = network.finish(merged, TAGS[:1])
    torch.testing.assert_close(merged.class_maps, single.class_maps + mirrored.class_maps.flip(-1))
    torch.testing.assert_close(merged.hierarchical, single.hierarchical + mirrored.hierarchical.flip(-1))
    assert finished.maps.shape == single.maps.shape


# ── the background factor found without masks ────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 99), st.integers(1, 6), st.integers(1, 6))
def test_the_matched_factor_leaves_the_background_its_share_of_the_general_maps(seed, bottom, right):
    general, overlap = general_maps(drawn(2, 3, 6, 6, seed=seed)), drawn(2, 4, 6, 6, seed=seed + 1).sigmoid()
    inside = valid_box(bottom, right, (6, 6))
    overlap[:, 0] *= matched_factor(overlap, general, inside)
    won = (overlap.argmax(dim=1) == 0)[inside].float().mean()
    share = general[:, 0][inside].mean()
    assert abs(won - share) <= 1.5 / inside.sum()


def test_the_matched_factor_by_hand():
    overlap = torch.tensor([[[[0.2, 0.2, 0.2, 0.2, 0.2]], [[0.2, 0.1, 0.4, 0.6, 0.0]], [[0.1, 0.2, 0.3, 0.8, 0.0]]]])
    general = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1).expand(1, 3, 1, 5)
    everywhere = torch.ones(1, 1, 5, dtype=torch.bool)
    assert matched_factor(overlap, general, everywhere).item() == pytest.approx(1)  # of the ratios 0, 1, 1, 2, 4
    most = torch.tensor([[[True, True, True, True, False]]])
    assert matched_factor(overlap, general, most).item() == pytest.approx(1.5)  # between 1 and 2
    overlap[:, 0] = 0
    assert matched_factor(overlap, general, everywhere).isfinite()


def test_training_matches_the_factor_to_each_batch():
    found, valid = activation(), valid_box(4, 5)
    finished = method(background_factor="matched").train().finish(found, TAGS, valid)
    overlap = structure_overlap(found.embedding, finished.general)
    factor = matched_factor(overlap, finished.general, valid).item()
    assert torch.equal(
        all_maps(finished), all_maps(method(background_factor=factor).train().finish(found, TAGS, valid))
    )


def test_inference_takes_the_factor_that_calibration_found_and_keeps_it():
    network = method(background_factor="matched").eval()
    batch = photographs()
    half = [
        replace(
            batch,
            ids=batch.ids[i : i + 1],
            images=batch.images[i : i + 1],
            tags=batch.tags[i : i + 1],
            valid=batch.valid[i : i + 1],
        )
        for i in range(2)
    ]
    network.calibrate(half)
    factor = network.background_factor.item()
    assert factor not in (0.0, 1.0)
    with torch.no_grad():
        finished = network.finish(network(batch.images), batch.tags)
    overlap = structure_overlap(finished.hierarchical, finished.general)
    everywhere = torch.ones_like(overlap[:, 0]).bool()
    assert factor == pytest.approx(matched_factor(overlap, finished.general, everywhere).item(), abs=1e-5)
    again = method(background_factor="matched").eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(all_maps(again.finish(again(batch.images), batch.tags)), all_maps(finished))
        plain = method(background_factor=factor).eval()
        assert torch.equal(all_maps(plain.finish(plain(batch.images), batch.tags)), all_maps(finished))


def test_a_factor_that_is_set_needs_no_calibration():
    network = method()
    network.calibrate(iter([]))
    assert network.background_factor.item() == 1


# ── degenerate images ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("empty", ["class_maps", "hierarchical", "embedding", "all"])
def test_zeros_yield_no_nan_in_maps_losses_or_gradients(training, empty):
    found = activation()
    names = ("class_maps", "hierarchical", "embedding") if empty == "all" else (empty,)
    found = replace(found, **{name: torch.zeros_like(getattr(found, name)) for name in names})
    found.class_maps.requires_grad_()
    found.hierarchical.requires_grad_()
    network = method().train(training)
    for tags in (TAGS, torch.zeros_like(TAGS), torch.ones_like(TAGS)):
        finished = network.finish(found, tags, valid_box(0, 0) if empty == "all" else None)
        batch = Batch(("a", "b"), torch.zeros(2, 3, *GRID), tags, valid_box(*GRID))
        loss = network.view_losses([finished], batch)["consistency"]
        loss.backward()
        assert loss.isfinite()
        assert all_maps(finished).isfinite().all()
        for tensor in (found.class_maps, found.hierarchical):
            assert tensor.grad is None or tensor.grad.isfinite().all()


def test_maps_of_a_constant_image_are_finite():
    network = method().eval()
    with torch.no_grad():
        finished = network.finish(network(torch.zeros(1, 3, 33, 47)), torch.ones(1, CLASSES))
    assert all_maps(finished).isfinite().all()


@pytest.mark.parametrize("size", [(33, 47), (47, 33), (34, 64), (65, 97)])
@pytest.mark.parametrize("training", [True, False])
def test_any_image_size(size, training):
    network, batch = method().train(training), photographs(size=size)
    finished = network.finish(network(batch.images), batch.tags, batch.valid)
    assert finished.maps.shape == (2, CLASSES, -(-size[0] // 8), -(-size[1] // 8))
    assert all_maps(finished).isfinite().all()
    assert all(loss.isfinite() for loss in network.losses(batch).values())


def test_a_backbone_of_timm_at_an_odd_size():
    backbone = FromTimm(TimmBackbone(model="test_resnet", weights="none"))
    network = Sipe(SipeConfig(), backbone, CLASSES).train()
    assert network.levels == (1, 2, 3, 4)
    assert [side.out_channels for side in network.sides] == [128, 128, 256, 256]
    batch = photographs()
    assert network(batch.images).hierarchical.shape == (2, 768, 3, 3)
    assert all(loss.isfinite() for loss in network.losses(batch).values())


@pytest.mark.parametrize("confident", [None, LearntLabels()])
@pytest.mark.parametrize("maps", ["image_specific", "general", "mean"])
def test_an_image_without_tags_is_background_throughout(scenes, tmp_path, maps, confident):
    record = replace(scenes.split("train")[0], tags=())
    image, network = scenes.read_image(record), method(maps=maps).eval()
    passes, _ = summed_activations(network, pyramid(image, [1.0, 1.5], network.backbone.normalization), flip=True)
    finished = [network.finish(each, torch.zeros(1, CLASSES)) for each in passes]
    summed = class_maps(finished, torch.zeros(0, dtype=torch.long), image.shape[:2]).numpy()
    has_background = maps != "general"
    assert len(summed) == has_background
    if confident and not has_background:
        return  # refused: nothing is learnt there
    run = RunFolder(tmp_path)
    scores = normalize_max(summed) if len(summed) else summed
    write_maps(run.maps(record.id), MapArchive(np.zeros(len(summed), np.int16), scores, image.shape[:2]))
    MaskMaker(run, scenes, MasksConfig(confident=confident), None, 8)(record)
    assert (read_mask(run.mask(record.id), 255) == 0).all()


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_side_branches_sit_on_the_chosen_levels():
    assert method().levels == (0, 1, 2)
    network = method(levels=(0, -1), widths=(5, 6, 7))
    assert network.levels == (0, 2)
    assert [(side.in_channels, side.out_channels) for side in network.sides] == [(8, 6), (16, 7)]
    with torch.no_grad():
        assert network(photographs().images).hierarchical.shape[1] == 13


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": (0, 3)}, r"levels is \[0, 3\], but the backbone has 3 levels; choose from 0 to 2"),
        ({"levels": (-4,)}, "has 3 levels"),
        ({"widths": (8, 8)}, "widths has 2 numbers for 3 levels"),
    ],
)
def test_levels_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(TagmaskError, match=message):
        method(**settings)


def test_orthogonal_side_branches_keep_angles_as_far_as_they_can():
    for network, orthogonal in ((method(side_initialization="orthogonal"), True), (method(), False)):
        for side in network.sides:
            weight = side.weight.flatten(1)  # fewer rows than columns: rows of unit length, at right angles
            assert torch.allclose(weight @ weight.T, torch.eye(len(weight)), atol=1e-5) == orthogonal


def test_side_branches_learn_at_their_own_rate():
    network = method(side_factor=10.0)
    factors = {id(p): group.rate_factor for group in network.parameter_groups() for p in group.parameters}
    assert {factors[id(p)] for p in network.sides.parameters()} == {10.0}
    assert {factors[id(p)] for name, p in network.named_parameters() if not name.startswith("sides")} == {1.0}
    assert all(group.new for group in network.parameter_groups() if group.rate_factor == 10)


def test_without_an_image_to_match_the_factor_stays():
    network = method(background_factor="matched").eval()
    network.calibrate([])
    assert network.background_factor == 1
