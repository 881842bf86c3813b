"""The maps of every method are the processor's on a CUDA device."""

from copy import deepcopy

import pytest
import torch

from devices import NO_CUDA
from tagmask.inference.passes import class_maps, summed_activations
from tagmask.methods import build_method
from tagmask.testing import NUM_CLASSES, random_batch, tiny_backbone
from trainables import PLAIN


@pytest.mark.gpu
@NO_CUDA
@pytest.mark.parametrize("name", PLAIN)
def test_maps_of_every_method_are_the_same(name, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    here = build_method(PLAIN[name], tiny_backbone(), NUM_CLASSES).eval()
    image, present = random_batch(64, 1).images[0], torch.tensor([0, 2])
    found = []
    for method in (here, deepcopy(here).cuda()):
        activations, logits = summed_activations(method, [image], flip=True)
        tags = torch.zeros_like(logits).index_fill_(0, present.to(logits.device), 1.0)[None]
        finished = [method.finish(activation, tags) for activation in activations]
        maps = class_maps(finished, present.to(logits.device), (64, 72)).cpu()
        found.append(maps / maps.max())
    assert ((found[0] - found[1]).abs() <= 1e-4).float().mean() >= 0.999
