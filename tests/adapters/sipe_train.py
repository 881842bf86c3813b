"""One training step of SIPE from class maps and side features: seeds, prototypes, maps, losses and their gradients."""

import numpy as np
import torch
from torch import Tensor

from shared_runs import tiny_backbone
from tagmask.config import SipeConfig
from tagmask.contracts import Batch
from tagmask.methods.sipe import (
    Sipe,
    SipeActivation,
    allowed,
    divided_by_maximum,
    hierarchical_features,
    image_prototypes,
    seeds,
    structure_overlap,
)

TOLERANCE = {
    **{f"out_gsc_grad_{name}": (1e-7, 1e-5) for name in ("A", "hie", "side1", "side2", "side3", "side4")},
    **{"out_cls_grad_A": (1e-7, 1e-5), "out_loss_gsc": (1e-6, 0.0), "out_loss_cls": (1e-6, 0.0)},
    "*": (5e-6, 0.0),
}


def sipe_train(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    factor, size = float(arrays["p_bg_factor"]), arrays["in_A"].shape[2:]
    tags, valid = torch.from_numpy(arrays["in_label"]).float(), _valid(arrays)
    class_maps = torch.from_numpy(arrays["in_A"]).requires_grad_()
    sides = _sides(arrays)
    hierarchical = hierarchical_features(list(sides.values()), size)
    embedding = torch.from_numpy(arrays["in_x4"])
    method = Sipe(SipeConfig(background_factor=factor), tiny_backbone(), tags.shape[1]).train()
    logits = class_maps.mean(dim=(2, 3))
    raw = SipeActivation(logits, class_maps.relu(), None, embedding, class_maps, hierarchical)
    found = method.finish(raw, tags, valid)
    assert found.background is not None
    assert found.general is not None
    specific = torch.cat([found.background, found.maps], dim=1)
    images = torch.zeros(len(tags), 3, *valid.shape[1:])
    losses = method.view_losses([found], Batch(tuple(map(str, range(len(tags)))), images, tags, valid))
    overlap = structure_overlap(embedding, found.general.detach())
    weighted = overlap * torch.tensor([factor] + [1.0] * tags.shape[1])[:, None, None]
    sown = seeds(weighted, allowed(tags, valid, size))
    leaves = {"A": class_maps, "hie": hierarchical} | sides
    gradients = torch.autograd.grad(losses["consistency"], list(leaves.values()), retain_graph=True)
    outputs = {
        "V": allowed(tags, valid, size).to(torch.uint8),
        "M": found.general,
        "hie": hierarchical,
        "iou": overlap,
        "iou_half": weighted,
        "belonging": seeds(weighted, torch.ones_like(weighted)).argmax(dim=1).to(torch.uint8),
        "seeds": sown.to(torch.uint8),
        "proto": image_prototypes(sown, hierarchical),
        "is_cam": specific,
        "is_cam_norm": divided_by_maximum(specific),
        "score": found.logits,
        "loss_cls": losses["tags"],
        "loss_gsc": losses["consistency"],
        "cls_grad_A": torch.autograd.grad(losses["tags"], class_maps)[0],
    } | {f"gsc_grad_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return {f"out_{name}": tensor.detach().numpy() for name, tensor in outputs.items()}


def _valid(arrays: dict[str, np.ndarray]) -> Tensor:
    """True inside the box of the photograph in each crop."""
    boxes = arrays["in_valid_box"]
    valid = torch.zeros(len(boxes), int(arrays["p_img_h"]), int(arrays["p_img_w"]), dtype=torch.bool)
    for image, (top, bottom, left, right) in zip(valid, boxes.tolist(), strict=True):
        image[top:bottom, left:right] = True
    return valid


def _sides(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    names = sorted(name for name in arrays if name.startswith("in_side"))
    return {name.removeprefix("in_"): torch.from_numpy(arrays[name]).requires_grad_() for name in names}
