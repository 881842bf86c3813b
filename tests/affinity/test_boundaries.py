"""Paths, affinities along them and displacements, against plain formulations and autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tagmask.affinity.boundaries import displacement_losses, path, path_affinities
from tagmask.affinity.pairs import Pair, pair_codes, pair_ends, pair_exists, pair_offsets


def random(*shape: int, levels: int = 0) -> torch.Tensor:
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)
    return (values * levels).round() / levels if levels else values


def plain_affinities(boundary: torch.Tensor, offsets: list[tuple[int, int]]) -> torch.Tensor:
    """All values of each path gathered, then the maximum; of equal ones that nearest to the partner, upper first."""
    height, width = boundary.shape[1:]
    planes = []
    for dy, dx in offsets:
        rows, columns, left = height - dy, width - abs(dx), max(0, -dx)
        if rows <= 0 or columns <= 0:
            planes.append(torch.zeros_like(boundary))
            continue
        cells = sorted(path((dy, dx)), key=lambda cell: -abs(cell[0]) - abs(cell[1]))
        values = torch.stack([boundary[:, y : y + rows, left + x : left + x + columns] for y, x in cells], 1)
        preference = 1e-9 * torch.arange(len(cells), 0, -1, dtype=values.dtype)[:, None, None]
        chosen = (values.detach() + preference).argmax(1, keepdim=True)
        inside = 1 - values.gather(1, chosen)[:, 0]
        planes.append(F.pad(inside, (left, width - columns - left, 0, height - rows)))
    return torch.stack(planes, 1) if planes else boundary.new_zeros(len(boundary), 0, height, width)


def plain_displacement_losses(field: torch.Tensor, codes: torch.Tensor, offsets: list[tuple[int, int]]) -> dict:
    errors = {Pair.FOREGROUND: [], Pair.BACKGROUND: []}
    for plane, offset in enumerate(offsets):
        here, there = pair_ends(*field.shape[2:], offset)
        difference = field[here] - field[there]
        shift = field.new_tensor(offset)[:, None, None]
        for kind, wanted in ((Pair.FOREGROUND, shift), (Pair.BACKGROUND, 0 * shift)):
            chosen = codes[:, plane][here] == kind
            errors[kind].append((difference - wanted).abs().permute(0, 2, 3, 1)[chosen].flatten())
    terms = {}
    for kind, name in ((Pair.FOREGROUND, "foreground"), (Pair.BACKGROUND, "background")):
        values = torch.cat(errors[kind])
        terms[f"displacement_{name}"] = values.sum() / (len(values) + 1e-5) / 2
    return terms


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_known_lengths_of_paths():
    lengths = [len(path(offset)) for offset in pair_offsets(10)]
    assert (min(lengths), max(lengths), round(sum(lengths) / len(lengths), 1)) == (2, 22, 14.0)
    assert [len(path(offset)) for offset in ((1, 1), (0, 3), (4, 2))] == [4, 4, 11]
    assert max(len(path(offset)) for offset in pair_offsets(5)) == 11


@given(dy=st.integers(0, 12), dx=st.integers(-12, 12))
def test_a_path_holds_both_ends_and_is_the_same_backwards(dy, dx):
    if (dy, dx) == (0, 0):
        return
    cells = path((dy, dx))
    assert {(0, 0), (dy, dx)} <= set(cells)
    assert {(dy - y, dx - x) for y, x in cells} == set(cells)
    assert {(y, -x) for y, x in cells} == set(path((dy, -dx)))


# ── affinities ───────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    radius=st.integers(1, 7),
    levels=st.sampled_from([0, 1, 4]),
)
def test_affinities_and_gradients_are_those_of_gathered_paths(batch, height, width, radius, levels):
    offsets = pair_offsets(radius)
    ours, plain = (random(batch, height, width, levels=levels).requires_grad_() for _ in range(2))
    found, expected = path_affinities(ours, offsets), plain_affinities(plain, offsets)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found.backward(weights)
    if offsets:
        expected.backward(weights)
        torch.testing.assert_close(ours.grad, plain.grad if plain.grad is not None else torch.zeros_like(plain))


def test_grids_of_more_cells_than_small_ranks_can_number():
    boundary, offsets = random(1, 190, 180), pair_offsets(3)
    torch.testing.assert_close(path_affinities(boundary, offsets), plain_affinities(boundary, offsets), rtol=0, atol=0)


def test_the_order_of_offsets_is_free():
    boundary, offsets = random(1, 9, 8), pair_offsets(4)
    found = path_affinities(boundary, offsets[::-1])
    assert (found.flip(1) == path_affinities(boundary, offsets)).all()


def test_a_wall_parts_its_sides():
    boundary = torch.zeros(1, 7, 9)
    boundary[:, :, 4] = 1.0
    offsets = pair_offsets(4)
    affinities = path_affinities(boundary, offsets)[0]
    for plane, (dy, dx) in zip(affinities, offsets, strict=True):
        for y in range(7 - dy):
            for x in range(max(0, -dx), 9 - max(0, dx)):
                crossed = min(x, x + dx) <= 4 <= max(x, x + dx)
                assert plane[y, x] == (0.0 if crossed else 1.0)


def test_of_equal_boundaries_the_one_nearest_to_the_partner_learns():
    boundary = torch.full((1, 3, 4), 0.5, requires_grad=True)
    path_affinities(boundary, [(2, 3)])[0, 0, 0, 0].backward()
    assert boundary.grad is not None
    assert boundary.grad.nonzero().tolist() == [[0, 2, 3]]
    assert boundary.grad[0, 2, 3] == -1


def test_nothing_but_the_boundary_is_kept_for_the_backward_pass():
    kept = []
    boundary = torch.rand(2, 20, 20, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel() * t.element_size()) or t, lambda t: t
    ):
        path_affinities(boundary, pair_offsets(6))
    assert sum(kept) == boundary.numel() * boundary.element_size()


def test_no_images_no_offsets():
    assert path_affinities(torch.zeros(0, 4, 4), pair_offsets(2)).shape == (0, 4, 4, 4)
    assert path_affinities(torch.zeros(2, 4, 4), []).shape == (2, 0, 4, 4)


# ── displacements ────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    radius=st.integers(1, 5),
    border=st.sampled_from(["full", "interior"]),
    lowest=st.integers(-1, 2),
)
def test_losses_and_gradients_are_those_of_a_dense_formulation(height, width, radius, border, lowest):
    generator = torch.Generator().manual_seed(height)
    labels = torch.randint(lowest, 3, (2, height, width), generator=generator)
    offsets = pair_offsets(radius)
    codes = pair_codes(labels, offsets, border)
    ours, plain = ((10 * random(2, 2, height, width)).requires_grad_() for _ in range(2))
    found = displacement_losses(ours, codes, offsets)
    if not offsets:
        assert all(value == 0 for value in found.values())
        return
    expected = plain_displacement_losses(plain, codes, offsets)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])
    (3 * found["displacement_foreground"] + found["displacement_background"]).backward()
    (3 * expected["displacement_foreground"] + expected["displacement_background"]).backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_a_field_that_points_at_one_place_costs_nothing():
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    field = (torch.tensor([2.5, 3.0])[:, None, None] - torch.stack([rows, columns]))[None]
    offsets = pair_offsets(3)
    codes = pair_codes(torch.ones(1, 6, 7, dtype=torch.int64), offsets, "full")
    losses = displacement_losses(field, codes, offsets)
    assert losses == {"displacement_foreground": 0.0, "displacement_background": 0.0}
    assert displacement_losses(-field, codes, offsets)["displacement_foreground"] > 1


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_kinds_without_pairs_cost_nothing_and_teach_nothing(label):
    offsets = pair_offsets(3)
    codes = pair_codes(torch.full((1, 5, 5), label), offsets, "full")
    field = random(1, 2, 5, 5).requires_grad_()
    losses = displacement_losses(field, codes, offsets)
    absent = [name for name, own in (("displacement_background", 0), ("displacement_foreground", 1)) if own != label]
    for name in absent:
        assert losses[name] == 0
    torch.stack([losses[name] for name in absent]).sum().backward()
    assert field.grad is not None
    assert (field.grad == 0).all()


def test_pairs_of_the_full_rule_are_what_affinities_are_given_for():
    affinities = path_affinities(torch.full((1, 6, 5), 0.25), pair_offsets(4))[0]
    assert ((affinities > 0) == pair_exists(6, 5, pair_offsets(4), "full")).all()
