import pytest
import torch

from shared_runs import tiny_backbone
from tagmask.config import CamConfig
from tagmask.methods.cam import Cam, tag_loss

CLASSES = 4


def cam(**fields) -> Cam:
    torch.manual_seed(2)
    return Cam(CamConfig(**fields), tiny_backbone(), CLASSES)


def images() -> torch.Tensor:
    return torch.randn(3, 3, 33, 41, generator=torch.Generator().manual_seed(5))


def test_pooling_and_the_classifier_commute():
    network = cam().eval()
    with torch.no_grad():
        found = network(images())
        everywhere = network.fc8(found.embedding)
    torch.testing.assert_close(found.logits, everywhere.mean(dim=(2, 3)))
    assert torch.equal(found.maps, everywhere.relu())


def test_maps_by_hand():
    network = cam().eval()
    with torch.no_grad():
        network.fc8.weight.zero_()
        network.fc8.weight[1, 3] = 2.0
        network.fc8.weight[2, 3] = -2.0
        found = network(images())
    assert torch.equal(found.maps[:, 1], 2 * found.embedding[:, 3])
    assert (found.maps[:, [0, 2, 3]] == 0).all()
    torch.testing.assert_close(found.logits[:, 2], -2 * found.embedding[:, 3].mean(dim=(1, 2)))


def test_the_root_changes_maps_alone():
    with torch.no_grad():
        plain, rooted = (cam(map_root=root).eval()(images()) for root in (False, True))
    torch.testing.assert_close(rooted.maps, plain.maps.sqrt())
    assert torch.equal(rooted.logits, plain.logits)


def test_dropout_acts_on_logits_in_training_alone():
    network = cam(dropout=0.9)
    shown = images()
    with torch.no_grad():
        assert not torch.equal(network.train()(shown).logits, network.train()(shown).logits)
        assert torch.equal(network.eval()(shown).logits, network.eval()(shown).logits)


def test_the_tag_loss_by_hand_and_in_half_precision():
    logits, tags = torch.tensor([[0.0, 2.0], [-1.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    probability = logits.sigmoid()
    terms = [
        -probability[0, 0].log(),
        -(1 - probability[0, 1]).log(),
        -(1 - probability[1, 0]).log(),
        -probability[1, 1].log(),
    ]
    torch.testing.assert_close(tag_loss(logits, tags), torch.stack(terms).mean())
    half = tag_loss(logits.bfloat16(), tags)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, tag_loss(logits, tags), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [200.0, -200.0])
def test_the_tag_loss_of_extreme_logits_is_finite(size):
    logits = torch.full((1, 2), size, requires_grad=True)
    loss = tag_loss(logits, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(100)
    assert logits.grad.isfinite().all()


def test_the_root_lets_no_gradient_through_and_breaks_none():
    network = cam(map_root=True)
    found = network(images())
    assert (found.maps == 0).any()  # where the slope of a root is infinite
    assert not found.maps.requires_grad
    found.logits.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
