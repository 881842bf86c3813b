"""The exponential average of a network's weights over its training."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of all floating-point numbers of a network, running statistics included.

    Its memory is short in the first steps, min(memory, (1 + t) / (10 + t)) in step t, so that the weights of the start
    are soon forgotten.

    Args:
        network: whose weights are averaged.
        memory: share of the average that is kept in a step; 0: no average is kept.

    Attributes:
        weights: the averages by name; empty if none are kept.
    """

    def __init__(self, network: nn.Module, memory: float) -> None:
        self.memory = memory
        self.weights = {name: tensor.clone() for name, tensor in _numbers(network).items()} if memory else {}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step 0, 1, ..."""
        if self.weights:
            memory, numbers = min(self.memory, (1 + step) / (10 + step)), _numbers(network)
            # The network may have been moved to its device since.
            self.weights = {name: values.to(numbers[name].device) for name, values in self.weights.items()}
            for name, values in self.weights.items():
                values.lerp_(numbers[name], 1 - memory)

    def hand_over(self, network: nn.Module) -> None:
        """Give the network the averaged weights, if any are kept."""
        if self.weights:
            network.load_state_dict(network.state_dict() | self.weights)


def _numbers(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
