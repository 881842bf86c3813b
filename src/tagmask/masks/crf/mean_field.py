"""Fully connected CRF with Gaussian edge potentials (Krähenbühl & Koltun, NeurIPS 2011), by mean-field inference.

The posterior starts as ``softmax(-U)`` and is replaced ``iterations`` times by ``softmax(-U + sum_m w_m S_m Q)``
(algorithm 1 of the paper with Potts compatibility), where ``S_m`` is a normalised Gaussian kernel over pixel positions,
or over positions and colours, filtered on the permutohedral lattice. Imports no torch: worker processes use it.

A single pixel that disagrees with its white surroundings is overruled; the black region beside keeps its label:

    >>> image = np.repeat(np.array([0, 255], np.uint8), [3, 6])[None, :, None].repeat(5, 0).repeat(3, 2)
    >>> labels = np.repeat([0, 1], [3, 6])[None].repeat(5, 0)
    >>> labels[2, 6] = 0
    >>> unary = unary_from_labels(labels, num_labels=2, gt_prob=0.7)
    >>> dense_crf(image, unary, CrfConfig()).argmax(0)[2]
    array([0, 0, 0, 1, 1, 1, 1, 1, 1])
"""

from collections.abc import Callable
from typing import final, no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt8

from tagmask.config import CrfConfig
from tagmask.masks.crf.gaussian_filter import GaussianFilter, add_filtered, gaussian_filter
from tagmask.system.compiled import compiled

SMALLEST_PROBABILITY = 1e-5
_STRIP = 16  # pixels
_BLOCK = 1 << 15  # logits
_SAFE_EXPONENT = np.float32(60)

Refine = Callable[[Float[np.ndarray, "k h w"], CrfConfig], Float32[np.ndarray, "k h w"]]


