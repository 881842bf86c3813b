"""Every kind of network as a graph: the same logits as torch's, whatever the size of the image."""

import pytest
import timm.layers.padding
import torch

from exports import KINDS, tiny_network
from tagmask.config import TimmBackbone
from tagmask.errors import TagmaskError
from tagmask.export.graph import open_padding, same_padding, traced
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab

SIZES = ((1, 41, 55), (2, 97, 33), (1, 8, 17), (1, 1, 1))


@torch.no_grad()
def difference(graph, network: DeepLab, batch: int, rows: int, columns: int) -> float:
    images = torch.randn(batch, 3, rows, columns, generator=torch.Generator().manual_seed(rows))
    ours, theirs = graph(images), network(images)
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_answers_as_its_network_at_any_size(kind):
    network = tiny_network(kind)
    graph = traced(network).module(check_guards=False)
    assert all(difference(graph, network, *size) < 1e-5 for size in SIZES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        TimmBackbone(model="mobilenetv2_035", weights="none"),
        TimmBackbone(model="mobilenetv2_035", weights="none", pad_type="same"),
        TimmBackbone(model="test_resnet", weights="none"),
        TimmBackbone(model="test_vit", weights="none"),
    ],
    ids=["padded evenly", "padded as by TensorFlow", "pools that pad", "a transformer, whose images are enlarged"],
)
def test_backbones_of_timm_are_traced_with_their_padding(backbone):
    network = tiny_network("semantic_fpn", build_backbone(backbone))
    graph = traced(network.eval()).module(check_guards=False)
    assert all(difference(graph, network, *size) < 1e-4 for size in ((1, 65, 97), (2, 130, 71), (1, 7, 90)))


def test_a_network_that_looks_at_values_cannot_be_a_graph():
    network = tiny_network("deeplab_v2")
    network.head.forward = lambda grids: grids[-1] if grids[-1].sum() > 0 else -grids[-1]
    with pytest.raises(TagmaskError, match=r"cannot be made a graph .*--to bundle"):
        traced(network)


# ── padding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_open_padding_is_that_of_timm(kernel, stride, dilation):
    for size in range(1, 12):
        expected = timm.layers.padding.get_same_padding(size, kernel, stride, dilation)
        assert same_padding(size, kernel, stride, dilation) == expected


def test_padding_by_hand():
    assert same_padding(5, 3, 2, 1) == 2  # 3 cells of 3, steps of 2: 7 = 1 + 5 + 1
    assert same_padding(6, 3, 2, 1) == 1
    assert same_padding(6, 1, 2, 1) == 0
    assert same_padding(7, 2, 3, 1) == 1  # cells at 0, 3 and 6 reach to 7


def test_timm_has_its_own_arithmetic_back():
    own = timm.layers.padding.get_same_padding
    with open_padding():
        assert timm.layers.padding.get_same_padding is same_padding
    assert timm.layers.padding.get_same_padding is own
