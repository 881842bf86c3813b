import io

import numpy as np
import pytest
from PIL import Image

from tagmask.errors import TagmaskError
from tagmask.masks.overlays import overlay_mask
from tagmask.viewing.overlay import SHOWN, overlaid

GREY = np.full((4, 6, 3), 100, np.uint8)
MASK = np.zeros((4, 6), np.int32)
MASK[1:3, 1:3], MASK[0, 0] = 2, -1


def test_an_overlay_has_the_size_of_its_photograph_and_names_its_classes():
    shown = overlaid(GREY, MASK, ("cat", "dog"), "a/1")
    assert np.array_equal(np.asarray(shown.image), overlay_mask(GREY, MASK))
    assert shown.legend == (("dog", "rgb(0,128,0)"), ("no label", "rgb(240,240,240)"))
    assert repr(shown) == "Overlay of a/1: dog, no label, 6 x 4 pixels; .image is for Pillow"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown._repr_png_()))), np.asarray(shown.image))
    assert "dog" in shown._repr_html_()


def test_what_is_shown_is_bounded_and_the_image_is_not():
    shown = overlaid(np.zeros((10, 2 * SHOWN, 3), np.uint8), np.zeros((10, 2 * SHOWN), np.int32), ("cat",), "wide")
    assert Image.open(io.BytesIO(shown._repr_png_())).size == (SHOWN, 5)
    assert shown.image.size == (2 * SHOWN, 10)
    assert f"width:{SHOWN}px" in shown._repr_html_()
    assert "background alone" in repr(shown)


def test_axes_are_drawn_into():
    calls = []

    class Axes:
        def imshow(self, pixels):
            calls.append(pixels.shape)

        def set_title(self, title):
            calls.append(title)

        def set_axis_off(self):
            calls.append("off")

    shown = overlaid(GREY, MASK, ("cat", "dog"), "a/1")
    assert shown.drawn(Axes()) is shown
    assert calls == [(4, 6, 3), "a/1", "off"]
    assert shown.drawn(None) is shown


def test_axes_of_matplotlib_are_drawn_into():
    figures = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
    axes = figures.Figure().subplots()
    overlaid(GREY, MASK, ("cat", "dog"), "a/1").drawn(axes)
    assert axes.get_title() == "a/1"
    assert axes.images[0].get_array().shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("mask", "words"),
    [(MASK[:2], "2 x 6 rows x columns and its photograph 4 x 6"), (MASK + 1, "from 0 to 3; expected 0 for background")],
)
def test_a_mask_that_does_not_fit_is_refused(mask, words):
    with pytest.raises(TagmaskError, match=words):
        overlaid(GREY, mask, ("cat", "dog"), "a/1")
