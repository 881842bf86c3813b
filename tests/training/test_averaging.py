import pytest
import torch
from torch import nn

from tagmask.training.averaging import WeightAverage


def network(value):
    net = nn.BatchNorm1d(1)
    with torch.no_grad():
        net.weight.fill_(value)
        net.running_mean.fill_(10 * value)
        net.num_batches_tracked.fill_(int(value))
    return net


def test_the_average_forgets_by_its_memory_and_sooner_in_the_first_steps():
    average, net = WeightAverage(network(0.0), 0.2), network(1.0)
    average.update(net, 0)  # memory 1/10
    assert average.weights["weight"].item() == pytest.approx(0.9)
    average.update(network(2.0), 1)  # memory 2/11
    expected = 0.9 * 2 / 11 + 2.0 * 9 / 11
    assert average.weights["weight"].item() == pytest.approx(expected)
    average.update(network(2.0), 100)  # memory 0.2
    assert average.weights["weight"].item() == pytest.approx(0.2 * expected + 0.8 * 2.0)


def test_running_statistics_are_averaged_and_counters_are_those_of_the_network():
    average, net = WeightAverage(network(0.0), 0.5), network(3.0)
    average.update(net, 100)
    average.hand_over(net)
    assert (net.weight.item(), net.running_mean.item(), net.num_batches_tracked.item()) == (1.5, 15, 3)


def test_without_a_memory_the_last_weights_stay():
    average, net = WeightAverage(network(0.0), 0.0), network(3.0)
    average.update(net, 5)
    average.hand_over(net)
    assert average.weights == {}
    assert net.weight.item() == 3
