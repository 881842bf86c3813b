from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf_inputs import photograph, scores
from tagmask.config import CRF_PRESETS, CrfConfig
from tagmask.masks.crf import Lattices, dense_crf, mean_field, refine, unary_from_labels, unary_from_probabilities

PSA = CRF_PRESETS["psa"]


def softmax(energies: np.ndarray) -> np.ndarray:
    exponentials = np.exp(-energies.astype(np.float64))
    return exponentials / exponentials.sum(axis=0)


@pytest.mark.parametrize("preset", CRF_PRESETS)
@pytest.mark.parametrize("num_labels", [2, 3, 21])
def test_posteriors_are_probabilities(preset: str, num_labels: int):
    image = photograph()
    posterior = refine(image, scores(num_labels, image), CRF_PRESETS[preset])
    assert posterior.dtype == np.float32
    assert posterior.min() >= 0
    np.testing.assert_allclose(posterior.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 40), (3, 3)])
def test_tiny_images(size: tuple[int, int]):
    image = photograph(*size)
    posterior = refine(image, scores(3, image), PSA)
    np.testing.assert_allclose(posterior.sum(axis=0), 1, atol=1e-5)


def test_one_pixel_is_its_own_only_neighbour():
    # both kernels reduce to the identity, so that Q <- softmax(-U + (3 + 10) Q)
    unary = unary_from_probabilities(np.array([0.6, 0.4], np.float32).reshape(2, 1, 1))
    expected = softmax(unary)
    for _ in range(PSA.iterations):
        expected = softmax(unary - 13 * expected)
    actual = dense_crf(np.full((1, 1, 3), 9, np.uint8), unary, PSA)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_no_iterations_give_the_normalised_unaries():
    image = photograph()
    unary = np.random.default_rng(0).normal(0, 3, (4, *image.shape[:2])).astype(np.float32)
    actual = dense_crf(image, unary, CrfConfig(iterations=0))
    np.testing.assert_allclose(actual, softmax(unary), atol=1e-6)


def test_weights_of_zero_give_the_normalised_unaries():
    image = photograph()
    probabilities = scores(3, image)
    config = CrfConfig(gaussian_weight=0, bilateral_weight=0)
    np.testing.assert_allclose(refine(image, probabilities, config), probabilities, atol=1e-5)


def test_a_constant_image_smooths_by_position_alone():
    image = np.full((40, 40, 3), 128, np.uint8)
    labels = np.zeros((40, 40), int)
    labels[20, 20] = 1
    posterior = dense_crf(image, unary_from_labels(labels, 2, 0.7), PSA)
    assert (posterior.argmax(axis=0) == 0).all()


def test_colour_edges_stop_the_smoothing():
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 255
    probabilities = np.full((2, 24, 24), 0.5, np.float32)
    probabilities[:, 4:20, 2] = [[0.9], [0.1]]
    probabilities[:, 4:20, 21] = [[0.1], [0.9]]
    posterior = refine(image, probabilities, CrfConfig(gaussian_weight=0))
    assert (posterior.argmax(axis=0) == (np.arange(24) >= 12)).all()


@pytest.mark.parametrize("unary", ["soft", "hard"])
def test_a_single_label_is_certain(unary: str):
    image = photograph()
    posterior = refine(image, np.zeros((1, *image.shape[:2]), np.float32), CrfConfig(unary=unary))
    assert (posterior == 1).all()


def test_more_labels_than_the_image_has_make_a_hard_label_weigh_more():
    image = photograph()
    probabilities = scores(2, image)
    own, more = (refine(image, probabilities, CrfConfig(unary="hard", num_labels=n)) for n in (None, 21))
    unary = unary_from_labels(probabilities.argmax(axis=0), 21, 0.7)
    np.testing.assert_allclose(more, dense_crf(image, unary, PSA)[:2], atol=1e-6)
    np.testing.assert_array_equal(own, refine(image, probabilities, CrfConfig(unary="hard", num_labels=2)))
    given = probabilities.argmax(axis=0)
    assert (more.argmax(axis=0) != given).sum() < (own.argmax(axis=0) != given).sum()


def test_one_hot_and_all_zero_probabilities():
    image = photograph()
    one_hot = np.zeros((3, *image.shape[:2]), np.float32)
    one_hot[0, :, :15], one_hot[2, :, 15:] = 1, 1
    assert (refine(image, one_hot, PSA).argmax(axis=0) == one_hot.argmax(axis=0)).all()
    undecided = refine(image, np.zeros_like(one_hot), PSA)
    np.testing.assert_allclose(undecided, 1 / 3, atol=1e-5)


def test_huge_energies_do_not_overflow():
    image = photograph()
    unary = np.full((2, *image.shape[:2]), 1e30, np.float32)
    unary[1] = -1e30
    posterior = dense_crf(image, unary, PSA)
    assert (posterior[1] == 1).all()


def test_a_short_deviation_on_a_wide_image():
    # 4000 pixels at 0.1 are 40 000 standard deviations: coordinates beyond 16 bits
    image = photograph(2, 4000)
    probabilities = scores(2, image)
    config = CrfConfig(gaussian_sxy=0.1, bilateral_sxy=0.1, bilateral_srgb=1)
    # no two pixels mix: each one is its own only neighbour
    expected = dense_crf(image[:1, :1], unary_from_probabilities(probabilities[:, 1:, 3999:]), PSA)
    actual = refine(image, probabilities, config)[:, 1:, 3999:]
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_more_vertices_than_pixels():
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
    kernel = Lattices(image).kernel(67, 3, pad_to_four=False)
    assert kernel.lattice.num_vertices > 4 * 60 * 70
    posterior = refine(image, scores(2, image), CRF_PRESETS["deeplab"])
    np.testing.assert_allclose(posterior.sum(axis=0), 1, atol=1e-5)


