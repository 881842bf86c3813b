"""Losses of affinities against hand counts, and the compiled loops against plain torch."""

import pytest
import torch

from tagmask.affinity import pair_losses
from tagmask.affinity.pair_losses import affinity_losses, entropies_by_masks, slopes_by_masks
from tagmask.affinity.pairs import Pair


def test_losses_by_hand():
    codes = torch.tensor([1, 1, 2, 3, 0, 255], dtype=torch.uint8).reshape(2, 3, 1, 1)
    affinities = torch.tensor([0.5, 0.25, 0.1, 0.9, 0.3, torch.nan], dtype=torch.float64).reshape(2, 3, 1, 1)
    losses = affinity_losses(affinities, codes, eps=1e-9)
    log = torch.tensor([2.0, 4.0, 10.0, 10.0], dtype=torch.float64).log()
    expected = {"background": (log[0] + log[1]) / 8, "foreground": log[2] / 4, "negative": log[3] / 2}
    torch.testing.assert_close(losses, expected, atol=1e-7, rtol=0)


def test_counts_are_over_the_batch():
    codes = torch.tensor([[1, 1, 1], [1, 0, 0]], dtype=torch.uint8).reshape(2, 3, 1, 1)
    affinities = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]).reshape(2, 3, 1, 1)
    mean = -torch.tensor([0.1, 0.2, 0.3, 0.4]).log().mean()
    torch.testing.assert_close(affinity_losses(affinities, codes)["background"], mean / 4, atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_ignored_pairs_cost_nothing(value):
    values = torch.full((1, 2, 3, 3), value, requires_grad=True)
    losses = affinity_losses(values, torch.full((1, 2, 3, 3), Pair.IGNORED, dtype=torch.uint8))
    assert [loss.item() for loss in losses.values()] == [0, 0, 0]
    torch.stack(list(losses.values())).sum().backward()
    assert values.grad is not None
    assert (values.grad == 0).all()


def test_extreme_affinities_stay_finite():
    values = torch.tensor([0.0, 1.0] * 3).reshape(1, 6, 1, 1).requires_grad_()
    codes = torch.tensor([1, 1, 2, 2, 3, 3], dtype=torch.uint8).reshape(1, 6, 1, 1)
    total = torch.stack(list(affinity_losses(values, codes).values())).sum()
    total.backward()
    assert total.isfinite()
    assert values.grad is not None
    assert values.grad.isfinite().all()


def pairs_of(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Affinities of three images, and codes of all kinds."""
    random = torch.Generator().manual_seed(0)
    kinds = torch.tensor([0, 1, 2, 3, 255], dtype=torch.uint8)
    codes = kinds[torch.randint(0, len(kinds), (3, 4, 5, 6), generator=random)]
    return torch.rand(3, 4, 5, 6, generator=random, dtype=dtype), codes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_loops_agree_with_masks(dtype):
    affinities, codes = pairs_of(dtype)
    affinities.requires_grad_()
    losses = affinity_losses(affinities, codes)
    torch.stack([losses["background"], 2 * losses["foreground"], 3 * losses["negative"]]).sum().backward()
    sums, counts = entropies_by_masks(affinities.detach(), codes, 1e-5)
    counts = counts + 1e-5
    expected = sums / counts * torch.tensor([0.25, 0.25, 0.5], dtype=dtype)
    torch.testing.assert_close(torch.stack([*losses.values()]), expected)
    weights = torch.tensor([0.25, 0.5, 1.5], dtype=dtype) / counts
    assert affinities.grad is not None
    torch.testing.assert_close(affinities.grad, slopes_by_masks(affinities.detach(), codes, weights, 1e-5))


def test_any_number_of_threads_finds_the_same(monkeypatch):
    affinities, codes = pairs_of(torch.float32)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(pair_losses.torch, "get_num_threads", lambda threads=threads: threads)
        values = affinities.clone().requires_grad_()
        losses = torch.stack([*affinity_losses(values, codes).values()])
        losses.sum().backward()
        assert values.grad is not None
        found.append((losses.tolist(), values.grad.tolist()))
    assert found[0] == found[1]


def test_other_numbers_take_the_plain_way():
    affinities, codes = pairs_of(torch.float32)
    half = affinity_losses(affinities.to(torch.bfloat16), codes)
    for name, loss in affinity_losses(affinities, codes).items():
        assert half[name].dtype == torch.bfloat16
        torch.testing.assert_close(half[name].float(), loss, atol=0.02, rtol=0.02)


def test_affinities_without_order_in_memory_are_taken():
    affinities, codes = pairs_of(torch.float64)
    turned = affinities.transpose(2, 3).contiguous().transpose(2, 3)
    assert affinity_losses(turned, codes) == affinity_losses(affinities, codes)
