"""The files of one image's mask: an indexed PNG, a GeoTIFF where the image lies on a map, and an overlay."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from tagmask.contracts import ImageArray, MaskArray
from tagmask.conventions import IGNORE
from tagmask.data.mask_strips import StripWriter, geotiff_strips, png_strips
from tagmask.data.rasters import Placement
from tagmask.data.windows import Source
from tagmask.inference.predictor import largest_factor
from tagmask.masks.grids import scaled_size
from tagmask.masks.overlays import overlay_mask, shrink_image, shrink_mask
from tagmask.serving.photographs import GEOTIFF, OVERLAY, PNG
from tagmask.system.storage import writing

LONGEST_JPEG = 65_500  # pixels of a side


def beside(target: Path, ending: str) -> Path:
    """The file of a kind for an image; its suffix stays in the name: a.jpg and a.png are two images."""
    return target.with_name(f"{target.name}{ending}")


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the overlay of an image."""
    return scaled_size(size, min(largest_factor(size), LONGEST_JPEG / max(size)))


def write_overlay(path: Path, pixels: ImageArray, mask: MaskArray) -> None:
    """Write an image with its mask drawn over it, scaled down if it is large."""
    size, smaller = (mask.shape[0], mask.shape[1]), shown_size((mask.shape[0], mask.shape[1]))
    if smaller != size:
        pixels, mask = shrink_image(pixels, smaller), shrink_mask(mask, smaller)
    _write_jpeg(path, overlay_mask(pixels, mask))


def _write_jpeg(path: Path, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    with writing(path) as temporary:
        Image.fromarray(pixels).save(temporary, "JPEG", quality=90)


def known_strips(source: Source, strips: Iterable[Int[np.ndarray, "_ w"]]) -> Iterator[Int[np.ndarray, "_ w"]]:
    """Strips of a mask from above, ``IGNORE`` where the image has no data."""
    top = 0
    for strip in strips:
        rows, top = (top, top + len(strip)), top + len(strip)
        known = source.known(rows, (0, strip.shape[1]))
        yield strip if known is None else np.where(known, strip, np.int32(IGNORE))


def write_strips(
    target: Path,
    source: Source,
    strips: Iterable[Int[np.ndarray, "_ w"]],
    placement: Placement | None,
    num_classes: int,
    overlays: bool,
) -> Int[np.ndarray, " k"]:
    """Write the files of a mask that comes in strips from above.

    Args:
        target: the image's path in the output folder.
        source: the image.
        strips: of its mask.
        placement: where on a map it lies; None: it has no GeoTIFF.
        num_classes: without background.
        overlays: whether to write an overlay.

    Returns:
        How many pixels background and each class have.

    Raises:
        TagmaskError: the disk is full, or the folder may not be written.
    """
    size, top = source.size, 0
    shown, counts = shown_size(size), np.zeros(num_classes + 1, np.int64)
    small = np.empty(shown, np.int32)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shown, size, strict=True))
    with _writers(target, size, placement, num_classes) as writers:
        for strip in strips:
            for writer in writers:
                writer.add(strip)
            counts += np.bincount(strip[strip != IGNORE], minlength=len(counts))
            here = (rows >= top) & (rows < top + len(strip))
            small[here] = strip[np.ix_(rows[here] - top, columns)]
            top += len(strip)
    if overlays:
        _write_jpeg(beside(target, OVERLAY), overlay_mask(source.overview(shown), small))
    return counts


@contextmanager
def _writers(
    target: Path, size: tuple[int, int], placement: Placement | None, num_classes: int
) -> Iterator[list[StripWriter]]:
    with ExitStack() as stack:
        writers: list[StripWriter] = [stack.enter_context(png_strips(beside(target, PNG), size, num_classes))]
        if placement is not None:
            path = beside(target, GEOTIFF)
            writers.append(stack.enter_context(geotiff_strips(path, size, num_classes, placement)))
        yield writers
