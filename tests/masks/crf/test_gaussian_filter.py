import numpy as np
import pytest

from tagmask.masks.crf.gaussian_filter import GaussianFilter, add_filtered, gaussian_filter


def filtered(kernel: GaussianFilter, values: np.ndarray) -> np.ndarray:
    sums = kernel.spread(values, kernel.new_sums(values.shape[1]))
    out = np.zeros_like(values)
    add_filtered(out, [(1, kernel, sums)], slice(None), out)
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
    barycentric = kernel.lattice.weights.sum(axis=1, keepdims=True)  # the weights of a point sum to D^-1/2
    root_mass = 1 / barycentric
    np.testing.assert_allclose(filtered(kernel, root_mass), root_mass, rtol=1e-4)


def test_columns_do_not_mix(points: np.ndarray):
    kernel = gaussian_filter(points)
    values = np.random.default_rng(1).random((len(points), 11), np.float32)
    together = filtered(kernel, values)
    alone = np.hstack([filtered(kernel, np.ascontiguousarray(values[:, [k]])) for k in range(11)])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_results_are_added_to_the_base_with_a_factor_for_some_points(points: np.ndarray):
    kernel = gaussian_filter(points)
    values = np.ones((len(points), 1), np.float32)
    base, out, some = np.full_like(values, 5), np.zeros_like(values), slice(20, 50)
    add_filtered(base, [(2, kernel, kernel.spread(values, kernel.new_sums(1)))], some, out)
    np.testing.assert_allclose(out[some], (5 + 2 * filtered(kernel, values))[some], rtol=1e-6)
    assert not out[:20].any()
    assert not out[50:].any()
    assert (base == 5).all()


@pytest.mark.parametrize("features", [(2, 5), (5, 2), (2, 2), (5,), ()])
def test_filters_are_summed(features: tuple[int, ...]):
    # two and five features in this order have a loop of their own
    random = np.random.default_rng(0)
    kernels = [gaussian_filter(random.normal(0, 1, (40, d)).astype(np.float32)) for d in features]
    values = random.random((40, 4), np.float32)
    expected = values + sum((n * filtered(kernel, values) for n, kernel in enumerate(kernels, 3)), np.float32(0))
    terms = [(n, kernel, kernel.spread(values, kernel.new_sums(4))) for n, kernel in enumerate(kernels, 3)]
    out = np.empty_like(values)
    add_filtered(values, terms, slice(None), out)
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_working_memory_can_be_used_again(points: np.ndarray):
    kernel = gaussian_filter(points)
    values = np.random.default_rng(1).random((len(points), 3), np.float32)
    memory = kernel.new_sums(3)
    first = kernel.spread(values, memory).copy()
    kernel.spread(9 * values, memory)
    assert (kernel.spread(values, memory) == first).all()