@final
class Lattices:
    """The kernels of one image, each built when it is first asked for; share it between CRF runs on the image.

    Args:
        image: RGB, ``h w 3``.

    Attributes:
        order: the pixel behind each point of the kernels.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        if not image.size:
            raise ValueError(f"an image without pixels arrived, shape {image.shape}; leave it out.")
        self.image = image
        self.order = strips(*image.shape[:2])
        self._built: dict[tuple[float, float | None, bool], GaussianFilter] = {}

    def kernel(self, sxy: float, srgb: float | None, pad_to_four: bool) -> GaussianFilter:
        """The Gaussian kernel over positions, or over positions and colours if ``srgb`` is given.

        Args:
            sxy: standard deviation in pixels.
            srgb: standard deviation in grey levels.
            pad_to_four: whether zero points complete the list of pixels to a multiple of four.

        Raises:
            ValueError: a standard deviation too small for the image.
        """
        key = (sxy, srgb, pad_to_four)
        if key not in self._built:
            features = kernel_features(self.image, sxy, srgb)[self.order]
            self._built[key] = gaussian_filter(features, phantoms=-len(features) % 4 if pad_to_four else 0)
        return self._built[key]

    def weighted_kernels(self, config: CrfConfig) -> list[tuple[float, GaussianFilter]]:
        """The kernels of a configuration with their weights; those of weight 0 are left out."""
        return [(weight, self.kernel(sxy, srgb, config.pad_to_four)) for weight, sxy, srgb in kernels_of(config)]


def kernels_of(config: CrfConfig) -> list[tuple[float, float, float | None]]:
    """Weight and standard deviations of each kernel of a configuration, over colours None; none of weight 0.

    >>> kernels_of(CrfConfig(gaussian_sxy=1, bilateral_weight=0))
    [(3, 1.0, None)]
    """
    kernels = (
        (config.gaussian_weight, config.gaussian_sxy, None),
        (config.bilateral_weight, config.bilateral_sxy, config.bilateral_srgb),
    )
    return [kernel for kernel in kernels if kernel[0] > 0]


def strips(height: int, width: int) -> Int64[np.ndarray, " n"]:
    """The pixels of vertical strips, row by row: points that follow each other are near in both directions.

    >>> strips(2, 18).tolist() == [*range(16), *range(18, 34), 16, 17, 34, 35]
    True
    """
    pixels = np.arange(height * width).reshape(height, width)
    return np.concatenate([pixels[:, left : left + _STRIP].ravel() for left in range(0, width, _STRIP)])


def kernel_features(image: UInt8[np.ndarray, "h w 3"], sxy: float, srgb: float | None) -> Float32[np.ndarray, "n _"]:
    """Column, row and, if ``srgb`` is given, red, green, blue of every pixel, in standard deviations.

    >>> kernel_features(np.full((1, 2, 3), 10, np.uint8), sxy=2, srgb=5)
    array([[0. , 0. , 2. , 2. , 2. ],
           [0.5, 0. , 2. , 2. , 2. ]], dtype=float32)
    """
    height, width, _ = image.shape
    features = np.empty((height, width, 2 if srgb is None else 5), np.float32)
    features[..., 0] = np.arange(width)
    features[..., 1] = np.arange(height)[:, None]
    with np.errstate(over="ignore"):  # the lattice refuses what overflows
        features[..., :2] /= np.float32(sxy)
        if srgb is not None:
            features[..., 2:] = image / np.float32(srgb)
    return features.reshape(height * width, -1)


def unary_from_probabilities(probabilities: Float[np.ndarray, "k h w"]) -> Float32[np.ndarray, "k h w"]:
    """Energies ``-log p``, p clipped to [1e-5, 1]; the probabilities of a pixel need not sum to one.

    >>> unary_from_probabilities(np.array([[[1.0, 0.0]]])).round(3)
    array([[[-0.   , 11.513]]], dtype=float32)
    """
    return -np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1)).astype(np.float32)


def unary_from_labels(
    labels: Integer[np.ndarray, "h w"], num_labels: int, gt_prob: float
) -> Float32[np.ndarray, "k h w"]:
    """Energies of hard labels: ``-log gt_prob`` for a pixel's own label, the rest shared evenly by the others.

    Args:
        labels: in [0, num_labels).
        num_labels: k.
        gt_prob: trust in the labels, in (0, 1).

    Raises:
        ValueError: a label out of range.

    >>> unary_from_labels(np.array([[0, 2]]), num_labels=3, gt_prob=0.5).round(3)[:, 0]
    array([[0.693, 1.386],
           [1.386, 1.386],
           [1.386, 0.693]], dtype=float32)
    """
    if labels.size and not (labels.min() >= 0 and labels.max() < num_labels):
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()} arrived, expected 0 to {num_labels - 1}: "
            "give unlabelled pixels a label first."
        )
    own = labels == np.arange(num_labels)[:, None, None]
    others = (1 - gt_prob) / max(num_labels - 1, 1)
    return np.where(own, -np.log(gt_prob), -np.log(others)).astype(np.float32)


def dense_crf(
    image: UInt8[np.ndarray, "h w 3"],
    unary: Float32[np.ndarray, "k h w"],
    config: CrfConfig,
    lattices: Lattices | None = None,
) -> Float32[np.ndarray, "k h w"]:
    """Posterior of each label at each pixel after ``config.iterations`` mean-field steps.

    Args:
        image: RGB.
        unary: energies, finite; only differences between the labels of a pixel matter.
        config: kernels, weights and number of iterations.
        lattices: kernels of this image from an earlier call; built here if left out.

    Returns:
        Probabilities that sum to one over k. A single label has probability one everywhere.

    Raises:
        ValueError: sizes of image, unary and lattices differ, an energy is not finite, or a standard deviation is too
            small for the image.
    """
    lattices = lattices or Lattices(image)
    _check(image, unary, lattices)
    if len(unary) == 1:
        return np.ones_like(unary)
    kernels = lattices.weighted_kernels(config) if config.iterations else []
    energies = unary.reshape(len(unary), -1)
    return _mean_field(energies, lattices.order, kernels, config.iterations).reshape(unary.shape)


def refine(
    image: UInt8[np.ndarray, "h w 3"],
    probabilities: Float[np.ndarray, "k h w"],
    config: CrfConfig,
    lattices: Lattices | None = None,
) -> Float32[np.ndarray, "k h w"]:
    """Dense CRF on probabilities, or on their most probable labels where ``config.unary`` is ``hard``.

    Args:
        image: RGB.
        probabilities: in [0, 1]; need not sum to one.
        config: kernels, weights, iterations and kind of unary.
        lattices: kernels of this image from an earlier call; built here if left out.

    Returns:
        Posteriors that sum to one over k; to less with a ``config.num_labels`` above k, whose labels take part unseen.

    Raises:
        ValueError: as ``dense_crf``; NaN among the probabilities.
    """
    if config.unary == "soft":
        return dense_crf(image, unary_from_probabilities(probabilities), config, lattices)
    if np.isnan(probabilities).any():
        raise ValueError("probabilities contain NaN; expected numbers in [0, 1].")
    num_labels = max(len(probabilities), config.num_labels or 0)
    unary = unary_from_labels(probabilities.argmax(axis=0), num_labels, config.gt_prob)
    return dense_crf(image, unary, config, lattices)[: len(probabilities)]


def _check(image: UInt8[np.ndarray, "h w 3"], unary: Float32[np.ndarray, "k _ _"], lattices: Lattices) -> None:
    if not len(unary) or image.shape[:2] != unary.shape[1:]:
        raise ValueError(
            f"an image of {image.shape[:2]} pixels and energies of shape {unary.shape} arrived; expected one or more "
            "planes of the image's size: resize the scores to the image first."
        )
    if lattices.image is not image and not np.array_equal(lattices.image, image):
        raise ValueError("the lattices belong to another image; share them only between calls on the same image.")
    if not np.isfinite(unary).all():
        raise ValueError("energies contain NaN or infinity; clip probabilities away from zero first.")


def _mean_field(
    unary: Float32[np.ndarray, "k n"],
    order: Int64[np.ndarray, " n"],
    kernels: list[tuple[float, GaussianFilter]],
    iterations: int,
) -> Float32[np.ndarray, "k n"]:
    """Iterate from ``softmax(-unary)``; classes are innermost in memory, and a block of points stays in the cache."""
    size = 1 + _BLOCK // len(unary)
    blocks = [slice(start, start + size) for start in range(0, len(order), size)]
    evidence, posterior = np.empty((2, len(order), len(unary)), np.float32)
    for points in blocks:
        np.negative(unary[:, order[points]].T, out=evidence[points])
        posterior[points] = evidence[points]
        _softmax(posterior[points])
    _iterate(evidence, posterior, blocks, kernels, iterations)
    result = np.empty_like(unary)
    for points in blocks:
        result[:, order[points]] = posterior[points].T
    return result


def _iterate(
    evidence: Float32[np.ndarray, "n k"],
    posterior: Float32[np.ndarray, "n k"],
    blocks: list[slice],
    kernels: list[tuple[float, GaussianFilter]],
    iterations: int,
) -> None:
    """Replace the posterior, in place."""
    memories = [kernel.new_sums(evidence.shape[1]) for _, kernel in kernels]
    for _ in range(iterations):
        filtered = [
            (weight, kernel, kernel.spread(posterior, memory))
            for (weight, kernel), memory in zip(kernels, memories, strict=True)
        ]
        for points in blocks:
            add_filtered(evidence, filtered, points, posterior)
            _softmax(posterior[points])


@compiled
@no_type_check
def _softmax(rows: Float32[np.ndarray, "n k"]) -> None:
    """Softmax of each row, in place."""
    for row in rows:
        largest = row[0]
        for k in range(1, len(row)):
            largest = max(largest, row[k])
        if abs(largest) > _SAFE_EXPONENT:  # nothing overflows below: the largest need not be subtracted
            for k in range(len(row)):
                row[k] -= largest
    _exponential(rows.ravel())
    for row in rows:
        total = np.float32(0)
        for k in range(len(row)):
            total += row[k]
        share = np.float32(1) / total
        for k in range(len(row)):
            row[k] *= share


@compiled
@no_type_check
def _exponential(numbers: Float32[np.ndarray, " n"]) -> None:
    """Exponentials in place: a power of two, written as the exponent of a float, times a polynomial for the rest.

    Numbers are at most 88; below -87 they count as -87. The compiled ``np.exp`` takes one number at a time.
    """
    for i in range(len(numbers)):
        x = max(numbers[i], np.float32(-87))
        power = np.rint(x * np.float32(1.44269504))
        x = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)  # minus power * log(2)
        y = np.float32(1.9875691500e-4)
        y = y * x + np.float32(1.3981999507e-3)
        y = y * x + np.float32(8.3334519073e-3)
        y = y * x + np.float32(4.1665795894e-2)
        y = y * x + np.float32(1.6666665459e-1)
        y = y * x + np.float32(5.0000001201e-1)
        y = y * x * x + x + np.float32(1)
        numbers[i] = y * np.int32((np.int32(power) + 127) << 23).view(np.float32)
