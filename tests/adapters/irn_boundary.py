"""Affinities along paths from a boundary map, the walk they make, and the masks of IRN and of SIPE after it."""

import numpy as np
import torch

from tagmask.affinity.boundaries import path, path_affinities
from tagmask.affinity.pairs import Border, pair_exists, pair_offsets
from tagmask.affinity.random_walk import random_walk
from tagmask.config import WalkConfig
from tagmask.masks.from_archives import walk_start
from tagmask.masks.grids import from_grid
from tagmask.masks.scores import add_threshold, argmax_classes, mask_values, normalize_jointly

TOLERANCE = {
    "out_walk_b10_t256": (1e-9, 0.0),
    "out_walk_b10_t16": (1e-9, 0.0),
    "out_semseg_scores": (1e-6, 0.0),
    "out_sipe_walk_pow15": (1e-6, 0.0),
    "*": (1e-7, 0.0),
}


def irn_boundary(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return _planes(arrays["in_edge"], 5) | _planes(arrays["in_edge"], 10) | _masks(arrays)


def _planes(edge: np.ndarray, radius: int) -> dict[str, np.ndarray]:
    """Planes in the order of the file: by length of the path, else as ours."""
    offsets = sorted(pair_offsets(radius), key=lambda offset: len(path(offset)))
    borders: tuple[Border, Border] = ("interior", "full")
    planes = path_affinities(torch.from_numpy(edge)[None], offsets)[0]
    return {
        f"out_offsets_r{radius}": np.array(offsets, dtype=np.int64).reshape(-1, 2),
        f"out_pathlen_r{radius}": np.array([len(path(offset)) for offset in offsets], dtype=np.int64),
    } | {
        f"out_aff_{border}_r{radius}": np.where(pair_exists(*edge.shape, offsets, border), planes, np.nan)
        for border in borders
    }


def _masks(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    size = (int(arrays["in_semseg_size"][0]), int(arrays["in_semseg_size"][1]))
    stride = -(-size[0] // arrays["in_edge"].shape[0])
    values = mask_values(arrays["in_semseg_keys"], with_background=True)
    walked = _walk(arrays, arrays["in_maps"], 256)
    scores = normalize_jointly(from_grid(walked, stride, size))
    with_background = walk_start(arrays["in_maps"], size, stride, WalkConfig(map_power=1.5, resizing="bilinear"))
    sipe = _walk(arrays, with_background, 256)
    channels = np.arange(len(sipe))
    return {
        "out_walk_b10_t256": walked,
        "out_walk_b10_t16": _walk(arrays, arrays["in_maps"], 16),
        "out_semseg_scores": scores,
        "out_semseg_label": argmax_classes(add_threshold(scores, float(arrays["p_semseg_bg"])), values),
        "out_sipe_walk_pow15": sipe,
        "out_sipe_label": argmax_classes(from_grid(sipe, stride, size), channels),
    }


def _walk(arrays: dict[str, np.ndarray], maps: np.ndarray, steps: int) -> np.ndarray:
    offsets, edge = pair_offsets(int(arrays["p_walk_radius"])), arrays["in_edge"].astype(np.float64)
    affinities = path_affinities(torch.from_numpy(edge)[None], offsets)[0].numpy()
    beta = float(arrays["p_beta"])
    return random_walk(maps * (1 - edge), affinities, offsets, beta, steps, tolerance=1e-10, dtype=np.float64)
