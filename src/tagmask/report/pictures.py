"""Photographs with maps and masks laid over them, at the size in which pages show them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from tagmask.masks import overlays
from tagmask.report.content import Picture


@dataclass(frozen=True)
class Photograph:
    """A photograph, shrunk once for all pictures of the same image."""

    pixels: UInt8[np.ndarray, "h w 3"]

    @classmethod
    def of(cls, image: UInt8[np.ndarray, "h w 3"], width: int) -> "Photograph":
        """The photograph of an image, at most ``width`` pixels wide and high."""
        return cls(overlays.shrink_image(image, overlays.thumbnail_size(image.shape[:2], width)))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def alone(self) -> Picture:
        """The photograph itself."""
        return Picture("photograph", self.pixels)

    def with_map(self, values: Float[np.ndarray, "p q"], caption: str) -> Picture:
        """A map, on any grid, over the photograph; it is scaled to its own largest value."""
        return Picture(caption, overlays.overlay_map(self.pixels, overlays.scale_map(values, self.size)))

    def with_mask(self, mask: Int[np.ndarray, "p q"], caption: str) -> Picture:
        """A mask of the size of the image over the photograph."""
        return Picture(caption, overlays.overlay_mask(self.pixels, overlays.shrink_mask(mask, self.size)))
