"""AffinityNet on a backbone of three convolutions."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tagmask.affinity import fitting_radius, pair_exists, pair_offsets
from tagmask.affinity_nets import AffinityNet
from tagmask.config import AffinityNetConfig, AugmentConfig, TrainingConfig
from tagmask.contracts import Backbone, Batch, Level, Normalization
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError

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
