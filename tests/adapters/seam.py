"""The pixel correlation module and the losses of SEAM on given scores and refined maps, with their gradients."""

import numpy as np
import torch
from torch import Tensor

from tagmask.config import EquivarianceConfig
from tagmask.equivariance import equivariance_losses, mean_of_resized, resized
from tagmask.methods.cam import tag_loss
from tagmask.pixel_correlation import correlate, correlation_input

TOLERANCE = {
    "out_pcm_grad_f": (1e-6, 1e-5),
    **{f"out_loss_{name}": (1e-6, 0.0) for name in ("cls", "cls1", "cls2", "minpool", "min1", "min2", "er")},
    **{f"out_loss_{name}": (1e-6, 0.0) for name in ("ecr", "ecr1", "ecr2", "total")},
    **{f"out_grad_total_{name}": (1e-6, 0.0) for name in ("cam1", "rv1", "cam2", "rv2")},
    **{f"out_gradnorm_{name}": (1e-6, 0.0) for name in ("cls", "minpool", "er", "ecr", "ecr1", "ecr2", "total")},
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
        "pcm_cam_up": resized(scores[:, shown], size),
        "pcm_cam_rv_up": resized(refined[:, shown], size),
        "pcm_grad_f": torch.autograd.grad(refined, features, torch.from_numpy(arrays["in_pcm_cotangent"]))[0],
    }


def _losses(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    leaves = {name: torch.from_numpy(arrays[f"in_{name}"]).requires_grad_() for name in ("cam1", "rv1", "cam2", "rv2")}
    terms = _terms(leaves, torch.from_numpy(arrays["in_label"]).float(), arrays)
    terms["total"] = terms["cls"] + terms["minpool"] + terms["er"] + terms["ecr"]
    outputs = {f"loss_{name}": value for name, value in terms.items()}
    for name in ("cls", "minpool", "er", "ecr", "total"):
        gradients = torch.autograd.grad(
            terms[name], list(leaves.values()), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        outputs[f"gradnorm_{name}"] = torch.stack([gradient.norm() for gradient in gradients])
        if name == "total":
            outputs |= {f"grad_total_{leaf}": gradient for leaf, gradient in zip(leaves, gradients, strict=True)}
    return outputs


def _terms(leaves: dict[str, Tensor], tags: Tensor, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    cam, refined = [leaves["cam1"], leaves["cam2"]], [leaves["rv1"], leaves["rv2"]]
    sizes = [(x.shape[2], x.shape[3]) for x in cam]
    fractions = {"cross_fraction": float(arrays["p_topk_frac"]), "min_pool_fraction": float(arrays["p_min_frac"])}
    found = equivariance_losses(cam, refined, tags, EquivarianceConfig(**fractions), sizes)
    tag_losses = [tag_loss(mean_of_resized(x[:, 1:], size), tags) for x, size in zip(cam, sizes, strict=True)]
    return {"cls1": tag_losses[0], "cls2": tag_losses[1]} | {
        "cls": (tag_losses[0] + tag_losses[1]) / 2,
        "minpool": found["min_pool"],
        "er": found["consistency"],
        "ecr": found["cross"],
    }
