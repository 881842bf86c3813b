import numpy as np
import pytest

from tagmask.masks.gaussian_filter import GaussianFilter, gaussian_filter


def filtered(kernel: GaussianFilter, values: np.ndarray) -> np.ndarray:
    out = np.zeros_like(values)
    kernel.add_filtered(values, 1, kernel.new_sums(values.shape[1]), out)
    return out


def matrix(points: np.ndarray) -> np.ndarray:
    """The whole kernel, one column per point."""
    return filtered(gaussian_filter(points), np.eye(len(points), dtype=np.float32))


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1.5, (60, 2)).astype(np.float32)


def test_the_kernel_is_close_to_the_exact_one(points: np.ndarray):
    exact = np.exp(-0.5 * ((points[:, None] - points) ** 2).sum(axis=-1))
    root = 1 / np.sqrt(exact.sum(axis=1))
    exact = root[:, None] * exact * root
    approximate = matrix(points)
    assert np.abs(approximate - exact).max() < 0.2 * exact.max()
    assert np.corrcoef(approximate.ravel(), exact.ravel())[0, 1] > 0.97


def test_the_root_of_the_mass_is_kept(points: np.ndarray):
    # D^-1/2 K D^-1/2 applied to D^1/2 1 gives it back
    kernel = gaussian_filter(points)
    barycentric = kernel.weights.sum(axis=1, keepdims=True)  # the weights of a point sum to D^-1/2
    root_mass = 1 / barycentric
    np.testing.assert_allclose(filtered(kernel, root_mass), root_mass, rtol=1e-4)


def test_columns_do_not_mix(points: np.ndarray):
    kernel = gaussian_filter(points)
    values = np.random.default_rng(1).random((len(points), 11), np.float32)
    together = filtered(kernel, values)
    alone = np.hstack([filtered(kernel, np.ascontiguousarray(values[:, [k]])) for k in range(11)])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_results_are_added_with_a_factor(points: np.ndarray):
    kernel = gaussian_filter(points)
    values = np.ones((len(points), 1), np.float32)
    out = np.full_like(values, 5)
    kernel.add_filtered(values, 2, kernel.new_sums(1), out)
    np.testing.assert_allclose(out, 5 + 2 * filtered(kernel, values), rtol=1e-6)


def test_working_memory_can_be_used_again(points: np.ndarray):
    kernel = gaussian_filter(points)
    values = np.random.default_rng(1).random((len(points), 3), np.float32)
    sums, outs = kernel.new_sums(3), [np.zeros_like(values) for _ in range(2)]
    sums.fill(np.nan)
    for out in outs:
        kernel.add_filtered(values, 1, sums, out)
    assert (outs[0] == outs[1]).all()
