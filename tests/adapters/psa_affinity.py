"""Pair planes of AffinityNet under both border rules, and on a grid too small for the radius."""

import numpy as np
import torch

from tagmask.affinity.pairs import Border, feature_affinities, pair_exists, pair_offsets

TOLERANCE = {"out_offsets": (0.0, 0.0), "out_offsets_small": (0.0, 0.0), "*": (1e-6, 0.0)}


def psa_affinity(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    features, small = arrays["in_feat"], arrays["in_feat_small"]
    offsets = pair_offsets(int(arrays["p_radius"]))
    few = pair_offsets(int(arrays["p_radius_small"]))
    return {
        "out_offsets": np.array(offsets, dtype=np.int64).reshape(-1, 2),
        "out_aff_interior": _planes(features, offsets, "interior"),
        "out_aff_full": _planes(features, offsets, "full"),
        "out_offsets_small": np.array(few, dtype=np.int64).reshape(-1, 2),
        "out_aff_small_interior": _planes(small, few, "interior"),
    }


def _planes(features: np.ndarray, offsets: list[tuple[int, int]], border: Border) -> np.ndarray:
    planes = feature_affinities(torch.from_numpy(features)[None], offsets)[0]
    return np.where(pair_exists(*features.shape[1:], offsets, border), planes, np.nan)
