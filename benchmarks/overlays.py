"""Milliseconds of a mask over its photograph: ``python benchmarks/overlays.py``.

``overlay_mask`` looks each pixel up in a table of outline, class and grey; beside it the same colours by plain
arithmetic on every pixel. Both take turns; one thread.
"""

from collections.abc import Iterator

import numpy as np
from measuring import Median, Row, in_turn, print_figures

from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.masks.overlays import class_colors, overlay_mask

TURNS = 7
SIZES = {"a photograph": (375, 500), "a large one": (3_000, 4_500)}


def run() -> Iterator[Row]:
    """Milliseconds of each size in each form."""
    random = np.random.default_rng(0)
    for place, (name, size) in enumerate(SIZES.items()):
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = np.zeros(size, np.int32)
        mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 3
        mask[: size[0] // 30] = IGNORE
        assert (overlay_mask(image, mask) == by_arithmetic(image, mask)).all()
        found = in_turn(
            lambda i=image, m=mask: by_arithmetic(i, m), lambda i=image, m=mask: overlay_mask(i, m), repeats=TURNS
        )
        plain, ours = (Median([1000 * each for each in side.repeats]) for side in found)
        yield f"sizes.{place}.name", name
        yield f"sizes.{place}.pixels", list(size)
        yield f"sizes.{place}.form", {"arithmetic_ms": plain, "ms": ours, "times_faster": plain / ours}


def by_arithmetic(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture of ``overlay_mask``, pixel by pixel."""
    padded = np.pad(mask, 1, mode="edge")
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    outline = np.any([mask != other for other in beside], axis=0)
    opacity = (np.where(outline, 1.0, 0.62) * (mask > BACKGROUND))[..., None]
    faded = (90 + 0.55 * image.mean(axis=2, keepdims=True).astype(np.uint8)).astype(np.uint8)
    shown = (faded * (1 - opacity) + class_colors(mask) * opacity).round().astype(np.uint8)
    rows, columns = np.indices(mask.shape, sparse=True)
    hatched = (mask == IGNORE) & ((rows + columns) % 8 < 3)
    return np.where(hatched[..., None], np.uint8(240), shown)


if __name__ == "__main__":
    print_figures(run, __doc__)
