"""The walk of tensors against that of arrays, which is tested against the full matrix."""

import numpy as np
import pytest
import torch

from devices import DEVICES
from no_waiting import META, Questions, no_waiting
from tagmask.affinity import walk_on_device as module
from tagmask.affinity.random_walk import chebyshev_plan, exact_plan, random_walk
from tagmask.affinity.walk_on_device import walk_on_device, walked, windowed
from walk_inputs import half_disc, random_planes


def maps_of(count: int, size: tuple[int, int], dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(1).random((count, *size)).astype(dtype)


def both(maps: np.ndarray, planes: np.ndarray, offsets: list, device: str, steps: int = 256, form: str = "chebyshev"):
    """Walked as an array, and as tensors."""
    expected = random_walk(maps, planes, offsets, 8, steps, form, dtype=maps.dtype.type)
    tensors = (torch.from_numpy(each).to(device) for each in (maps, planes))
    return expected, walk_on_device(*tensors, offsets, 8, steps, form).cpu().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", ["exact", "chebyshev"])
@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("size", [(20, 26), (1, 1), (1, 9), (9, 1), (2, 3), (5, 40)])
def test_equals_the_walk_of_arrays(size, dtype, error, form, device):
    expected, found = both(
        maps_of(3, size, dtype), random_planes(*size, 5).astype(dtype), half_disc(5), device, 256, form
    )
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=error, atol=error)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("steps", [0, 1, 2, 7, 1000])
def test_equals_the_walk_of_arrays_however_far_it_goes(steps, device):
    expected, found = both(maps_of(2, (7, 11)), random_planes(7, 11, 3), half_disc(3), device, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_walk_is_the_same_to_the_bit_every_time(device):
    inputs = maps_of(3, (20, 26)), random_planes(20, 26, 5), half_disc(5), device
    assert (both(*inputs)[1] == both(*inputs)[1]).all()


def test_two_cells_by_hand():
    # B = [[1, .25], [.25, 1]]: each step keeps 4/5 and takes 1/5
    maps, planes = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, torch.nan]]])
    for steps, expected in ((1, [0.8, 0.2]), (2, [0.68, 0.32])):
        found = walk_on_device(maps, planes, [(0, 1)], beta=2, steps=steps)
        assert found[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_window_holds_both_directions_of_each_pair():
    # the affinity of the upper left cell to the lower right one, of two by two
    window = windowed(torch.tensor([[[0.5, 9.0], [9.0, 9.0]]]), [(1, 1)])
    assert window.shape == (3, 3, 2, 2)
    assert window[2, 2].tolist() == [[0.5, 0], [0, 0]]
    assert window[0, 0].tolist() == [[0, 0], [0, 0.5]]
    assert window[1, 1].tolist() == [[1, 1], [1, 1]]
    assert window.sum() == 5


def test_maps_of_zeros_and_constants_stay_and_nothing_leaves_the_range_of_its_map():
    maps = torch.stack([torch.zeros(11, 13), torch.full((11, 13), 0.3), torch.eye(11, 13)])
    planes = torch.from_numpy(random_planes(11, 13, 4)).float()
    found = walk_on_device(maps, planes, half_disc(4), 1, 500, tolerance=1e-2)
    assert torch.equal(found[:2], maps[:2])
    assert found[2].min() >= 0
    assert found[2].max() < 0.5


def test_maps_that_are_too_many_walk_in_parts(monkeypatch):
    inputs = maps_of(5, (6, 7)), random_planes(6, 7, 3), half_disc(3), "cpu"
    together = both(*inputs)[1]
    monkeypatch.setattr(module, "MOST_PRODUCTS", 2 * 25 * 42)
    np.testing.assert_allclose(both(*inputs)[1], together, rtol=1e-6)


def test_no_maps_and_no_offsets():
    maps = torch.from_numpy(maps_of(2, (3, 4)))
    assert walk_on_device(maps[:0], torch.ones(1, 3, 4), [(0, 1)], 8, 256).shape == (0, 3, 4)
    torch.testing.assert_close(walk_on_device(maps, torch.ones(0, 3, 4), [], 8, 256), maps)


def test_arguments_are_left_alone():
    maps, planes = torch.ones(1, 5, 6), torch.from_numpy(random_planes(5, 6, 3))
    before = planes.clone()
    walk_on_device(maps, planes, half_disc(3), 8, 16)
    assert (maps == 1).all()
    torch.testing.assert_close(planes, before, equal_nan=True)


def test_bad_values_are_refused():
    maps, planes = torch.ones(1, 2, 3), torch.ones(1, 2, 3)
    with pytest.raises(ValueError, match="2 offsets for 1"):
        walk_on_device(maps, planes, [(0, 1), (1, 0)], 8, 4)
    for bad in (-planes, planes * torch.inf):
        with pytest.raises(ValueError, match="not negative"):
            walk_on_device(maps, bad, [(0, 1)], 8, 4)
    with pytest.raises(ValueError, match="NaN or infinity"):
        walk_on_device(maps * torch.nan, planes, [(0, 1)], 8, 4)


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("plan", [exact_plan(64), chebyshev_plan(64, 1e-6)])
def test_no_step_waits_for_the_device(plan):
    with no_waiting():
        powers = windowed(torch.ones(3, 6, 7, device=META), [(0, 1), (1, 0), (1, -2)])
        found = walked(torch.ones(2, 6, 7, device=META), powers, powers.sum((0, 1)), plan.tolist())
    assert found.shape == (2, 6, 7)


def test_the_device_is_asked_once():
    with Questions() as questions:
        walk_on_device(torch.ones(2, 6, 7), torch.ones(1, 6, 7), [(0, 1)], 8, 256)
    assert questions.asked == ["tolist"]
