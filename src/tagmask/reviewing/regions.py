"""Superpixels: regions of one look, which a click can fill. SNIC, Achanta and Süsstrunk, CVPR 2017.

Centres on a grid grow at the same time; the pixel that is most like the centre it touches, in colour and place, joins
next, and the centre moves with it. So every region is connected, and one pass is enough.
"""

import heapq
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

from tagmask.system.compiled import compiled

COMPACTNESS = 10.0
"""How much a distance of one grid step counts, in units of CIELAB lightness; more makes regions rounder."""

SPACINGS = {"fine": 90, "medium": 45, "coarse": 22}
"""Regions along the longer side of an image."""

LARGEST = 1024
"""Pixels along the longer side of what is divided; larger images are divided at this size, to be answered at once."""


def superpixels(image: UInt8[np.ndarray, "h w 3"], along: int) -> Int32[np.ndarray, "h w"]:
    """The region of every pixel, from 0.

    Args:
        image: a photograph.
        along: regions along its longer side.
    """
    rows, columns = image.shape[:2]
    factor = min(1.0, LARGEST / max(rows, columns))
    small = Image.fromarray(image)
    if factor < 1:
        small = small.resize((max(1, round(columns * factor)), max(1, round(rows * factor))), Image.Resampling.BOX)
    spacing = max(2.0, max(small.size) / along)
    regions = _grow(_lab(small), spacing, COMPACTNESS)
    return np.asarray(Image.fromarray(regions).resize((columns, rows), Image.Resampling.NEAREST))


def _lab(image: Image.Image) -> Float32[np.ndarray, "h w 3"]:
    """CIELAB: lightness 0..100, the others about -100..100."""
    linear = np.asarray(image, np.float32) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
    ratio = linear @ (to_xyz.T / np.array([0.9505, 1.0, 1.089], np.float32))
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    lightness, red, blue = 116 * root[..., 1] - 16, root[..., 0] - root[..., 1], root[..., 1] - root[..., 2]
    return np.stack([lightness, 500 * red, 200 * blue], axis=2).astype(np.float32)


@compiled
@no_type_check
def _grow(lab, spacing, compactness):
    height, width = lab.shape[:2]
    down, across = max(1, round(height / spacing)), max(1, round(width / spacing))
    regions = np.full((height, width), -1, np.int32)
    sums = np.zeros((down * across, 6), np.float64)  # lightness, a, b, row, column, pixels
    queue = [(0.0, 0, 0, 0)]
    queue.pop()
    for region in range(down * across):
        row, column = (region // across + 0.5) * height / down, (region % across + 0.5) * width / across
        heapq.heappush(queue, (0.0, int(row), int(column), region))
    weight = (compactness / spacing) ** 2
    while len(queue) > 0:
        _, row, column, region = heapq.heappop(queue)
        if regions[row, column] >= 0:
            continue
        regions[row, column] = region
        total = sums[region]
        total[:3] += lab[row, column]
        total[3] += row
        total[4] += column
        total[5] += 1
        for step in range(4):
            near, beside = row + (step == 0) - (step == 1), column + (step == 2) - (step == 3)
            if 0 <= near < height and 0 <= beside < width and regions[near, beside] < 0:
                mean = total / total[5]
                color = ((lab[near, beside] - mean[:3]) ** 2).sum()
                place = (near - mean[3]) ** 2 + (beside - mean[4]) ** 2
                heapq.heappush(queue, (color + weight * place, near, beside, region))
    return regions
