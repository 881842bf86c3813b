"""Pairs, affinities and their losses, against hand counts and autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmask.affinity.pairs import (
    Pair,
    codes_by_planes,
    feature_affinities,
    fitting_radius,
    pair_codes,
    pair_exists,
    pair_offsets,
)


def features(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def plain_affinities(values: torch.Tensor, offsets: list[tuple[int, int]]) -> torch.Tensor:
    height, width = values.shape[2:]
    planes = []
    for dy, dx in offsets:
        rows = []
        for y in range(height):
            for x in range(width):
                inside = 0 <= y + dy < height and 0 <= x + dx < width
                partner = values[:, :, y + dy, x + dx] if inside else None
                zero = values.new_zeros(len(values))
                rows.append(zero if partner is None else (-(values[:, :, y, x] - partner).abs().mean(1)).exp())
        planes.append(torch.stack(rows, 1).reshape(-1, height, width))
    return torch.stack(planes, 1)


# ── geometry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_known_counts_of_offsets_and_pairs():
    assert len(pair_offsets(5)) == 34
    assert len(pair_offsets(10)) == 152
    assert pair_exists(56, 56, pair_offsets(5), "interior").sum() == 84_864
    assert pair_exists(56, 56, pair_offsets(5), "interior").any(0).sum() == 2_496
    assert pair_exists(56, 56, pair_offsets(5), "full").sum() == 99_128
    assert pair_exists(128, 128, pair_offsets(10), "interior").sum() == 1_989_680


def test_offsets_name_each_direction_once_in_a_fixed_order():
    offsets = pair_offsets(4)
    assert offsets[:6] == [(0, 1), (0, 2), (0, 3), (1, -3), (1, -2), (1, -1)]
    assert not {(-dy, -dx) for dy, dx in offsets} & set(offsets)
    assert pair_offsets(1) == pair_offsets(0) == []


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), radius=st.integers(1, 6))
def test_pairs_lie_inside_the_grid_and_interior_sources_have_them_all(height, width, radius):
    offsets = pair_offsets(radius)
    full, interior = (pair_exists(height, width, offsets, border) for border in ("full", "interior"))
    for plane, (dy, dx) in zip(full, offsets, strict=True):
        inside = [[y + dy < height and 0 <= x + dx < width for x in range(width)] for y in range(height)]
        assert plane.tolist() == inside
    assert (full | ~interior).all()
    if offsets:
        assert (interior.all(0) == interior.any(0)).all()
        assert interior.any(0).sum() == max(0, height - radius + 1) * max(0, width - 2 * radius + 2)


def test_ten_pixels_in_the_corners_have_no_interior_pair():
    exists = pair_exists(30, 40, pair_offsets(5), "interior")
    touched = torch.zeros(30, 40, dtype=torch.bool)
    for plane, (dy, dx) in zip(exists, pair_offsets(5), strict=True):
        touched |= plane | plane.roll((dy, dx), (0, 1))
    assert (~touched).sum() == 10


@pytest.mark.parametrize(("height", "width", "radius"), [(11, 40, 5), (10, 40, 4), (7, 7, 3), (1, 9, 0)])
def test_the_radius_shrinks_on_small_grids(height, width, radius):
    assert fitting_radius(height, width, 5) == radius
    assert radius < 2 or pair_exists(height, width, pair_offsets(radius), "interior").any()


# ── affinities ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(6, 7), (1, 1), (2, 9), (3, 1)])
def test_affinities_follow_the_formula(size):
    values = features(2, 5, *size)
    affinities = feature_affinities(values, pair_offsets(5))
    torch.testing.assert_close(affinities, plain_affinities(values, pair_offsets(5)))


def test_gradients_equal_those_of_autograd_and_finite_differences():
    values, offsets = features(2, 3, 4, 5).requires_grad_(), pair_offsets(3)
    assert torch.autograd.gradcheck(lambda v: feature_affinities(v, offsets), values)
    weights = features(2, len(offsets), 4, 5)
    ours = torch.autograd.grad((feature_affinities(values, offsets) * weights).sum(), values)
    plain = torch.autograd.grad((plain_affinities(values, offsets) * weights).sum(), values)
    torch.testing.assert_close(ours, plain)


def test_equal_features_have_no_gradient():
    values = torch.ones(1, 2, 3, 3, requires_grad=True)
    feature_affinities(values, pair_offsets(2)).sum().backward()
    assert values.grad is not None
    assert (values.grad == 0).all()


def test_no_offsets_and_no_images():
    assert feature_affinities(features(2, 3, 4, 5), []).shape == (2, 0, 4, 5)
    assert feature_affinities(features(0, 3, 4, 5), [(0, 1)]).shape == (0, 1, 4, 5)


# ── what pairs ought to be ───────────────────────────────────────────────────────────────────────────────────────────


def test_codes_by_hand():
    labels = torch.tensor([[[0, 0, 1], [-1, 2, 1]]])
    codes = pair_codes(labels, [(0, 1), (1, -1), (1, 0)], "full")
    none = Pair.NONE
    assert codes[0, 0].tolist() == [[Pair.BACKGROUND, Pair.DIFFERENT, none], [Pair.IGNORED, Pair.DIFFERENT, none]]
    assert codes[0, 1].tolist() == [[none, Pair.IGNORED, Pair.DIFFERENT], [none] * 3]
    assert codes[0, 2].tolist() == [[Pair.IGNORED, Pair.DIFFERENT, Pair.FOREGROUND], [none] * 3]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("border", ["full", "interior"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_compiled_codes_are_those_of_planes(threads, border, dtype, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    labels = torch.randint(-1, 3, (4, 17, 13), generator=torch.Generator().manual_seed(2)).to(dtype)
    offsets = pair_offsets(4)
    expected = codes_by_planes(labels, offsets, pair_exists(17, 13, offsets, border))
    assert torch.equal(pair_codes(labels, offsets, border), expected)
    turned = labels.transpose(1, 2)
    assert torch.equal(pair_codes(turned, offsets, border), pair_codes(turned.contiguous(), offsets, border))
    assert {*expected.unique().tolist()} == {*map(int, Pair)}


def test_no_labels_and_no_offsets_have_no_codes():
    assert pair_codes(torch.zeros(0, 4, 5, dtype=torch.int64), [(0, 1)], "full").shape == (0, 1, 4, 5)
    assert pair_codes(torch.zeros(2, 4, 5, dtype=torch.int64), [], "full").shape == (2, 0, 4, 5)


def test_interior_codes_exist_where_pairs_do():
    labels = torch.zeros(2, 9, 12, dtype=torch.int32)
    codes = pair_codes(labels, pair_offsets(3), "interior")
    exists = pair_exists(9, 12, pair_offsets(3), "interior")
    assert ((codes != Pair.NONE) == exists).all()
    assert (codes[:, exists] == Pair.BACKGROUND).all()
