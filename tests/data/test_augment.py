import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional as F

from tagmask.config import AugmentConfig
from tagmask.contracts import Normalization
from tagmask.conventions import IGNORE
from tagmask.data.augment import (
    ViewPlan,
    draw_view,
    sample_generator,
    view_image,
    view_mask,
    view_planes,
    view_saliency,
    view_valid,
)

PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

keys = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 100))
image_sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def configs(draw):
    return AugmentConfig(
        crop=draw(st.integers(1, 40)),
        long_side=draw(st.sampled_from([None, (10, 50)])),
        scale=draw(st.sampled_from([None, (0.5, 2.0)])),
        jitter=None,
    )


@st.composite
def whole_plans(draw):
    """Arguments of a plan that shows an image at its own size."""
    rows, columns, crop = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    top, left = (draw(st.integers(min(0, n - crop), max(0, n - crop))) for n in (rows, columns))
    return (rows, columns), draw(st.booleans()), (), top, left, crop


# ── plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(configs(), image_sizes, keys)
def test_a_plan_is_a_function_of_seed_epoch_and_index(config, size, key):
    plans = [draw_view(config, size, sample_generator(*key)) for _ in range(2)]
    assert plans[0] == plans[1]


def test_other_seeds_epochs_and_indices_draw_other_plans():
    config = AugmentConfig(crop=32, scale=(0.5, 2.0))
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    plans = {draw_view(config, (100, 100), sample_generator(*key)) for key in keys}
    assert len(plans) == len(keys)


def test_a_factor_is_one_of_those_to_choose_from_each_as_often():
    config = AugmentConfig(crop=32, scale_choices=(0.5, 0.75, 1.0, 1.25, 1.5))
    drawn = [draw_view(config, (100, 40), sample_generator(0, 0, index)).size for index in range(1000)]
    shares = {size: drawn.count(size) / 1000 for size in sorted(set(drawn))}
    assert [*shares] == [(50, 20), (75, 30), (100, 40), (125, 50), (150, 60)]
    assert all(share == pytest.approx(0.2, abs=0.05) for share in shares.values())


@given(configs(), image_sizes, keys)
def test_crops_lie_inside_the_image_or_the_image_inside_the_crop(config, size, key):
    plan = draw_view(config, size, sample_generator(*key))
    for offset, length in ((plan.top, plan.size[0]), (plan.left, plan.size[1])):
        assert min(0, length - plan.crop) <= offset <= max(0, length - plan.crop)
    if config.long_side and not config.scale:
        assert 10 <= max(plan.size) <= 50


def draws(config, size, number=200):
    return [draw_view(config, size, sample_generator(0, 0, index)) for index in range(number)]


def test_every_position_and_both_directions_are_drawn():
    inside = draws(AugmentConfig(crop=4, jitter=None), (6, 2))
    assert {plan.top for plan in inside} == {0, 1, 2}
    assert {plan.left for plan in inside} == {-2, -1, 0}
    assert {plan.mirrored for plan in inside} == {True, False}
    assert not any(plan.mirrored for plan in draws(AugmentConfig(crop=4, flip=0, jitter=None), (6, 2)))


def test_long_sides_are_drawn_with_both_ends_and_keep_the_proportions():
    plans = draws(AugmentConfig(crop=4, long_side=(20, 22), jitter=None), (20, 10))
    assert {plan.size for plan in plans} == {(20, 10), (21, 10), (22, 11)}


def test_jitter_draws_factors_and_their_order():
    plans = draws(AugmentConfig(crop=4, jitter=(0.3, 0.2, 0.1, 0.05)), (6, 6))
    assert len({tuple(name for name, _ in plan.jitter) for plan in plans}) == 24
    for name, centre, strength in (
        ("brightness", 1, 0.3),
        ("contrast", 1, 0.2),
        ("saturation", 1, 0.1),
        ("hue", 0, 0.05),
    ):
        factors = np.array([dict(plan.jitter)[name] for plan in plans])
        assert (abs(factors - centre) <= strength).all()
        assert np.ptp(factors) > strength


def test_a_strength_of_zero_leaves_that_jitter_out():
    (plan,) = draws(AugmentConfig(crop=4, jitter=(0, 0, 0.1, 0)), (6, 6), number=1)
    assert [name for name, _ in plan.jitter] == ["saturation"]


@pytest.mark.parametrize(
    "fields",
    [
        {"long_side": (30, 20)},
        {"long_side": (0, 20)},
        {"scale": (2.0, 0.5)},
        {"jitter": (0, 0, 0, 0.6)},
        {"jitter": (-0.1, 0, 0, 0)},
    ],
)
def test_impossible_ranges_are_refused(fields):
    with pytest.raises(ValidationError, match=f"{next(iter(fields))} must be"):
        AugmentConfig(crop=8, **fields)


# ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(whole_plans(), st.integers(0, 1000))
def test_a_view_shows_every_pixel_where_the_plan_says(arguments, seed):
    plan = ViewPlan(*arguments)
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (*plan.size, 3)).astype(np.uint8)
    mask = random.integers(-1, 4, plan.size).astype(np.int32)
    planes = random.random((2, *plan.size)).astype(np.float32)
    seen = view_image(image, plan, PLAIN, "black"), view_mask(mask, plan), view_planes(planes, plan), view_valid(plan)
    rows, columns = plan.size
    for row in range(plan.crop):
        for column in range(plan.crop):
            y, x = row + plan.top, column + plan.left
            pixels, label, values, valid = (view[..., row, column] for view in seen)
            if 0 <= y < rows and 0 <= x < columns:
                x = columns - 1 - x if plan.mirrored else x
                np.testing.assert_allclose(pixels, image[y, x] / 255, atol=1e-6)
                assert (label.item(), valid.item()) == (mask[y, x], True)
                np.testing.assert_array_equal(values, planes[:, y, x])
            else:
                assert (label.item(), valid.item()) == (IGNORE, False)
                assert pixels.tolist() == [0, 0, 0]
                assert values.tolist() == [0, 0]


