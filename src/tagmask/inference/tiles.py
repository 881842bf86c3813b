"""Large images in tiles at their own scale: which tiles, how they are blended, and masks row of tiles by row of tiles.

Tiles overlap. A pixel's probabilities are the mean of those of the tiles around it, weighted by a window that is 0 in
the outer quarter of an overlap, where a network misses what lies beyond the tile, and rises smoothly behind it. Of the
probabilities only what tiles still to come add to is kept.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int32

from tagmask.conventions import BACKGROUND
from tagmask.data.windows import Pixels, Source
from tagmask.errors import TagmaskError

ALIGNED = 32  # pixels that starts of tiles are a multiple of, as strides of networks divide it
SMALLEST = 64
LEAST = 256  # side that tiles have at least if nobody chooses one

Tiles = int | Literal["auto", "none"]
Posterior = Float[np.ndarray, "k _ _"]
Kept = Float32[np.ndarray, "k _ w"]


def checked_tiles(tiles: str | int) -> Tiles:
    """The choice of tiles from words.

    Raises:
        TagmaskError: it is neither ``auto``, ``none`` nor a side that tiles can have.

    >>> checked_tiles("none"), checked_tiles("512")
    ('none', 512)
    """
    words: dict[str | int, Literal["auto", "none"]] = {"auto": "auto", "none": "none"}
    if tiles in words:
        return words[tiles]
    side = int(tiles) if str(tiles).isdecimal() else 0
    if side < SMALLEST or side % ALIGNED:
        raise TagmaskError(
            f"tiles must be auto, none, or a side of at least {SMALLEST} pixels that is a multiple of {ALIGNED}, got "
            f"{tiles}; take {max(SMALLEST, round(side / ALIGNED) * ALIGNED)}"
        )
    return side


def usual_side(crop: int) -> int:
    """Side of tiles for a network that learned from crops of so many pixels: that of a crop, and no less than 256.

    A tile should show as much as an image of the training did: what an image shows altogether, its tags above all, is
    judged from that.

    >>> usual_side(48), usual_side(257)
    (256, 288)
    """
    return max(LEAST, math.ceil(crop / ALIGNED) * ALIGNED)


# ── along one axis ───────────────────────────────────────────────────────────────────────────────────────────────────


def overlap_of(side: int) -> int:
    """Pixels that tiles overlap by at least: a quarter, rounded up so that the step is aligned.

    >>> overlap_of(512), overlap_of(96)
    (128, 32)
    """
    return side - max(ALIGNED, side * 3 // 4 // ALIGNED * ALIGNED)


def tile_spans(size: int, side: int) -> list[tuple[int, int]]:
    """First and last + 1 pixel of each tile along an axis of ``size`` pixels, evenly spread.

    No tile is longer than ``side``, and only the last one may be shorter, by less than 32 pixels.

    >>> tile_spans(60, 64), tile_spans(65, 64), tile_spans(128, 64)
    ([(0, 60)], [(0, 64), (32, 65)], [(0, 64), (32, 96), (64, 128)])
    """
    last = math.ceil(max(0, size - side) / ALIGNED)
    steps = math.ceil(last * ALIGNED / (side - overlap_of(side)))
    starts = [last * i // steps * ALIGNED for i in range(steps + 1)] if steps else [0]
    return [(start, min(start + side, size)) for start in starts]


def tile_weights(size: int, side: int) -> list[Float32[np.ndarray, " _"]]:
    """Weight of each tile's pixels along an axis; those of all tiles at a pixel sum to 1."""
    spans, overlap = tile_spans(size, side), overlap_of(side)
    windows = []
    for start, end in spans:
        from_start = np.inf if start == 0 else np.arange(end - start)
        from_end = np.inf if end == size else np.arange(end - start)[::-1]
        windows.append(rising(np.minimum(from_start, from_end) + np.zeros(end - start), overlap))
    total = np.zeros(size)
    for (start, end), window in zip(spans, windows, strict=True):
        total[start:end] += window
    return [(window / total[start:end]).astype(np.float32) for (start, end), window in zip(spans, windows, strict=True)]


def rising(distances: Float[np.ndarray, " n"], overlap: int) -> Float[np.ndarray, " n"]:
    """Weight by the distance from a tile's border: 0 for a quarter of the overlap, then up to 1 within half of it.

    >>> rising(np.array([0.0, 7.0, 15.5, 24.0, np.inf]), 32).round(6).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    way = (distances + 0.5 - overlap / 4) / (overlap / 2)
    return np.sin(way.clip(0, 1) * (np.pi / 2)) ** 2


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Tiling:
    """An image that gets its mask in tiles.

    Attributes:
        source: the image.
        side: of tiles, in pixels.
        posterior: probabilities of background and classes ``k h w`` from the pixels of a tile.
        num_logits: k.
    """

    source: Source
    side: int
    posterior: Callable[[Pixels], Posterior]
    num_logits: int

    def strips(self) -> Iterator[Int32[np.ndarray, "_ w"]]:
        """The mask in strips from above, one for each row of tiles: 0 background, class i as i + 1."""
        height, width = self.source.size
        spans, weights = tile_spans(height, self.side), tile_weights(height, self.side)
        kept = np.zeros((self.num_logits, 0, width), np.float32)
        for span, weight, end in zip(spans, weights, _ends(spans), strict=True):
            mask, kept = self._row(span, weight, kept, end - span[0])
            yield mask

    def _row(
        self, rows: tuple[int, int], row_weights: Float32[np.ndarray, " h"], above: Kept, done: int
    ) -> tuple[Int32[np.ndarray, "_ w"], Kept]:
        """Mask of what a row of tiles finishes, and the weighted probabilities of its rows that others add to.

        Args:
            rows: first and last + 1 row of the tiles.
            row_weights: of these rows.
            above: weighted probabilities that the tiles above have left for the first of them.
            done: how many rows no tile below adds to.
        """
        width, height = self.source.size[1], rows[1] - rows[0]
        mask = np.empty((done, width), np.int32)
        below = np.empty((self.num_logits, height - done, width), np.float32)
        left = np.zeros((self.num_logits, height, 0), np.float32)
        spans, weights = tile_spans(width, self.side), tile_weights(width, self.side)
        for (start, stop), weight, end in zip(spans, weights, _ends(spans), strict=True):
            block = self._probabilities(rows, (start, stop)) * (row_weights[:, None] * weight)
            shared = left.shape[2]
            block[:, :, :shared] += left
            block[:, : above.shape[1], shared:] += above[:, :, start + shared : stop]  # left has brought the rest
            mask[:, start:end] = block[:, :done, : end - start].argmax(axis=0)
            below[:, :, start:end] = block[:, done:, : end - start]
            left = block[:, :, end - start :]
        return mask, below

    def _probabilities(self, rows: tuple[int, int], columns: tuple[int, int]) -> Posterior:
        known = self.source.known(rows, columns)
        if known is None or known.any():
            return self.posterior(self.source.read(rows, columns))
        empty = np.zeros((self.num_logits, *known.shape), np.float32)
        empty[BACKGROUND] = 1
        return empty


def _ends(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Where each tile ends to have others on it: at the next one's start, or at the end of the image."""
    return [*(start for start, _ in spans[1:]), spans[-1][1]]
