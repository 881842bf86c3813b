"""The pixel correlation module and the losses of SEAM on given scores and refined maps, with their gradients."""

import numpy as np
import torch
from torch import Tensor

from tagmask.config import EquivarianceConfig
from tagmask.methods.cam import tag_loss
from tagmask.methods.equivariance import (
    compared_maps,
    cross,
    equivariance_losses,
    mean_of_resized,
    min_pool,
    resized_aligned,
)
from tagmask.methods.pixel_correlation import correlate, correlation_input

LEARNING = ("cls", "minpool", "er", "ecr", "ecr1", "ecr2", "total")
TERMS = (*LEARNING, "cls1", "cls2", "min1", "min2")
TOLERANCE = {
    **dict.fromkeys([f"out_loss_{name}" for name in TERMS], (1e-6, 0.0)),
    **dict.fromkeys([f"out_gradnorm_{name}" for name in LEARNING], (1e-6, 0.0)),
    **dict.fromkeys([f"out_grad_total_{name}" for name in ("cam1", "rv1", "cam2", "rv2")], (1e-6, 0.0)),
    # One feature is tiny and its gradient about 1e3, which float32 knows to 3e-4 in every component, small ones too.
    "out_pcm_grad_f": (1e-3, 1e-5),
    "*": (5e-6, 0.0),
}


def seam(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = _correlation(arrays) | _losses(arrays)
    return {f"out_{name}": tensor.detach().numpy() for name, tensor in outputs.items()}


def _correlation(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    scores, features = torch.from_numpy(arrays["in_pcm_cam"]), torch.from_numpy(arrays["in_pcm_f"]).requires_grad_()
    size, shown = (int(arrays["p_pcm_H"]), int(arrays["p_pcm_W"])), arrays["in_pcm_up_channels"].tolist()
    maps = correlation_input(scores)
    refined = correlate(maps, features)
    return {
        "pcm_pcm_input": maps,
        "pcm_cam_rv": refined,
        "pcm_cam_up": resized_aligned(scores[:, shown], size),
        "pcm_cam_rv_up": resized_aligned(refined[:, shown], size),
        "pcm_grad_f": torch.autograd.grad(refined, features, torch.from_numpy(arrays["in_pcm_cotangent"]))[0],
    }


def _losses(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    leaves = {name: torch.from_numpy(arrays[f"in_{name}"]).requires_grad_() for name in ("cam1", "rv1", "cam2", "rv2")}
    terms = _terms(leaves, torch.from_numpy(arrays["in_label"]).float(), arrays)
    outputs = {f"loss_{name}": value for name, value in terms.items()}
    gradients = {name: _gradients(terms[name], leaves) for name in LEARNING}
    norms = {f"gradnorm_{name}": torch.stack([x.norm() for x in found]) for name, found in gradients.items()}
    total = dict(zip((f"grad_total_{leaf}" for leaf in leaves), gradients["total"], strict=True))
    return outputs | norms | total


def _gradients(value: Tensor, leaves: dict[str, Tensor]) -> tuple[Tensor, ...]:
    inputs = list(leaves.values())
    return torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True, materialize_grads=True)


def _terms(leaves: dict[str, Tensor], tags: Tensor, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    scores, refined = [leaves["cam1"], leaves["cam2"]], [leaves["rv1"], leaves["rv2"]]
    sizes = [(x.shape[2], x.shape[3]) for x in scores]
    largest, lowest = float(arrays["p_topk_frac"]), float(arrays["p_min_frac"])
    config = EquivarianceConfig(cross_fraction=largest, min_pool_fraction=lowest)
    found = equivariance_losses(scores, refined, tags, config, sizes)
    first, second = compared_maps(scores, refined, tags, sizes)
    cls = [tag_loss(mean_of_resized(x[:, 1:], size), tags) for x, size in zip(scores, sizes, strict=True)]
    terms = {"cls": (cls[0] + cls[1]) / 2, "minpool": found["min_pool"]}
    terms |= {"er": found["consistency"], "ecr": found["cross"]}
    return terms | {
        "total": torch.stack(list(terms.values())).sum(),
        "cls1": cls[0],
        "cls2": cls[1],
        "min1": min_pool(first.pixels, lowest),
        "min2": min_pool(second.pixels, lowest),
        "ecr1": cross(second.winners, first.refined, scores[0].shape[1], largest),
        "ecr2": cross(first.winners, second.refined, scores[0].shape[1], largest),
    }
