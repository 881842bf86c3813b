"""IRN's losses of both heads over a batch of labels, and their gradients."""

import numpy as np
import torch

from tagmask.affinity.boundaries import displacement_losses, path_affinities
from tagmask.affinity.pair_losses import affinity_losses
from tagmask.affinity.pairs import Pair, pair_codes, pair_offsets
from tagmask.conventions import IGNORE

TOLERANCE = {"out_counts": (0.0, 0.0), "*": (1e-5, 0.0)}


def irn_pair_losses(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    given = torch.from_numpy(arrays["in_label"]).long()
    labels = torch.where(given > int(arrays["p_max_class"]), IGNORE, given)
    offsets, eps = pair_offsets(int(arrays["p_radius"])), float(arrays["p_eps"])
    codes = pair_codes(labels, offsets, "interior")
    logits, field = (torch.from_numpy(arrays[name]).double().requires_grad_() for name in ("in_edge_logit", "in_disp"))
    found = affinity_losses(path_affinities(logits[:, 0].sigmoid(), offsets), codes, eps)
    found |= displacement_losses(field, codes, offsets, eps)
    total = torch.stack(list(found.values())).sum()
    total.backward()
    terms = [
        2 * (found["background"] + found["foreground"]),
        2 * found["negative"],
        2 * found["displacement_foreground"],
        2 * found["displacement_background"],
        total,
    ]
    kinds = (Pair.BACKGROUND, Pair.FOREGROUND, Pair.DIFFERENT)
    return {
        "out_counts": np.array([int((codes == kind).sum()) for kind in kinds]),
        "out_losses": torch.stack(terms).detach().numpy(),
        "out_grad_edge_logit": _gradient(logits),
        "out_grad_disp": _gradient(field),
    }


def _gradient(leaf: torch.Tensor) -> np.ndarray:
    return (torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).numpy()
