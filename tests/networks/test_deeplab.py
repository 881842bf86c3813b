import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional as F

from tagmask.config import AugmentConfig, SegmenterConfig, TimmBackbone, TrainingConfig
from tagmask.contracts import Backbone, Batch, Level, Normalization
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab, class_weights, dice_loss, pixel_loss
from tagmask.networks.heads import HEADS
from tagmask.training.accumulation import backward_in_parts

TRAINING = TrainingConfig(steps=1, rate=0.1, augment=AugmentConfig(crop=32))
CLASSES = 3
ODD = (65, 97)


class Pools(Backbone):
    """Average pools behind one convolution each: levels of stride 2, 4 and 8."""

    normalization = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    levels = (Level(4, 2), Level(6, 4), Level(8, 8))

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, level.channels, 1) for level in self.levels)

    def forward_levels(self, images):
        return [
            layer(F.avg_pool2d(images, level.stride, ceil_mode=True))
            for layer, level in zip(self.layers, self.levels, strict=True)
        ]

    def stages(self):
        return [[layer] for layer in self.layers]


def network(kind: str, **fields) -> DeepLab:
    rates = (2,) if kind == "deeplab_v1" else (1, 2)
    settings = {"kind": kind, "rates": rates, "width": 16, "low_level_width": 8, "training": TRAINING, **fields}
    torch.manual_seed(0)
    return DeepLab(SegmenterConfig(**settings), Pools(), CLASSES)


def batch(masks: torch.Tensor) -> Batch:
    size = tuple(masks.shape[1:])
    images = torch.randn(len(masks), 3, *size, generator=torch.Generator().manual_seed(1))
    tags, valid = torch.ones(len(masks), CLASSES), torch.ones(len(masks), *size, dtype=torch.bool)
    return Batch(tuple(map(str, range(len(masks)))), images, tags, valid, masks)


def total(net: DeepLab, step: Batch) -> torch.Tensor:
    return torch.stack(list(net.losses(step).values())).sum()


def test_every_kind_has_a_head():
    assert set(HEADS) == set(get_args(SegmenterConfig.model_fields["kind"].annotation))


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind in HEADS for number in (1, 2) if (kind, number) != ("deeplab_v3", 1)]
)
def test_odd_sizes_and_single_images_train(kind, number):
    net = network(kind).train()
    stride = 4 if kind in ("deeplab_v3plus", "semantic_fpn") else 8
    logits = net(torch.randn(number, 3, *ODD))
    assert logits.shape == (number, CLASSES + 1, *(math.ceil(n / stride) for n in ODD))
    loss = total(net, batch(torch.randint(IGNORE, CLASSES + 1, (number, *ODD))))
    loss.backward()
    assert torch.isfinite(loss)
    used = [p for p in net.head.parameters()]
    assert all(torch.isfinite(p.grad).all() for p in used)
    assert all(p.grad.abs().sum() > 0 for p in used if p.ndim > 1)


@pytest.mark.parametrize("kind", HEADS)
def test_batch_without_labels_gives_zero_and_no_gradient(kind):
    net = network(kind).train()
    loss = total(net, batch(torch.full((2, 33, 40), IGNORE)))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("kind", HEADS)
def test_every_parameter_is_in_one_group(kind):
    net = network(kind)
    groups = net.parameter_groups()
    grouped = [id(p) for group in groups for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters())
    new = {id(p) for group in groups if group.new for p in group.parameters}
    assert new == {id(p) for p in net.head.parameters()}


@pytest.mark.parametrize("kind", HEADS)
def test_train_and_eval_agree_without_dropout_and_batch_norm(kind):
    net = network(kind, dropout=0.0)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum, layer.track_running_stats = 0.0, False
            layer.running_mean = layer.running_var = None
    images = torch.randn(2, 3, 33, 40)
    with torch.no_grad():
        torch.testing.assert_close(net.train()(images), net.eval()(images))


