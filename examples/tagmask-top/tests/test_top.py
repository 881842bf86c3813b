"""Tests of a method outside the package: its promises in a line, its own arithmetic by hand."""

import torch
from tagmask_top import Top, TopConfig
from tagmask_top.plain import Plain, PlainConfig

from tagmask import load_recipe
from tagmask.testing import check_affinity_network, check_method, tiny_backbone


def test_top_keeps_the_promises_of_a_method():
    check_method(Top)


def test_a_share_counts_the_best_pixels():
    method = Top(TopConfig(share=0.5), tiny_backbone(), num_classes=4)
    grid = torch.tensor([[4.0, 1.0, -2.0, 3.0]]).view(1, 1, 2, 2).expand(1, 16, 2, 2)
    method.backbone.forward_levels = lambda images: [grid]
    with torch.no_grad():
        method.classify.weight.zero_()
        method.classify.weight[1, 5] = 2.0
        logits = method(torch.zeros(1, 3, 16, 16)).logits
    assert logits.tolist() == [[0, 7, 0, 0]]  # (8 + 6) / 2


def test_plain_keeps_the_promises_of_an_affinity_network():
    training = load_recipe("toy").training
    check_affinity_network(Plain, PlainConfig(radius=2, training=training, training_border="full"))
