"""Dense CRF on hard labels."""

import numpy as np

from tagmask.config import CrfConfig
from tagmask.masks.crf import Lattices, dense_crf, unary_from_labels

TOLERANCE = {"*": (5e-4, 0.0)}


def crf_labels(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    config = CrfConfig(
        gaussian_sxy=float(arrays["p_gauss_sxy"]),
        gaussian_weight=float(arrays["p_gauss_compat"]),
        bilateral_sxy=float(arrays["p_bil_sxy"]),
        bilateral_srgb=float(arrays["p_bil_srgb"]),
        bilateral_weight=float(arrays["p_bil_compat"]),
        iterations=int(arrays["p_iters"]),
        pad_to_four=True,
    )
    lattices = Lattices(arrays["in_image"])
    outputs = {}
    for name in [name.removeprefix("in_labels_") for name in arrays if name.startswith("in_labels_")]:
        unary = unary_from_labels(arrays[f"in_labels_{name}"], int(name[1:]), float(arrays["p_gt_prob"]))
        posterior = dense_crf(arrays["in_image"], unary, config, lattices)
        second, first = np.partition(posterior, -2, axis=0)[-2:]
        chosen = posterior[arrays[f"in_ch_{name}"]] if f"in_ch_{name}" in arrays else posterior
        outputs[f"out_argmax_{name}"] = posterior.argmax(axis=0).astype(np.uint8)
        outputs[f"out_margin_{name}"] = first - second
        outputs[f"out_q_{name}_ch" if f"in_ch_{name}" in arrays else f"out_q_{name}"] = chosen
    return outputs
