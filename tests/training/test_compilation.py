"""Compiled backbones give the losses of plain ones."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tagmask.config import CamConfig, TimmBackbone
from tagmask.errors import TagmaskError
from tagmask.methods import build_method
from tagmask.networks.backbones import build_backbone
from tagmask.testing import NUM_CLASSES
from tagmask.training.compilation import compiled_backbone
from trainables import NETWORKS, method, step_batch

EACH = [name for name in NETWORKS if "-" not in name or name == "cam-ppc"]  # PPC passes through the same backbones


def mobilenet():
    settings = TimmBackbone(model="mobilenetv2_050", weights="none", batch_norm="frozen", output_stride=16)
    return build_method(CamConfig(), build_backbone(settings), NUM_CLASSES)


def numbers(build, stride, backend):
    """Losses and gradients of a step, plain or compiled."""
    torch.manual_seed(1)
    network, step = build().train(), step_batch(stride)
    with compiled_backbone(network, backend is not None, backend or ""):
        torch.manual_seed(7)
        losses = network.losses(step)
        torch.stack(list(losses.values())).sum().backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    return {name: value.detach() for name, value in losses.items()} | gradients


def compare(build, stride, backend):
    torch._dynamo.reset()  # or it gives up after eight networks
    plain, compiled = (numbers(build, stride, each) for each in (None, backend))
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        largest = float(value.abs().max())
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-5 * max(1.0, largest))


def compare_all():
    """What the test below does in a process of its own, where no signature is checked."""
    for name in EACH:
        compare(*NETWORKS[name], "aot_eager")
        sys.stdout.write(f"{name}\n")
    compare(mobilenet, None, "aot_eager")
    with suppress(TagmaskError):  # no C++ compiler
        compare(*NETWORKS["cam"], "inductor")


@pytest.mark.slow
def test_every_step_is_the_same_when_compiled():
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", "import test_compilation; test_compilation.compare_all()"],
        env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == EACH


def test_nothing_of_it_is_left_behind():
    network = method(CamConfig())()
    with compiled_backbone(network, True, "eager"):
        assert "forward_levels" in vars(network.backbone)
        assert "forward_levels" not in network.state_dict()
    assert "forward_levels" not in vars(network.backbone)
    with compiled_backbone(network, False):
        assert "forward_levels" not in vars(network.backbone)


def test_a_machine_without_a_compiler_is_told(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with (
        pytest.raises(TagmaskError, match=r"no C\+\+ compiler \(no-such-compiler\).*set it to false"),
        compiled_backbone(method(CamConfig())(), True),
    ):
        pass
