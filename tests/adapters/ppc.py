"""The contrast of PPC from projected features and refined maps: scores, labels, prototypes, losses, gradients.

Which of equal scores are among the largest, and which pixels are drawn at random, stands in the files.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import CamConfig, PpcConfig
from tagmask.methods import pixel_contrast as contrast
from tagmask.methods.ppc import Pixels, contrast_losses, intra_loss, intra_losses, rows, total

TOLERANCE = {
    **{f"out_gradnorm_{name}": (1e-6, 0.0) for name in ("cp", "cc", "in")},
    **{"out_grad_f1": (1e-6, 0.0), "out_grad_f2": (1e-6, 0.0)},
    "*": (5e-6, 0.0),
}


def ppc(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    weight = float(arrays["p_weight"])
    config = PpcConfig(
        **{"base": CamConfig(), "faithful": True, "background": float(arrays["p_bg"])},
        **{"temperature": float(arrays["p_T"]), "kept_prototypes": int(arrays["p_n_neg"])},
        **{f"{name}_weight": weight for name in ("cross_prototype", "cross_cam", "intra_view")},
        skipped_prototypes=int(arrays["p_skip_top"]),
    )
    leaves = [torch.from_numpy(arrays[f"in_f{view}"]).requires_grad_() for view in (1, 2)]
    found = [view(arrays, number, leaf, config) for number, leaf in zip((1, 2), leaves, strict=True)]
    first, second = (pixels for pixels, _ in found)
    losses = contrast_losses(config, first, second)
    outputs = {f"out_{key}{number}": array for number in (1, 2) for key, array in found[number - 1][1].items()}
    outputs |= intra_outputs(config, (first, second))
    for short, name in (("cp", "cross_prototype"), ("cc", "cross_cam"), ("in", "intra_view")):
        outputs[f"out_loss_{short}"] = losses[name].detach().numpy()
        gradients = torch.autograd.grad(losses[name], leaves, retain_graph=True)
        outputs[f"out_gradnorm_{short}"] = torch.stack([gradient.norm() for gradient in gradients]).numpy()
    gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves)
    return outputs | {f"out_grad_f{number}": gradients[number - 1].numpy() for number in (1, 2)}


def view(
    arrays: dict[str, np.ndarray], number: int, features: Tensor, config: PpcConfig
) -> tuple[Pixels, dict[str, np.ndarray]]:
    """The pixels of a view, and what the files say about them."""
    tags = torch.from_numpy(arrays["in_label"]).float()
    scores = contrast.published_scores(torch.from_numpy(arrays[f"in_cam_rv{number}"])[:, 1:], config.background)
    labels = contrast.best_channel(scores, tags, torch.ones_like(scores[:, 0]).bool())
    weights, tied = top(rows(scores), torch.from_numpy(arrays[f"in_top_index{number}"]).long())
    prototypes = contrast.class_prototypes(rows(features.detach()), weights)
    unit, flat = F.normalize(rows(features), dim=1), labels.flatten()
    likeness = contrast.similarities(unit.detach(), prototypes).gather(1, flat[:, None])[:, 0]
    draws = torch.ones(len(flat)).scatter(0, torch.from_numpy(arrays[f"in_rand_pixel{number}"]).long(), 0.0)
    pixels = Pixels(unit, flat, prototypes, torch.ones(len(prototypes)).bool(), likeness, draws, labels[0].numel())
    hard = hard_in_order(pixels, config)
    return pixels, {
        "norm_cam": scores.numpy(),
        "pseudo": labels.to(torch.uint8).numpy(),
        "topk_tied": tied.to(torch.uint8).numpy(),
        "proto": prototypes.numpy(),
        "hard_pixel": hard.int().numpy(),
        "hard_class": flat[hard].int().numpy(),
    }


def top(scores: Tensor, recorded: Tensor) -> tuple[Tensor, Tensor]:
    """The largest scores of each channel, by the record where equals are at the border; and where that is so."""
    count = recorded.shape[1]
    largest = scores.topk(min(count + 1, len(scores)), dim=0).values
    tied = largest[count - 1] == largest[-1] if len(largest) > count else torch.zeros(scores.shape[1]).bool()
    given = torch.zeros_like(scores).scatter(0, recorded.T, scores.gather(0, recorded.T))
    return torch.where(tied, given, contrast.first_of_top(scores, count)), tied


def hard_in_order(pixels: Pixels, config: PpcConfig) -> Tensor:
    """Hard pixels, label after label, the least alike first."""
    channels = len(pixels.prototypes)
    hard = contrast.hard_pixels(pixels.likeness, pixels.labels, channels, config.hard_fraction).nonzero()[:, 0]
    place = pixels.labels * len(pixels.labels) + contrast.rank_within(pixels.likeness, pixels.labels)
    return hard[place[hard].argsort()]


def intra_outputs(config: PpcConfig, views: tuple[Pixels, Pixels]) -> dict[str, np.ndarray]:
    """The intra-view loss of each view, and the same of the hard pixels alone."""
    outputs, only = {}, []
    for number, pixels in enumerate(views, start=1):
        channels = len(pixels.prototypes)
        hard = contrast.hard_pixels(pixels.likeness, pixels.labels, channels, config.hard_fraction).float()
        weights = contrast.label_weights(hard, pixels.labels, channels)
        only.append(total(intra_losses(config, pixels, pixels.labels), weights, pixels.cells).detach())
        outputs[f"out_loss_in_view{number}"] = intra_loss(config, pixels).detach().numpy()
        outputs[f"out_loss_in_hard_only_view{number}"] = only[-1].numpy()
    return outputs | {"out_loss_in_hard_only": (config.intra_view_weight * torch.stack(only).mean()).numpy()}