@pytest.mark.parametrize("kind", HEADS)
def test_a_few_steps_fit_a_halved_image(kind):
    net = network(kind, dropout=0.0).train()
    masks = torch.zeros(2, 32, 32, dtype=torch.long)
    masks[:, :, 16:] = 2
    step = batch(masks)
    step.images[:, :, :, 16:] += 3
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(12):
        loss = total(net, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 < losses[0]


def test_low_level_features_are_those_nearest_to_stride_four():
    assert network("deeplab_v3plus").head.low_index == 1
    vit = build_backbone(TimmBackbone(model="test_vit", weights="none"))
    net = DeepLab(SegmenterConfig(width=16, training=TRAINING), vit, CLASSES).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, *ODD)).shape == (1, CLASSES + 1, 5, 7)


def test_v1_takes_one_rate():
    with pytest.raises(TagmaskError, match=r"set rates: \[12\]"):
        network("deeplab_v1", rates=(6, 12))


def test_v2_sums_its_branches():
    net = network("deeplab_v2").eval()
    weights = torch.cat([branch.weight.flatten() for branch in net.head.branches])
    assert 0.008 < weights.std() < 0.012
    assert not any(branch.bias.any() for branch in net.head.branches)
    features = torch.zeros(1, 8, 5, 7)
    features[0, 0, 2, 3] = 1.0
    with torch.no_grad():
        for branch, tap in zip(net.head.branches, (1.0, 10.0), strict=True):
            branch.weight.fill_(tap)
        logits = net.head([features])
    # the taps of rates 1 and 2 around the one feature, which both see at its own place
    near, far = torch.zeros(5, 7), torch.zeros(5, 7)
    near[1:4, 2:5], far[::2, 1::2] = 1.0, 10.0
    assert torch.equal(logits, (near + far).expand(1, CLASSES + 1, 5, 7))


def test_images_of_a_batch_do_not_mix():
    head = network("deeplab_v3plus").head.eval()
    one, two = torch.randn(1, 8, 5, 6), torch.randn(1, 8, 5, 6)
    fine, low = torch.zeros(2, 4, 20, 24), torch.randn(2, 6, 10, 12)
    with torch.no_grad():
        both = head([fine, low, torch.cat([one, two])])
        torch.testing.assert_close(both[:1], head([fine[:1], low[:1], one]))
        torch.testing.assert_close(both[1:], head([fine[1:], low[1:], two]))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_pixel_loss_is_the_mean_over_labelled_pixels(number, rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(number, 4, 2, 3, generator=generator)
    masks = torch.randint(IGNORE, 4, (number, rows, columns), generator=generator)
    resized = F.interpolate(logits, (rows, columns), mode="bilinear", align_corners=False).log_softmax(dim=1)
    terms = [
        -resized[b, masks[b, y, x], y, x]
        for b in range(number)
        for y in range(rows)
        for x in range(columns)
        if masks[b, y, x] != IGNORE
    ]
    expected = torch.stack(terms).mean() if terms else torch.zeros(())
    torch.testing.assert_close(pixel_loss(logits, masks), expected)


def test_half_precision_logits_are_summed_in_single():
    loss = pixel_loss(torch.zeros(1, 2, 4, 4, dtype=torch.bfloat16), torch.zeros(1, 300, 300, dtype=torch.int32))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.tensor(math.log(2.0)))


# ── small and rare objects ───────────────────────────────────────────────────────────────────────────────────────────


def test_class_weights_by_hand():
    shares = torch.tensor([0.9, 0.1, 0.0])
    weights = class_weights(shares, 0.5)
    plain = torch.tensor([0.9**-0.5, 0.1**-0.5, (1e-6) ** -0.5])
    torch.testing.assert_close(weights, plain / (0.9 * plain[0] + 0.1 * plain[1]))
    assert (weights * shares).sum().item() == pytest.approx(1)
    assert class_weights(shares / 3, 0.0).tolist() == [1, 1, 1]
    assert class_weights(torch.zeros(3), 0.5).tolist() == [1, 1, 1]  # masks without a label


