import math
from dataclasses import replace

import numpy as np
import pytest

from tagmask.data.datasets.scenes import GLYPHS, NOISE, Thing, draw_mask, draw_scene, place_things

# A disc of radius 12 around the corner of four pixels, without waves on its outline.
DISC = Thing(
    glyph="ring",
    centre=(20.0, 24.0),
    half_axes=(12.0, 12.0),
    angle=0.0,
    power=2.0,
    bumps=(0.0, 3, 0.0),
    colour=(230.0, 120.0, 60.0),
    shade=0.0,
    glyph_angle=0.0,
)
NUMBERS = {"ring": 0, "cross": 4}


def within(thing: Thing, size: int) -> np.ndarray:
    """Pixels whose centre lies in an upright ellipse, from its equation."""
    down, right = np.mgrid[:size, :size] + 0.5 - np.array(thing.centre)[:, None, None]
    return (right / thing.half_axes[0]) ** 2 + (down / thing.half_axes[1]) ** 2 <= 1


def test_glyphs_have_different_patterns_of_like_weight():
    y, x = np.mgrid[-1:1:41j, -1:1:41j]
    inks = [glyph.pattern(x, y) for glyph in GLYPHS.values()]
    assert all(0.15 < ink.mean() < 0.5 for ink in inks)
    for number, one in enumerate(inks):
        assert all((one != other).mean() > 0.15 for other in inks[:number])


def test_the_glyph_lies_near_the_end_of_the_long_axis():
    thing = replace(DISC, half_axes=(20.0, 15.0))
    assert thing.glyph_radius == pytest.approx(math.sqrt(45))
    assert thing.glyph_centre == pytest.approx((20, 24 + 0.78 * (20 - math.sqrt(45))))
    assert replace(thing, angle=math.pi / 2).glyph_centre == pytest.approx((20 + 0.78 * (20 - math.sqrt(45)), 24))


def test_a_mask_holds_the_pixels_of_the_body_under_the_number_of_its_class():
    mask = draw_mask((replace(DISC, glyph="cross"),), NUMBERS, 48)
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(mask, 5 * within(DISC, 48))


def test_an_ellipse_that_is_turned_by_a_quarter_changes_its_axes():
    lying = replace(DISC, half_axes=(14.0, 9.0))
    standing = draw_mask((replace(lying, angle=math.pi / 2),), NUMBERS, 48)
    np.testing.assert_array_equal(standing > 0, within(replace(DISC, half_axes=(9.0, 14.0)), 48))
    np.testing.assert_array_equal(draw_mask((lying,), NUMBERS, 48) > 0, within(lying, 48))


def test_bodies_are_cut_at_the_border():
    corner = replace(DISC, centre=(0.0, 0.0))
    np.testing.assert_array_equal(draw_mask((corner,), NUMBERS, 16) > 0, within(corner, 16))


def test_later_objects_lie_over_earlier_ones():
    second = replace(DISC, glyph="cross", centre=(20.0, 34.0), colour=(20.0, 200.0, 240.0))
    mask = draw_mask((DISC, second), NUMBERS, 48)
    np.testing.assert_array_equal(mask == 5, within(second, 48))
    np.testing.assert_array_equal(mask == 1, within(DISC, 48) & ~within(second, 48))
    image = draw_scene(np.random.default_rng(0), (DISC, second), 48)
    both = within(replace(DISC, half_axes=(8.0, 8.0)), 48) & within(replace(second, half_axes=(9.0, 9.0)), 48)
    assert both.sum() > 50
    assert np.abs(image[both].mean(axis=0) - second.colour).max() < 20  # shade included


def test_bodies_have_their_colour_and_glyphs_their_ink():
    thing = replace(DISC, angle=math.pi / 2)  # its glyph lies below the centre
    image = draw_scene(np.random.default_rng(0), (thing,), 48).astype(float)
    above = image[14:18, 22:26].reshape(-1, 3)
    np.testing.assert_allclose(above.mean(axis=0), thing.colour, atol=4 * NOISE / math.sqrt(16) + 1)
    row, column = map(int, thing.glyph_centre)
    np.testing.assert_allclose(image[row, column], GLYPHS["ring"].ink, atol=4 * NOISE)


def test_bodies_darken_along_their_shade():
    plain = draw_scene(np.random.default_rng(0), (replace(DISC, angle=math.pi / 2),), 48).astype(float)
    left, right = plain[19:21, 14:16].mean(axis=(0, 1)), plain[19:21, 32:34].mean(axis=(0, 1))
    # nine pixels to either side of the centre, of 12: 1 + 0.14 * 9 / 12 and 1 - 0.14 * 9 / 12
    np.testing.assert_allclose(right / left, np.full(3, 0.895 / 1.105), atol=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_objects_that_find_no_room_are_left_out_and_the_others_lie_apart(seed: int):
    wanted = list(GLYPHS) * 4
    things = place_things(np.random.default_rng(seed), wanted, 96)
    assert 2 <= len(things) < len(wanted)
    remaining = iter(wanted)
    assert all(thing.glyph in remaining for thing in things)  # in the order asked for
    for number, thing in enumerate(things):
        assert all(0 < place < 96 for place in thing.centre)
        for other in things[:number]:
            radii = [math.sqrt(math.prod(each.half_axes)) for each in (thing, other)]
            assert math.dist(thing.centre, other.centre) > sum(radii)


def test_a_scene_without_objects_is_muted_clutter():
    assert place_things(np.random.default_rng(0), [], 64) == ()
    image = draw_scene(np.random.default_rng(0), (), 64).astype(float)
    assert image.std() > 5
    assert (image.max(axis=2) - image.min(axis=2)).max() < 0.22 * 0.85 * 255 + 6 * 2 * NOISE
    assert not draw_mask((), NUMBERS, 64).any()
