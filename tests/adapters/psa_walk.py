"""The random walk alone, and from activation maps to labels as AffinityNet and SEAM run it."""

import numpy as np

from tagmask.affinity.random_walk import random_walk
from tagmask.masks.grids import from_grid, to_grid
from tagmask.masks.scores import add_background

TOLERANCE = {
    "out_e2e_psa_scores": (1e-6, 0.0),
    "out_e2e_seam_scores": (1e-6, 0.0),
    "out_e2e_psa_label": (0.0, 0.0),
    "out_e2e_seam_label": (0.0, 0.0),
    "*": (1e-9, 0.0),
}


def psa_walk(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    walks = {
        f"out_walk_{border}_b8_t{steps}": _walk(arrays, arrays["in_maps"], border, steps)
        for border in ("interior", "full")
        for steps in (256, 64)
    }
    return walks | _end_to_end(arrays, "psa") | _end_to_end(arrays, "seam")


def _walk(arrays: dict[str, np.ndarray], maps: np.ndarray, border: str, steps: int) -> np.ndarray:
    offsets = [(int(dy), int(dx)) for dy, dx in arrays["in_offsets"]]
    affinities, beta = arrays[f"in_aff_{border}"], float(arrays["p_beta"])
    return random_walk(maps, affinities, offsets, beta, steps, tolerance=1e-10, dtype=np.float64)


def _end_to_end(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    maps = arrays["in_e2e_cam"].astype(np.float64)
    size, grid = maps.shape[1:], arrays["in_aff_interior"].shape[1:]
    stride = -(-size[0] // grid[0])
    scores = to_grid(add_background(maps, float(arrays[f"p_e2e_{name}_alpha"])), size, stride)
    scores = from_grid(_walk(arrays, scores, "interior", int(arrays[f"p_e2e_{name}_t"])), stride, size)
    values = np.concatenate([[0], arrays["in_e2e_keys"] + 1]).astype(np.uint8)
    return {f"out_e2e_{name}_scores": scores, f"out_e2e_{name}_label": values[scores.argmax(0)]}
