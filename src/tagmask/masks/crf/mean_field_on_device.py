"""The dense CRF of ``mean_field`` as torch operations: arrays of a photograph enter and leave, a device does the work.

Beside what is copied there and back, the device is waited for once for each kernel of a photograph, to learn how many
vertices its lattice has, and not at all in the iterations.
"""

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from tagmask.config import CrfConfig
from tagmask.masks.crf.filter_on_device import FilterOnDevice, filter_on_device
from tagmask.masks.crf.mean_field import SMALLEST_PROBABILITY, Refine, kernels_of, refine

WeightedFilter = tuple[float, Callable[[Tensor], Tensor]]


@final
class LatticesOnDevice:
    """The kernels of one image, each built when it is first asked for: see ``mean_field.Lattices``.

    Args:
        image: RGB, ``h w 3``.
        device: where the kernels are.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"], device: torch.device) -> None:
        if not image.size:
            raise ValueError(f"an image without pixels arrived, shape {image.shape}; leave it out.")
        self.size, self.brightest = image.shape[:2], image.max(axis=(0, 1))
        self.pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        self._built: dict[tuple[float, float | None, bool], FilterOnDevice] = {}

    def kernel(self, sxy: float, srgb: float | None, pad_to_four: bool) -> FilterOnDevice:
        """The Gaussian kernel over positions, or over positions and colours: see ``mean_field.Lattices.kernel``."""
        key = (sxy, srgb, pad_to_four)
        if key not in self._built:
            phantoms = -self.size[0] * self.size[1] % 4 if pad_to_four else 0
            features = features_on_device(self.pixels, sxy, srgb)
            self._built[key] = filter_on_device(features, self._span(sxy, srgb), phantoms)
        return self._built[key]

    def _span(self, sxy: float, srgb: float | None) -> Float32[np.ndarray, "1 _"]:
        """The largest of all features; the smallest are 0 or more."""
        height, width = self.size
        with np.errstate(over="ignore"):  # the lattice refuses what overflows
            place = np.array([width - 1, height - 1], np.float32) / np.float32(sxy)
            return np.append(place, [] if srgb is None else self.brightest / np.float32(srgb))[None].astype(np.float32)

    def weighted_kernels(self, config: CrfConfig) -> list[WeightedFilter]:
        """The kernels of a configuration with their weights; those of weight 0 are left out."""
        return [(weight, self.kernel(sxy, srgb, config.pad_to_four)) for weight, sxy, srgb in kernels_of(config)]


def features_on_device(pixels: Tensor, sxy: float, srgb: float | None) -> Float32[Tensor, "n _"]:
    """Column, row and, if ``srgb`` is given, red, green, blue of every pixel, in standard deviations.

    >>> features_on_device(torch.full((1, 2, 3), 10, dtype=torch.uint8), sxy=2, srgb=5).tolist()
    [[0.0, 0.0, 2.0, 2.0, 2.0], [0.5, 0.0, 2.0, 2.0, 2.0]]
    """
    height, width, _ = pixels.shape
    rows, columns = (torch.arange(side, dtype=torch.float32, device=pixels.device) for side in (height, width))
    places = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], dim=-1)
    # By a number on the device: CUDA multiplies by the reciprocal of a number from here, and rounds otherwise.
    parts = [places / pixels.new_full((), sxy, dtype=torch.float32)]
    if srgb is not None:
        parts.append(pixels / pixels.new_full((), srgb, dtype=torch.float32))
    return torch.cat(parts, dim=-1).flatten(0, 1)


def refiner_on_device(image: UInt8[np.ndarray, "h w 3"], device: str) -> Refine:
    """``refine_on_device`` for one image; what does not fit into the memory of the device is left to the processor."""
    lattices = LatticesOnDevice(image, torch.device(device))

    def refine_where_it_fits(
        probabilities: Float[np.ndarray, "k h w"], config: CrfConfig
    ) -> Float32[np.ndarray, "k h w"]:
        try:
            return refine_on_device(probabilities, config, lattices)
        except torch.OutOfMemoryError:
            return refine(image, probabilities, config)

    return refine_where_it_fits


@torch.no_grad()
def refine_on_device(
    probabilities: Float[np.ndarray, "k h w"], config: CrfConfig, lattices: LatticesOnDevice
) -> Float32[np.ndarray, "k h w"]:
    """``mean_field.refine`` on the device of the lattices.

    Args:
        probabilities: in [0, 1]; need not sum to one.
        config: kernels, weights, iterations and kind of unary.
        lattices: kernels of the image.

    Returns:
        Posteriors, equal to those of ``mean_field.refine`` but for the order in which numbers are added.

    Raises:
        ValueError: the sizes of image and probabilities differ, these contain NaN, or a standard deviation is too
            small for the image.
    """
    if not len(probabilities) or probabilities.shape[1:] != lattices.size:
        raise ValueError(
            f"an image of {lattices.size} pixels and probabilities of shape {probabilities.shape} arrived; expected "
            "one or more planes of the image's size: resize the scores to the image first."
        )
    if np.isnan(probabilities).any():
        raise ValueError("probabilities contain NaN; expected numbers in [0, 1].")
    given = torch.from_numpy(np.ascontiguousarray(probabilities)).to(lattices.pixels.device)
    energies = energies_on_device(given.flatten(1), config)
    if len(energies) == 1:
        return np.ones(probabilities.shape, np.float32)
    kernels = lattices.weighted_kernels(config) if config.iterations else []
    found = mean_field_on_device(energies, kernels, config.iterations)[: len(probabilities)]
    return found.cpu().numpy().reshape(probabilities.shape)


def energies_on_device(probabilities: Float[Tensor, "k n"], config: CrfConfig) -> Float32[Tensor, "_ n"]:
    """Energies of probabilities or of their most probable labels: see ``mean_field.unary_from_labels``."""
    if config.unary == "soft":
        return -probabilities.clamp(SMALLEST_PROBABILITY, 1).log().float()
    num_labels = max(len(probabilities), config.num_labels or 0)
    labels = torch.arange(num_labels, device=probabilities.device)[:, None]
    own = probabilities.argmax(dim=0) == labels
    others = (1 - config.gt_prob) / max(num_labels - 1, 1)
    return -torch.where(own, config.gt_prob, others).log().float()


def mean_field_on_device(
    energies: Float32[Tensor, "k n"], kernels: list[WeightedFilter], iterations: int
) -> Float32[Tensor, "k n"]:
    """Iterate from ``softmax(-energies)``; a point's classes lie together in memory."""
    evidence = -energies.T.contiguous()
    posterior = evidence.softmax(dim=1)
    for _ in range(iterations):
        logits = evidence
        for weight, kernel in kernels:
            logits = logits.add(kernel(posterior), alpha=weight)
        posterior = logits.softmax(dim=1)
    return posterior.T.contiguous()
