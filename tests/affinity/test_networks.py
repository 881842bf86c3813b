"""AffinityNet and IRN on backbones of a few convolutions."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import shared_runs
from tagmask.affinity import build_affinity_net
from tagmask.affinity.boundaries import path_affinities
from tagmask.affinity.networks import AffinityNet, Irn
from tagmask.affinity.pairs import feature_affinities, fitting_radius, pair_exists, pair_offsets
from tagmask.config import AffinityNetConfig, AugmentConfig, IrnConfig, TimmBackbone, TrainingConfig
from tagmask.contracts import Backbone, Batch, Level, Normalization
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone

TRAINING = TrainingConfig(steps=1, rate=0.1, augment=AugmentConfig(crop=32))


class TinyBackbone(Backbone):
    normalization = Normalization((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))

    def __init__(self, num_levels: int = 4) -> None:
        super().__init__()
        channels = [3, 4, 6, 8, 10][: num_levels + 1]
        self.levels = tuple(Level(d, 2 ** (i + 1)) for i, d in enumerate(channels[1:]))
        pairs = pairwise(channels)
        self.convolutions = nn.ModuleList(nn.Conv2d(d, e, 3, stride=2, padding=1) for d, e in pairs)

    def forward_levels(self, images):
        grids = []
        for convolution in self.convolutions:
            images = F.relu(convolution(images))
            grids.append(images)
        return grids

    def stages(self):
        return [[convolution] for convolution in self.convolutions]


def make_net(num_levels: int = 4, **settings) -> AffinityNet:
    torch.manual_seed(0)
    config = AffinityNetConfig(**{"widths": (3, 5, 7), "radius": 3, "training": TRAINING} | settings)
    return AffinityNet(config, TinyBackbone(num_levels))


def make_batch(size: tuple[int, int] = (64, 96), masks: torch.Tensor | None = None) -> Batch:
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    return Batch(("a", "b"), images, torch.ones(2, 1), torch.ones(2, *size, dtype=torch.bool), masks)


def test_parameters_bear_the_published_names_and_shapes():
    shapes = {n: tuple(p.shape) for n, p in make_net().state_dict().items() if not n.startswith("backbone.")}
    assert shapes == {
        "f8_3.weight": (3, 6, 1, 1),
        "f8_4.weight": (5, 8, 1, 1),
        "f8_5.weight": (7, 10, 1, 1),
        "f9.weight": (15, 15, 1, 1),
    }


@pytest.mark.parametrize(
    ("size", "stride", "grid"), [((64, 96), 8, (8, 12)), ((61, 33), 16, (4, 3)), ((1, 1), 8, (1, 1))]
)
def test_features_lie_on_the_affinity_grid(size, stride, grid):
    net = make_net(stride=stride)
    images = make_batch(size).images
    assert net(images).shape == (2, 15, *grid)
    affinities = net.neighbourhood(images).affinities
    assert affinities.shape == (2, len(pair_offsets(3)), *grid)
    assert ((affinities >= 0) & (affinities <= 1)).all()


@pytest.mark.parametrize("border", ["full", "interior"])
@pytest.mark.parametrize("size", [(64, 96), (40, 48)])
def test_affinities_are_zero_exactly_where_there_is_no_pair(border, size):
    net = make_net(radius=4)
    affinities = net.neighbourhood(make_batch(size).images, border).affinities
    grid = (size[0] // 8, size[1] // 8)
    fitting = pair_offsets(fitting_radius(*grid, 4) if border == "interior" else 4)
    exists = dict(zip(fitting, pair_exists(*grid, fitting, border), strict=True))
    for plane, offset in enumerate(net.offsets):
        expected = exists.get(offset, torch.zeros(grid, dtype=torch.bool))
        assert ((affinities[:, plane] > 0) == expected).all()


def test_levels_are_the_last_three_or_as_chosen():
    assert make_net(4).levels == (1, 2, 3)
    assert make_net(3).levels == (0, 1, 2)
    assert make_net(2).levels == (0, 0, 1)
    assert make_net(1).levels == (0, 0, 0)
    chosen = make_net(4, levels=(0, 1, -1))
    assert chosen.levels == (0, 1, 3)
    assert chosen.f8_3.in_channels == 4
    with pytest.raises(TagmaskError, match="has 4 levels"):
        make_net(4, levels=(0, 1, 4))


def test_losses_are_named_and_reach_every_parameter():
    net = make_net(4)
    masks = torch.randint(-1, 3, (2, 8, 12), generator=torch.Generator().manual_seed(2))
    losses = net.losses(make_batch(masks=masks))
    assert set(losses) == {"background", "foreground", "negative"}
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("size", [(64, 96), (8, 8), (32, 16)])
def test_a_batch_without_any_label_costs_nothing(size):
    net = make_net()
    masks = torch.full((2, -(-size[0] // 8), -(-size[1] // 8)), IGNORE)
    total = torch.stack(list(net.losses(make_batch(size, masks)).values())).sum()
    total.backward()
    assert total.item() == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in net.parameters())


def test_training_lowers_the_losses():
    net = make_net(training_border="full", radius=2)
    masks = torch.zeros(2, 4, 6, dtype=torch.int64)
    masks[:, :, 3:] = 1
    batch = make_batch((32, 48), masks)
    batch.images[..., 24:] += 3
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    course = []
    for _ in range(8):
        optimizer.zero_grad()
        total = torch.stack(list(net.losses(batch).values())).sum()
        total.backward()
        optimizer.step()
        course.append(total.item())
    assert course[-1] < 0.8 * course[0]


def test_labels_of_another_grid_are_refused():
    net = make_net()
    with pytest.raises(ValueError, match=r"8 x 12 cells.*got masks of 4 x 6"):
        net.losses(make_batch(masks=torch.zeros(2, 4, 6, dtype=torch.int64)))
    with pytest.raises(ValueError, match="got no masks"):
        net.losses(make_batch())


def test_the_head_is_new_and_every_parameter_is_in_one_group():
    net = make_net()
    net.backbone.convolutions[0].requires_grad_(False)
    groups = net.parameter_groups()
    members = [id(p) for g in groups for p in g.parameters]
    assert sorted(members) == sorted(id(p) for p in net.parameters() if p.requires_grad)
    new = {id(p) for g in groups if g.new for p in g.parameters}
    assert new == {id(layer.weight) for layer in (net.f8_3, net.f8_4, net.f8_5, net.f9)}


# ── IRN ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

SMALL = {"edge_width": 8, "displacement_width": 64, "radius": 4, "walk_radius": 3, "training": TRAINING}


class NormalizedBackbone(TinyBackbone):
    """With batch statistics and dropout, both of which a frozen backbone must not use."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(4), nn.Dropout(0.5)

    def forward_levels(self, images):
        first, *others = super().forward_levels(images)
        return [self.dropout(self.norm(first)), *others]


