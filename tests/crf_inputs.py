"""Pictures and scores for the dense CRF."""

import numpy as np


def photograph(height: int = 23, width: int = 31, seed: int = 0) -> np.ndarray:
    """Two smooth regions with noise."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * 2 + np.array([40, 60, 80])
    ramp[:, width // 2 :] += 70
    return np.clip(ramp + rng.normal(0, 6, ramp.shape), 0, 255).astype(np.uint8)


def scores(num_labels: int, image: np.ndarray, seed: int = 1) -> np.ndarray:
    raw = np.random.default_rng(seed).random((num_labels, *image.shape[:2]), np.float32) ** 3 + 1e-3
    return raw / raw.sum(axis=0)