def test_weights_of_classes_multiply_their_pixels_and_divide_by_the_number_of_all():
    logits = torch.zeros(1, 2, 1, 2)
    masks = torch.tensor([[[0, 1]]])
    found = pixel_loss(logits, masks, torch.tensor([1.0, 3.0]))
    assert found.item() == pytest.approx((1 + 3) * math.log(2) / 2)


def test_dice_counts_the_classes_of_each_image_alike_and_background_and_unlabelled_pixels_not():
    sure = 50.0
    masks = torch.tensor([[[1, 1, 0, IGNORE]], [[2, 0, 0, 0]]])
    logits = torch.zeros(2, 3, 1, 4)
    logits[0, 1, 0, :2] = sure  # the first image is right, and says 1 where nobody knows
    logits[0, 0, 0, 2] = logits[0, 1, 0, 3] = sure
    logits[1, 0] = sure  # the second misses its one pixel of class 2
    expected = (0 + (1 - (0 + 1) / (0 + 1 + 1))) / 2
    assert dice_loss(logits, masks).item() == pytest.approx(expected, abs=1e-6)
    assert dice_loss(logits, torch.zeros(2, 1, 4, dtype=torch.int64)).item() == 0


def test_the_dice_loss_is_there_where_it_has_a_weight():
    masks = torch.randint(0, CLASSES + 1, (2, *ODD))
    plain, both = network("deeplab_v3plus"), network("deeplab_v3plus", dice_weight=2.0)
    losses = both.losses_from([plain(torch.randn(2, 3, *ODD))], batch(masks))
    assert losses.keys() == {"pixels", "dice"}
    assert "dice" not in plain.losses_from([plain(torch.randn(2, 3, *ODD))], batch(masks))


def test_padding_that_is_cut_changes_nothing_of_an_image():
    net = network("semantic_fpn", padding="cut", dropout=0.0)
    step = batch(torch.randint(IGNORE, CLASSES + 1, (2, 24, 32)))
    valid = step.valid.clone()
    valid[0] = False
    valid[0, 3:17, 4:29] = True
    (found,) = net.outputs(replace(step, valid=valid))
    alone = net(step.images[:1, :, 3:17, 4:29])
    expected = F.interpolate(alone, size=(14, 25), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:1, :, 3:17, 4:29], expected)
    assert not found[0][:, ~valid[0]].any()
    assert found.shape == (2, CLASSES + 1, 24, 32)


@pytest.mark.parametrize("kind", ["deeplab_v3plus", "semantic_fpn"])
@pytest.mark.parametrize("padding", ["pass", "cut"])
def test_tags_are_learned_and_weigh_the_classes_of_an_image(kind, padding):
    net = network(kind, tag_weight=0.5, padding=padding)
    step = batch(torch.randint(IGNORE, CLASSES + 1, (2, 24, 32)))
    logits, tags = net.outputs(step)
    losses = net.losses_from([logits, tags], step)
    torch.testing.assert_close(losses["tags"], 0.5 * F.binary_cross_entropy_with_logits(tags, step.tags))
    losses["tags"].backward()
    assert net.tags.classify.weight.grad.abs().sum() > 0
    assert sum(len(group.parameters) for group in net.parameter_groups()) == len([*net.parameters()])
    net.eval()
    with torch.no_grad():
        plain, tags = net._logits(step.images)
        found = net(step.images)
    torch.testing.assert_close(found[:, 0], plain[:, 0])
    torch.testing.assert_close(found[:, 1:], plain[:, 1:] + tags.sigmoid().log()[:, :, None, None])


@pytest.mark.parametrize("kind", ["deeplab_v1", "deeplab_v2"])
def test_heads_without_fine_features_have_no_tag_head(kind):
    with pytest.raises(TagmaskError, match=r"segmenter\.tag_weight is 1, and deeplab_v"):
        network(kind, tag_weight=1.0)


# ── the maximum over scales ──────────────────────────────────────────────────────────────────────────────────────────

SCALES = (1.0, 0.75, 0.5)


