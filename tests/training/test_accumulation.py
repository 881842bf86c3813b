"""A batch in parts is judged as the whole batch is: losses and gradients agree, for everything that can be trained."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from tagmask.config import PpcConfig
from tagmask.contracts import Batch, Trainable
from tagmask.testing import random_batch
from tagmask.training.accumulation import backward_in_parts, mapped, tensors_of
from trainables import NETWORKS, PLAIN, method, step_batch


def part(step: Batch, start: int, stop: int) -> Batch:
    found = mapped(lambda values: values[start:stop], step)
    return replace(found, ids=step.ids[start:stop])


def fixed_statistics(network: nn.Module) -> nn.Module:
    """Statistics of a batch are no losses: they see the images of a part alone."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    return network


def numbers(build: Callable[[], Trainable], parts: list[Batch]) -> dict[str, torch.Tensor]:
    """Losses and gradients of a step whose batch comes in parts."""
    torch.manual_seed(1)
    network = fixed_statistics(build())
    torch.manual_seed(7)
    if len(parts) == 1:
        losses = network.losses(parts[0])
        torch.stack(list(losses.values())).sum().backward()
    else:
        losses = backward_in_parts(network, parts)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {f"loss {name}": value.detach() for name, value in losses.items()} | gradients


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients_of_parts_are_those_of_the_whole(name):
    build, stride = NETWORKS[name]
    step = step_batch(stride)
    whole = numbers(build, [step])
    parts = numbers(build, [part(step, 0, 2), part(step, 2, 4)])
    assert whole.keys() == parts.keys()
    for key in whole:
        torch.testing.assert_close(parts[key], whole[key], atol=1e-6, rtol=1e-6, msg=lambda m, k=key: f"{k}: {m}")


def test_the_mean_of_the_parts_would_be_another_number():
    build, stride = NETWORKS["deeplab_v3plus"]
    step = step_batch(stride)
    torch.manual_seed(1)
    network = fixed_statistics(build())
    apart = [network.losses(part(step, at, at + 2))["pixels"].item() for at in (0, 2)]
    assert abs(sum(apart) / 2 - network.losses(step)["pixels"].item()) > 1e-3


def test_random_layers_draw_alike_in_both_passes_and_go_on_from_there():
    build, _ = NETWORKS["cam"]
    step = step_batch(None)
    network = build()
    network.dropout = nn.Dropout2d(0.5)
    seen = []
    network.dropout.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    torch.manual_seed(3)
    backward_in_parts(network.train(), [part(step, 0, 2), part(step, 2, 4)])
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0] == 0, seen[1] == 0)


def test_running_statistics_see_each_part_once():
    build, _ = NETWORKS["deeplab_v3plus"]
    step = step_batch(1)
    parts = [part(step, 0, 2), part(step, 2, 4)]
    torch.manual_seed(1)
    ours, theirs = build().train(), build().train()
    theirs.load_state_dict(ours.state_dict())
    backward_in_parts(ours, parts)
    with torch.no_grad():
        for each in parts:
            theirs(each.images)
    for name, value in theirs.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], value)


def test_the_contrast_grows_by_steps_and_not_by_passes():
    build = method(PpcConfig(base=PLAIN["cam"], warmup_steps=10))
    step, network = step_batch(None), build().train()
    backward_in_parts(network, [part(step, at, at + 1) for at in range(4)])
    assert network.steps.item() == 1


def test_tensors_are_found_and_joined_wherever_they_are():
    nested = [(torch.ones(1), None), replace(random_batch(), ids=("a", "b", "c"))]
    assert len(tensors_of(nested)) == 5
    joined = mapped(torch.cat, nested, nested)
    assert joined[0][0].tolist() == [1, 1]
    assert joined[0][1] is None
    assert joined[1].ids == ("a", "b", "c") * 2
    assert joined[1].images.shape[0] == 6


def test_what_loaders_found_out_is_joined_image_after_image():
    left, top = (slice(0, 33), slice(0, 20)), (slice(0, 9), slice(0, 41))
    first = replace(random_batch(), boxes=(left, left, top), most_tags=2)
    joined = mapped(torch.cat, first, replace(first, boxes=(top, top, top), most_tags=3))
    assert joined.boxes == (left, left, top, top, top, top)
    assert joined.most_tags == 3
    assert joined.ids == first.ids * 2
