"""The filter of tensors against that of arrays: the same lattice, and sums in another order."""

import numpy as np
import pytest
import torch

from devices import DEVICES
from no_waiting import META, Questions, no_waiting
from tagmask.masks.crf import filter_on_device as module
from tagmask.masks.crf.filter_on_device import FilterOnDevice, RowSums, filter_on_device
from tagmask.masks.crf.gaussian_filter import add_filtered, gaussian_filter
from tagmask.masks.crf.permutohedral import build_lattice


def points(num_features: int, count: int = 400, spread: float = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, num_features), np.float32) * np.float32(spread)


def on_device(features: np.ndarray, device: str = "cpu", phantoms: int = 0) -> FilterOnDevice:
    return filter_on_device(torch.from_numpy(features).to(device), features, phantoms)


def filtered(features: np.ndarray, values: np.ndarray, phantoms: int = 0) -> np.ndarray:
    """By the compiled form."""
    kernel = gaussian_filter(features, phantoms)
    found = np.zeros_like(values)
    add_filtered(found, [(1, kernel, kernel.spread(values, kernel.new_sums(values.shape[1])))], slice(None), found)
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_features", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("spread", [0, 0.5, 4, 200])
def test_the_lattice_is_the_same(num_features, spread, device):
    features = points(num_features, spread=spread)
    expected, found = build_lattice(features), on_device(features, device)
    # numbers differ: equal if each number of one belongs to one number of the other
    pairs = np.stack([expected.vertices.ravel(), found.slice.rows.cpu().numpy().ravel()], axis=1)
    assert len(np.unique(pairs, axis=0)) == expected.num_vertices == len(found.blurs[0].rows)
    shares = found.slice.weights / found.slice.weights.sum(1, keepdim=True)
    np.testing.assert_allclose(shares.cpu(), expected.weights, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("num_features", "spread"), [(2, 0.0), (2, 4), (5, 2), (5, 40)])
@pytest.mark.parametrize("phantoms", [0, 3])
def test_filters_as_the_compiled_form(num_features, spread, phantoms, device):
    features = points(num_features, spread=spread)
    values = np.random.default_rng(1).random((len(features), 3), np.float32)
    found = on_device(features, device, phantoms)(torch.from_numpy(values).to(device))
    np.testing.assert_allclose(found.cpu(), filtered(features, values, phantoms), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_many_points_on_one_vertex_are_added_in_pieces(monkeypatch, device):
    features = np.repeat(points(2, count=5), [1, 2, 3, 90, 64], axis=0)
    values = np.random.default_rng(1).random((len(features), 2), np.float32)
    monkeypatch.setattr(module, "PIECE", 16)
    kernel = on_device(features, device)
    pieces, vertices = (torch.cat([sums.starts, sums.starts.new_full((1,), len(sums.rows))]) for sums in kernel.splat)
    assert int(pieces.diff().max()) == 16
    assert int(vertices.diff().max()) >= 90 // 16
    found = kernel(torch.from_numpy(values).to(device))
    np.testing.assert_allclose(found.cpu(), filtered(features, values), rtol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_filter_does_the_same_to_the_bit_every_time(device):
    features, values = points(5), torch.rand(400, 7, generator=torch.Generator().manual_seed(0)).to(device)
    assert torch.equal(on_device(features, device)(values), on_device(features, device)(values))


def test_sums_of_rows_by_hand():
    table = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    lines = RowSums(torch.tensor([[0, 2], [1, 1]], dtype=torch.int32), torch.tensor([[1.0, 0.5], [1.0, 2.0]]))
    assert lines(table).tolist() == [[3, 30], [6, 60]]
    starts = torch.tensor([0, 2, 2], dtype=torch.int32)
    assert RowSums(torch.tensor([0, 1, 2], dtype=torch.int32), None, starts)(table).tolist() == [
        [3, 30],
        [0, 0],
        [4, 40],
    ]


def test_positions_out_of_range_are_refused():
    with pytest.raises(ValueError, match="standard deviation is too small"):
        on_device(np.array([[0, 1e6]], np.float32))


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def moved(sums: RowSums) -> RowSums:
    return RowSums(*(None if each is None else each.to(META) for each in (sums.rows, sums.weights, sums.starts)))


def test_filtering_does_not_wait_for_the_device():
    found = on_device(points(5))
    kernel = FilterOnDevice(tuple(map(moved, found.splat)), tuple(map(moved, found.blurs)), moved(found.slice))
    values = torch.zeros(400, 3, device=META)
    with no_waiting():
        assert kernel(values).shape == (400, 3)


def test_building_asks_the_device_for_the_number_of_vertices_alone():
    features = points(5)
    tensor = torch.from_numpy(features)
    with Questions() as questions:
        filter_on_device(tensor, features)
    assert questions.asked == ["unique"]
