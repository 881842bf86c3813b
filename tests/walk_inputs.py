"""Neighbourhoods with random affinities for the walk."""

import numpy as np


def half_disc(radius: int) -> list[tuple[int, int]]:
    return [
        (dy, dx)
        for dy in range(radius)
        for dx in range(1 - radius, radius)
        if (dy, dx) > (0, 0) and dy**2 + dx**2 < radius**2
    ]


def random_planes(height: int, width: int, radius: int, seed: int = 0) -> np.ndarray:
    planes = np.random.default_rng(seed).random((len(half_disc(radius)), height, width))
    for plane, (dy, dx) in zip(planes, half_disc(radius), strict=True):
        plane[max(0, height - dy) :] = np.nan
        plane[:, : max(0, -dx)] = np.nan
        plane[:, max(0, width - dx) :] = np.nan
    return planes
