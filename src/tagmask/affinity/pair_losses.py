"""How far affinities are from what the labels of their pairs ask for.

Definitions: Ahn & Kwak, CVPR 2018 (AffinityNet), section 4.2; IRN takes the same loss. On a CPU one compiled pass over
the pairs, forward and backward, in place of a dozen over stacks that its cache does not hold.
"""

import math
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from tagmask.affinity.pairs import KINDS, Pair
from tagmask.contracts import Losses
from tagmask.system.compiled import compiled, in_threads

_COMPILED_FOR = (torch.float32, torch.float64)


def affinity_losses(affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"], eps: float = 1e-5) -> Losses:
    """Cross-entropy of the affinities over three kinds of pairs (equation 5), counted over the whole batch.

    Args:
        affinities: in [0, 1]; values without a pair are not read.
        codes: the ``Pair`` code of each.
        eps: keeps logarithms finite, and a kind without pairs at 0.

    Returns:
        ``background`` and ``foreground``, the mean of -log(a + eps) over pairs of equal labels, times 1/4 each, and
        ``negative``, the mean of -log(1 + eps - a) over pairs of different labels, times 1/2.

    Example:
        >>> codes = torch.tensor([[[[1, 3]]]], dtype=torch.uint8)
        >>> {k: round(v.item(), 3) for k, v in affinity_losses(torch.tensor([[[[0.5, 0.5]]]]), codes).items()}
        {'background': 0.173, 'foreground': 0.0, 'negative': 0.347}
    """
    background, foreground, negative = _PairLosses.apply(affinities, codes, eps)
    return {"background": background / 4, "foreground": foreground / 4, "negative": negative / 2}


class _PairLosses(torch.autograd.Function):
    """Mean cross-entropy of each kind of pair; nothing but the inputs is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"], eps: float
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        entropies = _compiled_entropies if _is_compiled(affinities) else entropies_by_masks
        sums, counts = entropies(affinities, codes, eps)
        counts = counts + eps
        ctx.save_for_backward(affinities, codes, counts)
        ctx.eps = eps
        means = sums / counts
        return means[0], means[1], means[2]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names of arguments
        ctx: Any, *gradients: Float[Tensor, ""]
    ) -> tuple[Float[Tensor, "b s p q"], None, None]:
        affinities, codes, counts = ctx.saved_tensors
        slopes = _compiled_slopes if _is_compiled(affinities) else slopes_by_masks
        return slopes(affinities, codes, torch.stack(gradients) / counts, ctx.eps), None, None


def _is_compiled(affinities: Float[Tensor, "b s p q"]) -> bool:
    return affinities.device.type == "cpu" and affinities.dtype in _COMPILED_FOR


# ── on any device ────────────────────────────────────────────────────────────────────────────────────────────────────


def entropies_by_masks(
    affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"], eps: float
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Sum of the cross-entropy over the pairs of each kind, and how many there are, in the order of ``KINDS``."""
    entropy = _probabilities(affinities, codes).add_(eps).log_().neg_()
    chosen = [codes == kind for kind in KINDS]
    counts = torch.stack([each.sum() for each in chosen]).to(entropy.dtype)
    return torch.stack([(entropy * each).sum() for each in chosen]), counts


def slopes_by_masks(
    affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"], weights: Float[Tensor, "3"], eps: float
) -> Float[Tensor, "b s p q"]:
    """The gradient of the sums of ``entropies_by_masks``, each times its weight."""
    slopes = torch.zeros_like(affinities)
    for kind, weight in zip(KINDS, weights, strict=True):
        slopes.masked_fill_(codes == kind, weight if kind == Pair.DIFFERENT else -weight)
    return slopes.div_(_probabilities(affinities, codes).add_(eps))


def _probabilities(affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"]) -> Float[Tensor, "b s p q"]:
    """Of each pair of a kind the probability of being what it is; 1 for the others, whatever their affinity."""
    probabilities = torch.where(codes == Pair.DIFFERENT, 1 - affinities, affinities)
    return probabilities.masked_fill_((codes == Pair.IGNORED) | (codes == Pair.NONE), 1.0)


# ── compiled ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _compiled_entropies(
    affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"], eps: float
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    found = np.zeros((len(affinities), 2, len(KINDS)))
    _of_each_image(_add_entropies, _flat(affinities), _flat(codes), eps, found)
    sums, counts = torch.from_numpy(found.sum(axis=0)).to(affinities.dtype)
    return sums, counts


def _compiled_slopes(
    affinities: Float[Tensor, "b s p q"], codes: UInt8[Tensor, "b s p q"], weights: Float[Tensor, "3"], eps: float
) -> Float[Tensor, "b s p q"]:
    slopes = torch.empty(affinities.shape, dtype=affinities.dtype)
    of_kinds = np.broadcast_to(weights.double().numpy(), (len(affinities), len(KINDS)))
    _of_each_image(_write_slopes, _flat(affinities), _flat(codes), eps, of_kinds, _flat(slopes))
    return slopes


def _flat(stack: Tensor) -> Any:
    """The pairs of each image in a row."""
    return stack.detach().contiguous().numpy().reshape(len(stack), -1)


def _of_each_image(loop: Callable[..., None], affinities: Any, codes: Any, eps: float, *more: Any) -> None:
    """Call a compiled loop with what belongs to each image, by as many threads as torch has."""

    def call(image: int) -> None:
        loop(affinities[image], codes[image], affinities.dtype.type(eps), *(each[image] for each in more))

    in_threads(call, len(affinities), torch.get_num_threads())


@compiled
@no_type_check
def _add_entropies(affinities, codes, eps, found):
    one = affinities.dtype.type(1)
    for i in range(affinities.size):
        kind = codes[i]
        if 1 <= kind <= 3:
            right = one - affinities[i] if kind == 3 else affinities[i]
            found[0, kind - 1] -= math.log(right + eps)
            found[1, kind - 1] += 1


@compiled
@no_type_check
def _write_slopes(affinities, codes, eps, weights, slopes):
    one = affinities.dtype.type(1)
    for i in range(affinities.size):
        kind = codes[i]
        if kind == 3:
            slopes[i] = weights[2] / (one - affinities[i] + eps)
        elif 1 <= kind <= 2:
            slopes[i] = -weights[kind - 1] / (affinities[i] + eps)
        else:
            slopes[i] = 0
