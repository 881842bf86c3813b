"""A batch that is passed through a network in parts, and judged as a whole.

Losses that look at a batch together (a mean over labelled pixels, the hardest pixels, prototypes of a class) are not
the mean of the losses of its parts. So each part is passed through the network without a graph; the outputs of all
parts together give the losses, and the losses a gradient at every output; and each part is passed once more, with a
graph, through which its share of that gradient flows back (gradient caching, Gao et al., 2021). Memory holds the graph
of one part at a time, and the outputs of all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tagmask.contracts import Batch, Losses, Trainable


def backward_in_parts(network: Trainable, parts: Sequence[Batch]) -> Losses:
    """Losses of several batches as if they were one; their gradients are added to the network's parameters.

    Random layers draw alike in both passes of a part, and running statistics see each part once.
    """
    states, found = [], []
    with torch.no_grad(), _buffers_kept(network):
        for part in parts:
            states.append(_random_state())
            found.append(network.outputs(part))
    leaves = mapped(torch.cat, *found)
    leaves = mapped(lambda values: values.detach().requires_grad_(values.is_floating_point()), leaves)
    losses = network.losses_from(leaves, mapped(torch.cat, *parts))
    torch.stack(list(losses.values())).sum().backward()
    after = _random_state()
    start = 0
    for part, state in zip(parts, states, strict=True):
        _set_random_state(state)
        own = slice(start, start := start + len(part.ids))
        pairs = zip(tensors_of(network.outputs(part)), tensors_of(leaves), strict=True)
        flowing = [(out, leaf.grad[own]) for out, leaf in pairs if leaf.grad is not None and out.requires_grad]
        torch.autograd.backward([out for out, _ in flowing], [gradient for _, gradient in flowing])
    _set_random_state(after)
    return losses


def mapped(function: Callable[..., Tensor], first: Any, *others: Any) -> Any:
    """A function of equal places of nested tensors; ``torch.cat`` joins the tensors of several along their first axis.

    Tuples without tensors, such as names, are joined as well, whatever the function; of numbers the largest is taken.
    """
    if isinstance(first, Tensor):
        return function([first, *others]) if function is torch.cat else function(first, *others)
    if is_dataclass(first) and not isinstance(first, type):
        values = {f.name: [getattr(each, f.name) for each in (first, *others)] for f in fields(first)}
        return replace(first, **{name: mapped(function, *each) for name, each in values.items()})
    if isinstance(first, int):
        return max(first, *others) if others else first
    if isinstance(first, tuple) and not tensors_of(first):
        return tuple(each for values in (first, *others) for each in values)
    if isinstance(first, list | tuple):
        return type(first)(mapped(function, *each) for each in zip(first, *others, strict=True))
    return first


def tensors_of(nested: Any) -> list[Tensor]:
    """All tensors of a nested value, in a fixed order."""
    if isinstance(nested, Tensor):
        return [nested]
    if is_dataclass(nested):
        return [tensor for field in fields(nested) for tensor in tensors_of(getattr(nested, field.name))]
    return [tensor for each in nested for tensor in tensors_of(each)] if isinstance(nested, list | tuple) else []


@contextmanager
def _buffers_kept(network: nn.Module) -> Iterator[None]:
    """Running statistics and counters are afterwards what they were before."""
    before = [(buffer, buffer.clone()) for buffer in network.buffers()]
    yield
    for buffer, value in before:
        buffer.copy_(value)


def _random_state() -> list[Tensor]:
    on_device = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *on_device]


def _set_random_state(state: Sequence[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for on_device in state[1:]:
        torch.cuda.set_rng_state(on_device)