def make_irn(backbone: Backbone | None = None, **settings) -> Irn:
    torch.manual_seed(0)
    net = build_affinity_net(IrnConfig(**SMALL | settings), TinyBackbone() if backbone is None else backbone)
    assert isinstance(net, Irn)
    return net


def left_and_right(height: int, width: int) -> torch.Tensor:
    labels = torch.zeros(2, height, width, dtype=torch.int64)
    labels[:, :, width // 2 :] = 1
    return labels


def total_loss(net: Irn, batch: Batch) -> torch.Tensor:
    return torch.stack(list(net.losses(batch).values())).sum()


@pytest.mark.parametrize("size", [(33, 47), (47, 34), (64, 96), (5, 3), (1, 1)])
@pytest.mark.parametrize("flip", [True, False])
def test_images_of_any_size_have_boundaries_and_displacements(size, flip):
    net = make_irn(flip=flip).eval()
    images, grid = make_batch(size).images, (-(-size[0] // 4), -(-size[1] // 4))
    assert net.displacements(images).shape == (2, 2, *grid)
    found = net.neighbourhood(images)
    boundary = net.boundary(images)
    assert boundary.shape == (2, 1, *grid)
    assert ((boundary > 0) & (boundary < 1)).all()
    assert ((found.affinities > 0) == pair_exists(*grid, pair_offsets(3), "full")).all()
    assert found.passable is not None
    torch.testing.assert_close(found.passable, 1 - boundary)
    torch.testing.assert_close(found.affinities, path_affinities(boundary[:, 0], net.offsets))


@pytest.mark.parametrize("size", [(64, 64), (12, 20)])
def test_interior_pairs_are_those_of_training(size):
    net = make_irn(walk_radius=4, damp_boundaries=False)
    found = net.neighbourhood(make_batch(size).images, "interior")
    grid = (size[0] // 4, size[1] // 4)
    fitting = pair_offsets(fitting_radius(*grid, 4))
    exists = dict(zip(fitting, pair_exists(*grid, fitting, "interior"), strict=True))
    for plane, offset in enumerate(net.offsets):
        assert ((found.affinities[:, plane] > 0) == exists.get(offset, torch.zeros(grid, dtype=torch.bool))).all()
    assert found.passable is None


def test_boundaries_of_the_mirrored_image_are_mirrored():
    images = make_batch((33, 48)).images
    averaged, single = (make_irn(flip=flip).boundary for flip in (True, False))
    torch.testing.assert_close(averaged(images.flip(-1)), averaged(images).flip(-1))
    logits = (single(images).logit() + single(images.flip(-1)).flip(-1).logit()) / 2
    torch.testing.assert_close(averaged(images), logits.sigmoid())
    assert (averaged(images) - single(images)).abs().max() > 1e-4


def test_what_completes_an_image_to_whole_cells_is_the_mean_colour():
    images = make_batch((33, 47)).images
    completed = F.pad(images, (0, 1, 0, 3))
    net = make_irn()
    torch.testing.assert_close(net.boundary(images), net.boundary(completed))
    torch.testing.assert_close(net.displacements(images), net.displacements(completed))


def on_square(images: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    square = torch.zeros(*images.shape[:2], rows, columns)
    square[:, :, : images.shape[2], : images.shape[3]] = images
    return square


# Sides that exceed the square of 64 pixels stay, completed to whole cells of 4.
@pytest.mark.parametrize(("size", "seen"), [((33, 47), (64, 64)), ((64, 64), (64, 64)), ((30, 71), (64, 72))])
def test_the_published_network_sees_image_and_mirror_image_each_on_a_square(size, seen):
    net, plain = make_irn(padded_to=64).eval(), make_irn(flip=False).eval()
    images, rows, columns = make_batch(size).images, -(-size[0] // 4), -(-size[1] // 4)
    upright = plain.boundary(on_square(images, *seen))[:, :, :rows, :columns].logit()
    mirrored = plain.boundary(on_square(images.flip(-1), *seen))[:, :, :rows, :columns].logit()
    expected = torch.sigmoid(upright / 2 + mirrored.flip(-1) / 2)
    torch.testing.assert_close(net.boundary(images), expected)
    found = net.neighbourhood(images)
    torch.testing.assert_close(found.affinities, path_affinities(expected[:, 0], net.offsets))
    displacements = plain.displacements(on_square(images, *seen))[:, :, :rows, :columns]
    torch.testing.assert_close(net.displacements(images), displacements)


def test_the_square_is_seen_by_the_normalisation():
    images = make_batch((32, 48)).images
    alone, squared, whole = (make_irn(padded_to=side).boundary(images) for side in (None, 64, 4))
    assert (alone - squared).abs().max() > 1e-3
    torch.testing.assert_close(whole, alone)  # of whole cells, and larger than the square


def test_training_sees_no_square():
    images = make_batch((32, 48)).images
    plain, squared = make_irn(), make_irn(padded_to=64)
    torch.testing.assert_close(squared(images), plain(images))
    squared.measure_shift([images])
    plain.measure_shift([images])
    torch.testing.assert_close(squared.mean_displacement, plain.mean_displacement)


@pytest.mark.parametrize("size", [(33, 47), (64, 96)])
def test_affinitynet_completes_images_to_whole_cells(size):
    net, images = make_net(), make_batch(size).images
    completed = on_square(images, -(-size[0] // 8) * 8, -(-size[1] // 8) * 8)
    found = net.neighbourhood(images).affinities
    exists = pair_exists(*found.shape[2:], net.offsets, "full")
    torch.testing.assert_close(found, feature_affinities(net(completed), net.offsets) * exists)


def test_the_backbone_is_frozen_whatever_the_mode():
    net = make_irn(NormalizedBackbone()).eval()
    state = {name: value.clone() for name, value in net.backbone.state_dict().items()}
    images = make_batch((32, 48)).images
    expected = net.boundary(images)
    net.train()
    torch.testing.assert_close(net.boundary(images), expected)
    total_loss(net, make_batch((32, 48), left_and_right(8, 12))).backward()
    assert all(parameter.grad is None for parameter in net.backbone.parameters())
    assert all((state[name] == value).all() for name, value in net.backbone.state_dict().items())


def test_both_heads_are_new_and_displacements_learn_faster():
    net = make_irn(displacement_factor=7.0)
    groups = net.parameter_groups()
    assert all(group.new for group in groups)
    for head, factor in ((net.boundary_head, 1.0), (net.displacement_head, 7.0)):
        members = {id(p) for group in groups if group.rate_factor == factor for p in group.parameters}
        assert members == {id(p) for p in head.parameters()}
    assert sum(len(group.parameters) for group in groups) == len([p for p in net.parameters() if p.requires_grad])


def test_checkpoints_hold_heads_and_the_mean_shift_but_no_indices():
    own = {n: v for n, v in make_irn().state_dict().items() if not n.startswith("backbone.")}
    assert {name.split(".")[0] for name in own} == {"boundary_head", "displacement_head", "mean_displacement"}
    assert all(value.is_floating_point() for value in own.values())
    assert own["mean_displacement"].tolist() == [0, 0]


def test_irn_reads_the_last_five_levels_or_all_or_the_chosen():
    assert make_irn(TinyBackbone(3)).levels == (0, 1, 2)
    assert make_irn(levels=(0, -1)).levels == (0, 3)
    backbone = build_backbone(TimmBackbone(model="mobilenetv2_100", weights="none", output_stride=16))
    net = make_irn(backbone)
    assert net.levels == (1, 2, 3, 4, 5)
    assert net.boundary(torch.zeros(1, 3, 33, 47)).shape == (1, 1, 9, 12)
    with pytest.raises(TagmaskError, match="has 4 levels"):
        make_irn(levels=(0, 4))


def test_losses_of_irn_are_named_and_reach_both_heads():
    net = make_irn()
    labels = torch.randint(-1, 3, (2, 16, 24), generator=torch.Generator().manual_seed(2))
    losses = net.losses(make_batch(masks=labels))
    assert list(losses) == [
        *("background", "foreground", "negative"),
        *("displacement_foreground", "displacement_background"),
    ]
    torch.stack(list(losses.values())).sum().backward()
    for head in (net.boundary_head, net.displacement_head):
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("size", [(64, 96), (4, 4), (16, 8)])
def test_a_batch_without_any_label_teaches_irn_nothing(size):
    net = make_irn()
    total = total_loss(net, make_batch(size, torch.full((2, size[0] // 4, size[1] // 4), IGNORE)))
    total.backward()
    assert total.item() == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in net.parameters())


def test_training_irn_lowers_the_losses_and_finds_the_boundary():
    net = make_irn(shared_runs.tiny_backbone(), training_border="full", radius=3, flip=False)
    batch = make_batch((32, 48), left_and_right(8, 12))
    batch.images.mul_(0.2)
    batch.images[..., 24:] += 3
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    course = []
    for _ in range(12):
        optimizer.zero_grad()
        total = total_loss(net, batch)
        total.backward()
        optimizer.step()
        course.append(total.item())
    assert course[-1] < 0.8 * course[0]
    boundary = net.boundary(batch.images)[0, 0].mean(dim=0)
    assert boundary[5:7].max() > boundary[[1, 2, 9, 10]].max()


def test_boundaries_learn_the_same_without_displacements():
    labels = torch.randint(-1, 3, (2, 16, 24), generator=torch.Generator().manual_seed(2))
    batch, trained = make_batch(masks=labels), []
    for displacements in (True, False):
        torch.manual_seed(0)
        net = make_irn(displacements=displacements)
        optimizer = torch.optim.Adam([p for group in net.parameter_groups() for p in group.parameters], lr=0.01)
        for _ in range(2):
            optimizer.zero_grad()
            total_loss(net, batch).backward()
            optimizer.step()
        trained.append(net)
    both, alone = trained
    for name, parameter in both.boundary_head.named_parameters():
        assert torch.equal(parameter, alone.boundary_head.get_parameter(name)), name
    assert alone.displacement_head is None
    assert list(alone.losses(batch)) == ["background", "foreground", "negative"]
    assert {id(p) for group in alone.parameter_groups() for p in group.parameters} == {
        id(p) for p in alone.boundary_head.parameters()
    }


def test_displacements_that_are_not_learned_are_not_there():
    net = make_irn(displacements=False)
    net.measure_shift([])
    assert net.mean_displacement.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"affinity\.displacements=true"):
        net.displacements(make_batch((32, 48)).images)


def test_irn_refuses_labels_of_another_grid():
    with pytest.raises(ValueError, match=r"16 x 24 cells.*got masks of 8 x 12.*stride=4"):
        make_irn().losses(make_batch(masks=torch.zeros(2, 8, 12, dtype=torch.int64)))


def test_the_mean_shift_is_taken_off_at_inference_alone():
    net = make_irn()
    first, second = make_batch((32, 48)).images, 2 * make_batch((40, 36)).images
    raw = [net.train().displacements(images) for images in (first, second)]
    net.measure_shift(iter([first, second]))
    expected = (raw[0].mean((0, 2, 3)) + raw[1].mean((0, 2, 3))) / 2
    torch.testing.assert_close(net.mean_displacement, expected)
    assert net.mean_displacement.abs().min() > 0
    torch.testing.assert_close(net.train().displacements(first), raw[0])
    torch.testing.assert_close(net.eval().displacements(first), raw[0] - expected[:, None, None])
    net.measure_shift([first, second])
    torch.testing.assert_close(net.mean_displacement, expected)
    with pytest.raises(ValueError, match="no batch"):
        net.measure_shift([])
