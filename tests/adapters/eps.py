"""The saliency loss of EPS from scores and a saliency map: shares, foreground, estimate, loss and its gradient.

The reference keeps its background channel last; here it comes first.
"""

import numpy as np
import torch
from torch import Tensor

from tagmask.methods.eps import (
    estimated_saliency,
    probabilities,
    resized_saliency,
    saliency_loss,
    salient_share,
    salient_tags,
)

TOLERANCE = {"out_grad_lam5": (1e-8, 0.0), "out_grad_lam9": (1e-8, 0.0), "*": (5e-6, 0.0)}


def eps(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    scores = torch.from_numpy(arrays["in_cam"]).roll(1, dims=1)
    saliency, tags = torch.from_numpy(arrays["in_saliency"]), torch.from_numpy(arrays["in_label"]).float()
    overlap = float(arrays["p_tau"])
    maps = probabilities(scores)
    share = salient_share(maps[:, 1:], resized_saliency(saliency, (maps.shape[2], maps.shape[3])))
    foreground = salient_tags(share, tags, overlap)
    outputs = {
        "overlap": share,
        "fgset": foreground.to(torch.uint8),
        "fg_map": estimated_saliency(maps, foreground, tags, absent_share=0.0),
    }
    for name, parameter in (("lam5", "p_lambda_a"), ("lam9", "p_lambda_b")):
        absent_share = 1 - float(arrays[parameter])
        leaf = scores.clone().requires_grad_()
        loss = saliency_loss(leaf, saliency, tags, overlap, absent_share)
        loss.backward()
        outputs |= {
            f"est_{name}": estimated_saliency(maps, foreground, tags, absent_share),
            f"loss_{name}": loss,
            f"grad_{name}": _gradient(leaf).roll(-1, dims=1),
        }
    return {f"out_{name}": tensor.detach().numpy() for name, tensor in outputs.items()}


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad
