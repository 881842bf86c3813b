"""Where the dense CRF of a photograph is computed: by numba on a processor, by torch on a device that can."""

import numpy as np
from jaxtyping import UInt8

from tagmask.masks.crf.mean_field import Lattices, Refine, refine


def refiner(image: UInt8[np.ndarray, "h w 3"], device: str = "cpu") -> Refine:
    """``refine`` for one image on a device; kernels are built once for all calls.

    Args:
        image: RGB.
        device: ``cpu``, ``cuda:1`` ...; those that ``computes_on`` refuses leave it to the processor, and so does one
            without enough memory for the image.

    Raises:
        ValueError: an image without pixels.
    """
    if not computes_on(device):
        lattices = Lattices(image)
        return lambda probabilities, config: refine(image, probabilities, config, lattices)
    from tagmask.masks.crf.mean_field_on_device import refiner_on_device  # noqa: PLC0415 - it needs torch

    return refiner_on_device(image, device)


def computes_on(device: str) -> bool:
    """Whether a device computes the CRF itself, by ``mean_field_on_device``: torch lacks operations for some of them.

    >>> computes_on("cuda:1"), computes_on("mps"), computes_on("cpu")
    (True, False, False)
    """
    return device.startswith("cuda")