def test_too_short_a_deviation_is_refused():
    image = photograph(2, 50)
    for sxy in (1e-4, 1e-44):
        with pytest.raises(ValueError, match="use a larger one"):
            refine(image, scores(2, image), CrfConfig(gaussian_sxy=sxy))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), num_labels=st.integers(2, 6))
def test_permuted_labels_permute_the_posteriors(seed: int, num_labels: int):
    image = photograph(9, 14, seed)
    probabilities = scores(num_labels, image, seed)
    order = np.random.default_rng(seed).permutation(num_labels)
    actual = refine(image, probabilities[order], PSA)
    np.testing.assert_allclose(actual, refine(image, probabilities, PSA)[order], atol=1e-4)


def test_absent_labels_change_nothing():
    image = photograph()
    probabilities = scores(2, image)
    padded = np.concatenate([probabilities, np.zeros_like(probabilities)])
    actual = refine(image, padded, PSA)
    np.testing.assert_allclose(actual[:2], refine(image, probabilities, PSA), atol=2e-3)


def test_shared_lattices_give_identical_results():
    image, other = photograph(), CRF_PRESETS["irn"]
    low, high = scores(3, image, 1), scores(3, image, 2)
    lattices = Lattices(image)
    for probabilities, config in ((low, PSA), (high, PSA), (low, other), (low, PSA)):
        shared = refine(image, probabilities, config, lattices)
        assert (shared == refine(image, probabilities, config)).all()
    assert lattices.kernel(80, 13, False) is lattices.kernel(80, 13, False)


def test_threads_agree_with_one_thread():
    image = photograph(60, 80)
    lattices = Lattices(image)
    inputs = [scores(3, image, seed) for seed in range(8)]
    expected = [refine(image, probabilities, PSA) for probabilities in inputs]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda probabilities: refine(image, probabilities, PSA, lattices), inputs))
    assert all((a == b).all() for a, b in zip(actual, expected, strict=True))


def test_padding_matters_only_if_the_number_of_pixels_is_not_a_multiple_of_four():
    config = CrfConfig(pad_to_four=True)
    even, odd = photograph(8, 10), photograph(9, 11) // 8
    assert (refine(even, scores(3, even), config) == refine(even, scores(3, even), PSA)).all()
    padded = refine(odd, scores(3, odd), config)
    np.testing.assert_allclose(padded.sum(axis=0), 1, atol=1e-5)
    plain, filled = (Lattices(odd).kernel(80, 13, pad) for pad in (False, True))
    assert filled.lattice.num_vertices >= plain.lattice.num_vertices
    assert filled.lattice.weights.shape == plain.lattice.weights.shape


def test_exponentials_are_those_of_numpy():
    numbers = np.linspace(-87, 60, 100_003, dtype=np.float32)
    computed = numbers.copy()
    mean_field._exponential(computed)
    np.testing.assert_allclose(computed, np.exp(numbers.astype(np.float64)), rtol=3e-7)


def test_inputs_stay_as_they_are():
    image = photograph()
    unary = unary_from_probabilities(scores(3, image))
    before = image.copy(), unary.copy()
    image.flags.writeable = unary.flags.writeable = False
    dense_crf(image, unary, PSA)
    assert (image == before[0]).all()
    assert (unary == before[1]).all()


def test_views_are_as_good_as_copies():
    image = np.ascontiguousarray(photograph().transpose(1, 0, 2)).transpose(1, 0, 2)
    probabilities = scores(3, image)[:, ::-1]
    expected = refine(image.copy(), probabilities.copy(), PSA)
    assert (refine(image, probabilities, PSA) == expected).all()


def test_hard_unaries_know_the_most_probable_label_alone():
    image, config = photograph(), CRF_PRESETS["irn"]
    probabilities = scores(3, image)
    sharper = probabilities**4 / (probabilities**4).sum(axis=0)
    assert (refine(image, probabilities, config) == refine(image, sharper, config)).all()
    other = refine(image, probabilities[[1, 0, 2]], config)
    assert (other != refine(image, probabilities, config)).any()


def test_a_hard_label_is_trusted_as_far_as_configured():
    # without neighbours: the label's own share, and the rest in equal parts
    config = CrfConfig(unary="hard", gt_prob=0.6, gaussian_weight=0, bilateral_weight=0)
    posterior = refine(photograph(1, 1), np.array([0.2, 0.5, 0.3], np.float32).reshape(3, 1, 1), config)
    np.testing.assert_allclose(posterior.ravel(), [0.2, 0.6, 0.2], atol=1e-6)


def test_wrong_sizes_are_refused():
    image = photograph()
    with pytest.raises(ValueError, match="resize the scores"):  # from outside, the tests' shape checker objects first
        mean_field._check(image, scores(2, photograph(5, 5)), Lattices(image))
    with pytest.raises(ValueError, match="another image"):
        refine(image, scores(2, image), PSA, Lattices(photograph(seed=5)))
    with pytest.raises(ValueError, match="without pixels"):
        Lattices(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.parametrize("unary", ["soft", "hard"])
def test_nan_is_refused(unary: str):
    image = photograph()
    probabilities = scores(2, image)
    probabilities[0, 3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        refine(image, probabilities, CrfConfig(unary=unary))


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_refused(label: int):
    with pytest.raises(ValueError, match="expected 0 to 2"):
        unary_from_labels(np.array([[0, label]]), num_labels=3, gt_prob=0.7)
