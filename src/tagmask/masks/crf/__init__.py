"""The fully connected CRF (Krähenbühl & Koltun, NeurIPS 2011): by numba on a processor, by torch on an accelerator.

A photograph and the scores of its labels enter, a posterior of each label at each pixel leaves. ``mean_field``
iterates, ``gaussian_filter`` carries values between like pixels, ``permutohedral`` says which pixels are; what ends in
``_on_device`` does the same with tensors. No torch is imported unless a device is asked for.
"""

from tagmask.masks.crf.dispatch import computes_on, refiner
from tagmask.masks.crf.mean_field import (
    Lattices,
    dense_crf,
    refine,
    unary_from_labels,
    unary_from_probabilities,
)

__all__ = ["Lattices", "computes_on", "dense_crf", "refine", "refiner", "unary_from_labels", "unary_from_probabilities"]
