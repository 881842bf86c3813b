import numpy as np

from tagmask.data.datasets.scenes import GLYPHS


def test_glyphs_have_different_patterns_of_like_weight():
    y, x = np.mgrid[-1:1:41j, -1:1:41j]
    inks = [glyph.pattern(x, y) for glyph in GLYPHS.values()]
    assert all(0.15 < ink.mean() < 0.5 for ink in inks)
    for number, one in enumerate(inks):
        assert all((one != other).mean() > 0.15 for other in inks[:number])