def _grown(region):
    """A region and its neighbours, the unknown ones beyond the border included."""
    return F.max_pool2d(F.pad(region[None].float(), (1, 1, 1, 1), value=1.0), 3, 1)[0] > 0


@settings(max_examples=50)
@given(configs(), keys, st.integers(0, 20), st.integers(0, 20))
def test_image_mask_and_planes_stay_aligned_when_resized(config, key, top, left):
    marked = np.zeros((36, 30), bool)
    marked[top : top + 12, left : left + 8] = True
    plan = draw_view(config, marked.shape, sample_generator(*key))
    image = np.repeat(marked[..., None], 3, axis=2).astype(np.uint8) * 255
    pixels = view_image(image, plan, PLAIN, "mean")[0] > 0.5
    values = view_planes(marked[None].astype(np.float32), plan)[0] > 0.5
    label = view_mask(marked.astype(np.int32), plan) == 1
    # Filters round edges differently, by up to a pixel; what lies beyond the crop may be either.
    thick, thin = _grown(label), ~_grown(~label)
    for other in (pixels, values):
        assert (other <= thick).all()
        assert (thin <= other).all()
    assert (view_valid(plan) == (view_mask(marked.astype(np.int32), plan) != IGNORE)).all()


def test_a_saliency_map_may_be_resized_like_a_picture():
    # The cubic filter (a = -1/2) at 2 pixels of 1: weights of 2 source pixels at distances 1/4 and 3/4, renormalised.
    near, far = (1.5 * x**3 - 2.5 * x**2 + 1 for x in (0.25, 0.75))
    share = 200 * near / (near + far)
    plan = ViewPlan((1, 4), True, (), 0, 0, 4)
    saliency = np.array([[0, 200 / 255]], np.float32)
    found = view_saliency(saliency, plan, "bicubic")
    assert found.shape == (1, 4, 4)
    inner = [round(share), round(200 - share)]
    np.testing.assert_allclose(found[0, 0, 1:3] * 255, inner, atol=1e-4)
    assert (found[0, 1:] == 0).all()
    np.testing.assert_allclose(view_saliency(saliency, plan, "bilinear")[0, 0] * 255, [200, 150, 50, 0], atol=1e-4)


@settings(max_examples=20)
@given(configs(), keys)
def test_a_picture_of_saliency_is_resized_with_the_filter_of_the_photograph(config, key):
    levels = np.random.default_rng(key[2]).integers(0, 256, (20, 31)).astype(np.uint8)
    plan = draw_view(config, levels.shape, sample_generator(*key))
    grey = np.repeat(levels[..., None], 3, axis=2)
    expected = view_image(grey, plan, PLAIN, "black").mean(dim=0, keepdim=True)
    torch.testing.assert_close(view_saliency(levels / np.float32(255), plan, "bicubic"), expected)


def test_padding_is_the_mean_colour_or_black():
    normalization = Normalization((0.5, 0.25, 0.2), (0.5, 0.5, 0.1))
    plan = ViewPlan((1, 1), False, (), 0, 0, 2)
    image = np.full((1, 1, 3), 255, np.uint8)
    for padding, expected in (("mean", [0, 0, 0]), ("black", [-1, -0.5, -2])):
        view = view_image(image, plan, normalization, padding)
        np.testing.assert_allclose(view[:, 1, 1], expected, atol=1e-6)
        np.testing.assert_allclose(view[:, 0, 0], [1, 1.5, 8], atol=1e-6)


def test_jitter_changes_colours_in_the_order_drawn_and_padding_not_at_all():
    image = np.full((1, 1, 3), (200, 100, 50), np.uint8)

    def view(*jitter):
        return view_image(image, ViewPlan((1, 1), False, jitter, 0, 0, 2), PLAIN, "black")

    assert view(("brightness", 0.5))[:, 0, 0].mul(255).round().tolist() == [100, 50, 25]
    grey, brighter = ("saturation", 0.0), ("brightness", 2.0)
    assert view(grey, brighter)[0, 0, 0] > view(brighter, grey)[0, 0, 0]  # red is cut off at 255 before it turns grey
    assert (view(("brightness", 2.0))[:, 1, 1] == 0).all()


def test_views_leave_their_arguments_alone():
    image, mask = np.full((4, 4, 3), 9, np.uint8), np.ones((4, 4), np.int32)
    image.flags.writeable = mask.flags.writeable = False
    plan = ViewPlan((4, 4), True, (("hue", 0.1),), 0, 0, 4)
    view_image(image, plan, PLAIN, "mean").zero_()
    view_mask(mask, plan).zero_()
    assert (image == 9).all()
    assert (mask == 1).all()


@settings(deadline=None)
@given(st.integers(0, 20))
def test_mirrors_around_a_small_image_leave_the_image_and_its_values_as_they_are(seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, 255, (9, 14, 3)).astype(np.uint8)
    plan = draw_view(AugmentConfig(crop=24, jitter=None), (9, 14), random)
    plain, mirrored = (
        view_image(image, plan, Normalization((0.0,) * 3, (1.0,) * 3), padding) for padding in ("mean", "mirrored")
    )
    inside = view_valid(plan)
    assert torch.equal(plain[:, inside], mirrored[:, inside])
    assert set(mirrored[0].flatten().tolist()) <= set(plain[0][inside].tolist())
