"""A training step never waits for its device: tried without one, on tensors that have no numbers."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from no_waiting import META, WaitError, no_waiting
from tagmask.config import EpsConfig, EquivarianceConfig, PpcConfig, SegmenterConfig
from tagmask.contracts import Trainable
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.padding import boxes
from tagmask.testing import NUM_CLASSES, tiny_backbone
from tagmask.training import engine
from tagmask.training.accumulation import backward_in_parts
from tagmask.training.averaging import WeightAverage
from trainables import NETWORKS, TRAINING, method, step_batch


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch):
    """Tensors without numbers know no mixed precision."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def cut(**settings) -> Trainable:
    shared = {"width": 8, "rates": (1, 2), "dropout": 0.1, "training": TRAINING, "padding": "cut", "tag_weight": 1.0}
    return DeepLab(SegmenterConfig(**shared, **settings), tiny_backbone(), NUM_CLASSES)


TWO_VIEWS = EpsConfig(equivariance=EquivarianceConfig())
ALL = NETWORKS | {
    "eps-two-views": (method(TWO_VIEWS), None),
    "eps-two-views-ppc": (method(PpcConfig(base=TWO_VIEWS)), None),
    "semantic_fpn-cut": (lambda: cut(kind="semantic_fpn", dice_weight=1.0), 1),
    "deeplab_v3plus-cut": (lambda: cut(kind="deeplab_v3plus"), 1),
}


def learn(network, optimizer, average, parts):
    """A step as the engine makes it."""
    optimizer.zero_grad(set_to_none=True)
    if len(parts) == 1:
        torch.stack(list(network.losses(parts[0]).values())).sum().backward()
    else:
        backward_in_parts(network, parts)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    average.update(network, 3)


IN_PARTS = ("cam", "sipe-matched-ppc", "semantic_fpn-cut", "affinitynet")


@pytest.mark.parametrize(("name", "num_parts"), [*((name, 1) for name in ALL), *((name, 2) for name in IN_PARTS)])
def test_a_step_waits_for_nothing(name, num_parts):
    build, stride = ALL[name]
    step = step_batch(stride)
    step = replace(step, boxes=boxes(step.valid), most_tags=int(step.tags.sum(dim=1).max())).to(META)
    network = build().train().to(META)
    config = TRAINING.model_copy(update={"optimizer": "sgd"})
    optimizer, average = engine.build_optimizer(network.parameter_groups(), config), WeightAverage(network, 0.9)
    learn(network, optimizer, average, [step] * num_parts)  # what is made once and kept
    with no_waiting():
        learn(network, optimizer, average, [step] * num_parts)


# ── the guard itself ─────────────────────────────────────────────────────────────────────────────────────────────────

WAITS = {
    "a number": lambda values: float(values.sum()),
    "a truth": lambda values: bool(values.any()),
    "places": lambda values: values.nonzero(),
    "chosen places": lambda values: values[values > 0],
    "chosen places again": lambda values: values.masked_select(values > 0),
    "a copy": lambda values: values.cpu(),
    "numbers made elsewhere": lambda values: values + torch.tensor([1.0, 2.0], device=values.device),
    "a tensor made elsewhere": lambda _: torch.zeros(2),
    "parts of given sizes": lambda values: values.repeat_interleave(values.long()),
}


@pytest.mark.parametrize("words", WAITS)
def test_the_guard_refuses_what_waits(words):
    with no_waiting(), pytest.raises((WaitError, RuntimeError, NotImplementedError)):
        WAITS[words](torch.zeros(2, device=META))


def test_the_guard_finds_what_was_not_counted_beforehand():
    network, step = NETWORKS["seam"][0]().train().to(META), step_batch(None).to(META)
    with no_waiting(), pytest.raises(WaitError, match="_local_scalar_dense"):
        network.losses(step)
