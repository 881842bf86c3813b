"""How each published method sums its passes over scales and mirror images, and normalises the sum."""

import numpy as np
import torch

from tagmask.inference.passes import sum_passes
from tagmask.masks.scores import add_threshold, argmax_classes, mask_values, normalize_max, normalize_min_max

TOLERANCE = {"out_eps_pred": (0.0, 0.0), "*": (5e-6, 0.0)}


def cam_aggregate(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    size, eps = tuple(arrays["in_size"].tolist()), float(arrays["p_norm_eps"])
    tags = np.flatnonzero(arrays["in_label"])
    strided_size = tuple(-(-side // 4) for side in size)
    padded_size = tuple(-(-side // 16) * 16 for side in size)
    eps_maps = normalize_max(_sum(arrays, "in_eps_logit", size, softmax=True)[tags], eps)
    with_background = add_threshold(eps_maps, float(arrays["p_eps_thr"]))
    return {
        "out_psa": normalize_max(_sum(arrays, "in_psa_cam", size), eps),
        "out_seam": normalize_min_max(_sum(arrays, "in_seam_rv", size), eps),
        "out_seam_absent_value": normalize_min_max(np.zeros((1, 1, 1), np.float32), eps)[0, 0, 0],
        "out_sipe": normalize_max(_sum(arrays, "in_sipe_iscam", size), eps),
        "out_irn_strided": normalize_max(_sum(arrays, "in_irn_cam", strided_size), eps),
        "out_irn_highres": normalize_max(_sum(arrays, "in_irn_cam", padded_size)[:, : size[0], : size[1]], eps),
        "out_eps": eps_maps,
        "out_eps_pred": argmax_classes(with_background, mask_values(tags, with_background=True)),
    }


def _sum(arrays: dict[str, np.ndarray], name: str, size: tuple[int, int], softmax: bool = False) -> np.ndarray:
    """Sum of the passes stored as ``name_s<scale>`` or, with mirrored ones apart, ``name_s<scale>_f<0 or 1>``."""
    names = sorted(key for key in arrays if key.startswith(f"{name}_s"))
    passes = [torch.from_numpy(arrays[key]) for key in names]
    passes = [p.softmax(dim=0) for p in passes] if softmax else passes
    return sum_passes(passes, [key.endswith("_f1") for key in names], size).numpy()
