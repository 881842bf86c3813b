"""A mask over its photograph, as something that a notebook shows, a file keeps, or axes of matplotlib take."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32
from PIL import Image

from tagmask.contracts import ImageArray
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.errors import TagmaskError
from tagmask.masks.overlays import class_colors, data_uri, overlay_mask, shrink_image, thumbnail_size
from tagmask.viewing.markup import rendered

SHOWN = 640
"""Pixels of the longer side up to which notebooks are given a picture; ``image`` has all of them."""

SMALLEST = 240
"""Pixels on the screen that a small picture is spread over."""

UNLABELLED = "no label"


@dataclass(frozen=True, repr=False)
class Overlay:
    """A mask over a photograph.

    Attributes:
        image: the picture at the photograph's size.
        title: what it shows.
        legend: name and colour, as CSS writes it, of each class in the mask; "no label" is hatched.
    """

    image: Image.Image
    title: str
    legend: tuple[tuple[str, str], ...]

    def drawn(self, ax: Any) -> "Overlay":
        """The same, after it has been drawn into axes of matplotlib; None: nowhere."""
        if ax is not None:
            ax.imshow(np.asarray(self.image))
            ax.set_title(self.title)
            ax.set_axis_off()
        return self

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.legend) or "background alone"
        return (
            f"Overlay of {self.title}: {names}, {self.image.width} x {self.image.height} pixels; .image is for Pillow"
        )

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self._shown()).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        width = max(SMALLEST, min(self.image.width, SHOWN))
        return rendered("overlay.html", shown=self, picture=data_uri(self._shown()), width=width)

    def _shown(self) -> ImageArray:
        pixels = np.asarray(self.image)
        return shrink_image(pixels, thumbnail_size((pixels.shape[0], pixels.shape[1]), SHOWN))


def overlaid(photograph: ImageArray, mask: Int32[np.ndarray, "_ _"], classes: Sequence[str], title: str) -> Overlay:
    """A mask over a photograph of its size.

    Raises:
        TagmaskError: their sizes differ, or the mask holds numbers that are no classes.
    """
    if photograph.shape[:2] != mask.shape:
        raise TagmaskError(
            f"the mask has {mask.shape[0]} x {mask.shape[1]} rows x columns and its photograph {photograph.shape[0]} x "
            f"{photograph.shape[1]}; give the photograph that the mask was made from"
        )
    picture = Image.fromarray(overlay_mask(photograph, mask))
    return Overlay(picture, title, tuple(legend(np.unique(mask).tolist(), classes)))


def legend(numbers: Sequence[int], classes: Sequence[str]) -> list[tuple[str, str]]:
    """Name and colour of each mask value but background, classes first.

    Raises:
        TagmaskError: one is no class.

    >>> legend([0, 2], ["cat", "dog"]), legend([-1], ["cat"])
    ([('dog', 'rgb(0,128,0)')], [('no label', 'rgb(240,240,240)')])
    """
    if min(numbers) < IGNORE or max(numbers) > len(classes):
        raise TagmaskError(
            f"the mask holds numbers from {min(numbers)} to {max(numbers)}; expected 0 for background, 1 to "
            f"{len(classes)} for the classes and {IGNORE} for no label"
        )
    shown = [number for number in numbers if number > BACKGROUND]
    found = [(classes[n - 1], "rgb({},{},{})".format(*class_colors(np.array(n)).tolist())) for n in shown]
    return found + [(UNLABELLED, "rgb(240,240,240)")] * (IGNORE in numbers)