def plain_grids(net: DeepLab, images: torch.Tensor) -> list[torch.Tensor]:
    """Logits of one pass after the other and their maximum, as DeepLab v2's public code in PyTorch has them."""
    found = []
    for scale in SCALES:
        size = [int(side * scale) for side in images.shape[2:]]
        smaller = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        found.append(net.head(net.backbone.forward_levels(smaller)))
    same = [F.interpolate(grid, found[0].shape[2:], mode="bilinear", align_corners=False) for grid in found]
    return [*found, torch.stack(same).max(dim=0).values]


def test_each_scale_and_the_maximum_have_a_cross_entropy_on_their_own_grids():
    net = network("deeplab_v2", dropout=0.0, maximum_over=SCALES).train()
    step = batch(torch.randint(IGNORE, CLASSES + 1, (2, *ODD), generator=torch.Generator().manual_seed(2)))
    grids, expected = plain_grids(net, step.images), 0.0
    assert [tuple(grid.shape[2:]) for grid in grids] == [(9, 13), (6, 9), (4, 6), (9, 13)]
    for grid in grids:
        columns_rows = (grid.shape[3], grid.shape[2])
        masks = [Image.fromarray(mask.numpy().astype(np.int32)) for mask in step.masks]
        labels = np.stack([np.asarray(mask.resize(columns_rows, Image.Resampling.NEAREST)) for mask in masks])
        expected = expected + F.cross_entropy(grid, torch.from_numpy(labels).long(), ignore_index=IGNORE)
    assert [*net.losses(step)] == ["pixels_1", "pixels_0.75", "pixels_0.5", "pixels_maximum"]
    torch.testing.assert_close(total(net, step), expected)
    torch.testing.assert_close(net.eval()(step.images), grids[-1])


def test_four_losses_have_four_times_the_gradient_of_one():
    gradients = []
    for scales in ((), SCALES):
        net = network("deeplab_v2", dropout=0.0, maximum_over=scales)
        for branch in net.head.branches:
            nn.init.zeros_(branch.weight)  # all classes are as likely everywhere, at every scale
        total(net, batch(torch.full((2, 32, 40), 2))).backward()
        gradients.append(net.head.branches[0].bias.grad)
    torch.testing.assert_close(gradients[0], torch.tensor([0.25, 0.25, -0.75, 0.25]))
    torch.testing.assert_close(gradients[1], torch.tensor([1.0, 1.0, -3.0, 1.0]))


def test_the_losses_of_several_scales_are_those_of_the_whole_batch_in_parts():
    step = batch(torch.randint(IGNORE, CLASSES + 1, (2, 32, 40), generator=torch.Generator().manual_seed(3)))
    parts = [
        Batch((str(i),), *(value[i : i + 1] for value in (step.images, step.tags, step.valid, step.masks)))
        for i in range(2)
    ]
    whole, cut = (network("deeplab_v2", dropout=0.0, maximum_over=SCALES).train() for _ in range(2))
    total(whole, step).backward()
    losses = backward_in_parts(cut, parts)
    torch.testing.assert_close(torch.stack(list(losses.values())).sum(), total(whole, step))
    for one, other in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_a_network_of_several_scales_has_the_weights_of_a_plain_one():
    plain, several = network("deeplab_v2"), network("deeplab_v2", maximum_over=SCALES)
    several.load_state_dict(plain.state_dict())
    smallest = torch.zeros(1, 3, 1, 1)
    assert several.eval()(smallest).shape == (1, CLASSES + 1, 1, 1)


# ── how the published head learns ────────────────────────────────────────────────────────────────────────────────────


def test_affine_parts_that_do_not_learn_are_in_no_group():
    net = network("deeplab_v1", head={"batch_norm": "statistics"})
    grouped = {id(parameter) for group in net.parameter_groups() for parameter in group.parameters}
    layers = [layer for layer in net.head.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert not grouped & {id(parameter) for layer in layers for parameter in layer.parameters()}
    assert len(grouped) == len([*net.parameters()]) - 2 * len(layers)
