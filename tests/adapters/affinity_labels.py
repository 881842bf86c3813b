"""Confident labels, the pairs they make, and the losses of given affinities."""

import numpy as np
import torch

from tagmask.affinity.pair_losses import affinity_losses
from tagmask.affinity.pairs import Border, Pair, pair_codes, pair_offsets
from tagmask.conventions import IGNORE
from tagmask.masks.confident_labels import confident_labels
from tagmask.masks.scores import block_mean

TOLERANCE = {"out_label": (0.0, 0.0), "*": (1e-5, 0.0)} | {
    f"out_{name}_{border}": (0.0, 0.0) for name in ("pairs", "counts") for border in ("interior", "full")
}


def affinity_labels(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    low, high, pool = arrays["in_la"], arrays["in_ha"], int(arrays["p_pool"])
    label = confident_labels(low, high, pool)
    return {
        "out_pooled": np.concatenate([block_mean(low, pool), block_mean(high, pool)]),
        "out_label": np.where(label == IGNORE, 255, label).astype(np.uint8),
        **_pairs(arrays, label, "full"),
        **_pairs(arrays, label, "interior", with_gradient=True),
    }


def _pairs(
    arrays: dict[str, np.ndarray], label: np.ndarray, border: Border, with_gradient: bool = False
) -> dict[str, np.ndarray]:
    affinities = torch.from_numpy(arrays["in_aff"])[None].double().requires_grad_()
    codes = pair_codes(torch.from_numpy(label)[None], pair_offsets(int(arrays["p_radius"])), border)
    losses = affinity_losses(affinities, codes, eps=float(arrays["p_eps"]))
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    terms = [4 * losses["background"], 4 * losses["foreground"], 2 * losses["negative"], total]
    kinds = (Pair.BACKGROUND, Pair.FOREGROUND, Pair.DIFFERENT)
    found = {
        "pairs": codes[0].numpy(),
        "counts": np.array([int((codes == kind).sum()) for kind in kinds]),
        "losses": torch.stack(terms).detach().numpy(),
    }
    if with_gradient and affinities.grad is not None:
        found["grad"] = affinities.grad.where(codes != Pair.NONE, torch.nan)[0].numpy()
    return {f"out_{name}_{border}": values for name, values in found.items()}
