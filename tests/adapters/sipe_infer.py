"""SIPE's maps of an image from passes at two scales, each with its mirror image."""

import numpy as np
import torch
from torch import Tensor

from shared_runs import tiny_backbone
from tagmask.config import SipeConfig
from tagmask.inference.passes import class_maps, unmirrored
from tagmask.masks.scores import argmax_classes, mask_values, normalize_max
from tagmask.methods.sipe import Sipe, SipeActivation, hierarchical_features, image_prototypes, seeds, structure_overlap

TOLERANCE = {"*": (5e-6, 0.0)}


def sipe_infer(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tags = torch.from_numpy(arrays["in_label"]).float()[None]
    factor = float(arrays["p_bg_factor"])
    method = Sipe(SipeConfig(background_factor=factor), tiny_backbone(), tags.shape[1]).eval()
    names = sorted(
        (name.removeprefix("in_A_") for name in arrays if name.startswith("in_A_")), key=lambda n: int(n[1:])
    )
    finished = [method.finish(unmirrored(_pair(arrays, name)), tags) for name in names]
    present = tags[0].nonzero().flatten()
    summed = class_maps(finished, present, (int(arrays["p_img_h"]), int(arrays["p_img_w"]))).numpy()
    scores, keys = normalize_max(summed), mask_values(present.numpy(), with_background=True)
    outputs = {"out_agg": scores, "out_keys": keys, "out_pred": argmax_classes(scores, keys)}
    for name, activation in zip(names, finished, strict=True):
        found = _intermediate(activation, tags, factor)
        outputs |= {f"out_{key}_{name}": tensor[0].numpy() for key, tensor in found.items()}
    return outputs


def _pair(arrays: dict[str, np.ndarray], name: str) -> SipeActivation:
    """What ``forward`` returns for an image and its mirror image."""
    scores, embedding = torch.from_numpy(arrays[f"in_A_{name}"]), torch.from_numpy(arrays[f"in_x4_{name}"])
    levels = sorted(key for key in arrays if key.startswith("in_side") and key.endswith(f"_{name}"))
    hierarchical = hierarchical_features(
        [torch.from_numpy(arrays[level]) for level in levels], arrays[f"in_A_{name}"].shape[2:]
    )
    return SipeActivation(scores.mean(dim=(2, 3)), scores.relu(), None, embedding, scores, hierarchical)


def _intermediate(finished: SipeActivation, tags: Tensor, factor: float) -> dict[str, Tensor]:
    """What lies between the maps of a classifier and the image-specific ones."""
    assert finished.background is not None
    assert finished.general is not None
    overlap = structure_overlap(finished.hierarchical, finished.general)
    weighted = overlap * torch.tensor([factor] + [1.0] * tags.shape[1])[:, None, None]
    winner = seeds(weighted, torch.ones_like(weighted))
    sown = winner * torch.nn.functional.pad(tags, (1, 0), value=1.0)[:, :, None, None]
    return {
        "M": finished.general,
        "hie": finished.hierarchical,
        "iou": overlap,
        "iou_half": weighted,
        "belonging": winner.argmax(dim=1),
        "seeds": sown,
        "proto": image_prototypes(sown, finished.hierarchical),
        "is_cam": torch.cat([finished.background, finished.maps], dim=1),
    }
