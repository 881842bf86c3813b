"""SEAM as a method: views, logits, what each loss teaches, what inference sees."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shared_runs import tiny_backbone
from tagmask.config import EquivarianceConfig, SeamConfig
from tagmask.contracts import Batch
from tagmask.errors import TagmaskError
from tagmask.inference.passes import unmirrored
from tagmask.methods.seam import Seam, SeamActivation

CLASSES = 3
NARROW = {"widths": (4, 5), "correlation_width": 6}


def seam(dropout: float = 0.0, maps: str = "refined", **equivariance) -> Seam:
    torch.manual_seed(3)
    settings = EquivarianceConfig(**(NARROW | equivariance))
    return Seam(SeamConfig(dropout=dropout, maps=maps, equivariance=settings), tiny_backbone(), CLASSES)


def batch(number: int = 2) -> Batch:
    return Batch(
        ids=tuple(map(str, range(number))),
        images=torch.randn(number, 3, 40, 57, generator=torch.Generator().manual_seed(4)),
        tags=torch.tensor([[1.0, 0, 1], [0, 1, 0]])[:number],
        valid=torch.ones(number, 40, 57, dtype=torch.bool),
    )


# ── views and the forward pass ───────────────────────────────────────────────────────────────────────────────────────


def test_the_second_view_is_smaller_by_a_factor_or_square():
    images = batch().images
    for settings, size in (({}, (12, 17)), ({"view_scale": 0.5}, (20, 28)), ({"view_size": 16}, (16, 16))):
        first, second = seam(**settings).views(images)
        assert first is images
        assert second.shape[2:] == size
        torch.testing.assert_close(second, F.interpolate(images, size, mode="bilinear", align_corners=True))
        assert all(value.isfinite() for value in seam(**settings).losses(batch()).values())


def test_logits_are_means_over_the_pixels_of_the_view():
    with torch.no_grad():
        found = seam()(batch().images)
    pixels = F.interpolate(found.scores, (40, 57), mode="bilinear", align_corners=True)
    torch.testing.assert_close(found.logits, pixels[:, 1:].mean(dim=(2, 3)))
    assert not torch.allclose(found.logits, found.scores[:, 1:].mean(dim=(2, 3)), atol=1e-4)


def test_maps_are_refined_or_plain():
    with torch.no_grad():
        refined, plain = (seam(maps=maps)(batch().images) for maps in ("refined", "plain"))
    assert torch.equal(refined.maps, refined.refined[:, 1:])
    assert torch.equal(plain.maps, plain.scores[:, 1:].relu())
    assert torch.equal(plain.refined, refined.refined)
    assert refined.background is None
    assert Seam.map_normalization == "min_max"


def test_the_classifier_has_a_background_without_bias():
    network = seam()
    assert network.fc8.weight.shape == (CLASSES + 1, 16, 1, 1)
    assert network.fc8.bias is None
    bound = (6 / (16 + CLASSES + 1)) ** 0.5
    assert 0.8 * bound < network.fc8.weight.abs().max() <= bound
    assert seam(dropout=0.4).dropout.p == 0.4


def test_renaming_the_classes_renames_everything():
    network, order = seam().eval(), torch.tensor([2, 0, 1])
    with torch.no_grad():
        before = network(batch().images)
        network.fc8.weight[1:] = network.fc8.weight[1:][order].clone()
        after = network(batch().images)
    torch.testing.assert_close(after.logits, before.logits[:, order])
    torch.testing.assert_close(after.maps, before.maps[:, order])
    torch.testing.assert_close(after.refined[:, 0], before.refined[:, 0])


def test_dropout_drops_channels_in_training_alone():
    network, images = seam(dropout=0.5), batch().images
    with torch.no_grad():
        trained, inferred = network.train()(images), network.eval()(images)
    dropped = (trained.embedding == 0).all(dim=3).all(dim=2)
    dead = (inferred.embedding == 0).all(dim=3).all(dim=2)
    assert (dropped & ~dead).any()
    kept = ~dropped[:, :, None, None].expand_as(trained.embedding)
    torch.testing.assert_close(trained.embedding[kept], 2 * inferred.embedding[kept])


def test_a_mirror_image_is_turned_back_and_added():
    network, image = seam().eval(), batch(1).images
    with torch.no_grad():
        both = network(torch.cat([image, image.flip(-1)]))
        found = unmirrored(both)
    assert isinstance(found, SeamActivation)
    for name in ("maps", "scores", "refined", "embedding"):
        grid = getattr(both, name)
        torch.testing.assert_close(getattr(found, name), grid[:1] + grid[1:].flip(-1))


def test_a_backbone_without_the_levels_is_refused():
    with pytest.raises(TagmaskError, match="the backbone has 3 levels"):
        seam(levels=(0, 7))


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_losses_by_name_and_the_tag_loss_of_both_views():
    network, step = seam(), batch()
    losses = network.losses(step)
    assert list(losses) == ["tags", "consistency", "cross", "min_pool"]
    logits = [network(view).logits for view in network.views(step.images)]
    expected = sum(F.multilabel_soft_margin_loss(x, step.tags) for x in logits) / 2
    torch.testing.assert_close(losses["tags"], expected)


def learning(network: Seam, name: str) -> set[str]:
    """The parts of the network that a loss changes."""
    network.zero_grad(set_to_none=True)
    network.losses(batch())[name].backward()
    changed = {n for n, p in network.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
    return {n.split(".")[0] if not n.startswith("correlation") else n for n in changed}


MODULE = {f"correlation.{name}.weight" for name in ("f8_3", "f8_4", "f9")}
NETWORK = {"backbone", "fc8"}


@pytest.mark.parametrize(
    ("name", "reaches"), list(product(["tags", "consistency", "cross", "min_pool"], ["correlation", "maps"]))
)
def test_what_each_loss_teaches(name, reaches):
    changed = learning(seam(cross_reaches=reaches), name)
    if name in ("tags", "consistency"):
        assert changed == NETWORK
    else:
        assert changed == (MODULE if reaches == "correlation" else MODULE | NETWORK)


@pytest.mark.parametrize("reaches", ["correlation", "maps"])
def test_the_background_of_the_classifier_is_never_taught(reaches):
    network = seam(cross_reaches=reaches)
    torch.stack(list(network.losses(batch()).values())).sum().backward()
    assert (network.fc8.weight.grad[0] == 0).all()
    assert (network.fc8.weight.grad[1:] != 0).any(dim=1).all()


def test_terms_without_weight_still_leave_a_gradient_everywhere():
    network = seam(consistency_weight=0, cross_weight=0, min_pool_weight=0)
    torch.stack(list(network.losses(batch()).values())).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all((parameter.grad == 0).all() for parameter in network.correlation.parameters())


def test_a_few_steps_lower_the_sum_and_the_cross_loss():
    network, step = seam(), batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    before = network.losses(step)
    for _ in range(8):
        optimizer.zero_grad()
        torch.stack(list(network.losses(step).values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    after = network.losses(step)
    assert sum(after.values()) < sum(before.values())
    assert after["cross"] < before["cross"]


def test_new_layers_are_new():
    network = seam()
    groups = network.parameter_groups()
    new = {id(parameter) for group in groups if group.new for parameter in group.parameters}
    assert new == {id(p) for p in [*network.fc8.parameters(), *network.correlation.parameters()]}
