"""The processor's and an accelerator's results for the same input: maps of every method, the walk, the dense CRF.

Part of ``benchmarks/gpu.py``. Convolutions are computed in float32 proper, so that differences are those of the order
in which numbers are added.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tagmask.affinity import pair_offsets
from tagmask.affinity.random_walk import random_walk
from tagmask.affinity.walk_on_device import walk_on_device
from tagmask.config import CRF_PRESETS, CrfConfig, MethodConfig
from tagmask.contracts import Backbone, Method
from tagmask.inference.passes import class_maps, summed_activations
from tagmask.masks.crf import refine
from tagmask.masks.crf.mean_field_on_device import LatticesOnDevice, refine_on_device
from tagmask.masks.scores import normalize_max
from tagmask.methods import METHODS, build_method

CLASSES = 20
TAGS = (3, 7)
FURTHEST, SHARE = 1e-3, 0.999  # so many numbers of a map, which ends at 1, are at most so far apart
WALK_FURTHEST = 1e-5
CRF_FURTHEST, CRF_SHARE = 2e-3, 0.9999  # iterations enlarge what rounding does; equal labels
RADIUS = 5


def checks(
    backbone: Callable[[], Backbone], pixels: int, device: torch.device
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each comparison by name; it returns its figures, and whether they are within tolerance as ``good``."""
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    found: dict[str, Callable[[], dict[str, Any]]] = {
        f"maps of {config.model_fields['kind'].default}": lambda config=config: compare_maps(
            config(), backbone(), pixels, device
        )
        for config in METHODS
    }
    found |= {f"walk, {form}": lambda form=form: compare_walk(form, pixels, device) for form in ("exact", "chebyshev")}
    return found | {
        f"CRF, {name}": lambda config=config: compare_crf(config, pixels, device)
        for name, config in CRF_PRESETS.items()
    }


def photograph(pixels: int, seed: int = 0) -> UInt8[np.ndarray, "h h 3"]:
    """Smooth regions with noise."""
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.random((1, 3, 6, 6), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (pixels, pixels), mode="bicubic")[0].permute(1, 2, 0).numpy()
    return np.clip(255 * smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def scores_of(num_labels: int, pixels: int) -> Float[np.ndarray, "k h h"]:
    """Smooth scores that sum to one."""
    coarse = torch.rand(1, num_labels, 5, 5, generator=torch.Generator().manual_seed(2))
    raw = torch.nn.functional.interpolate(coarse, (pixels, pixels), mode="bilinear")[0] ** 3 + 1e-3
    return (raw / raw.sum(0)).numpy()


def neighbourhood(cells: int) -> tuple[Float[np.ndarray, "s p p"], list[tuple[int, int]]]:
    """Random affinities, and where their partners are."""
    offsets = pair_offsets(RADIUS)
    return np.random.default_rng(3).random((len(offsets), cells, cells), np.float32), offsets


def maps_of(
    method: Method, images: Sequence[Float[Tensor, "3 _ _"]], tags: Sequence[int], size: tuple[int, int]
) -> Float[np.ndarray, "n h w"]:
    """The maps of an image as ``make-maps`` computes them, largest value 1."""
    activations, logits = summed_activations(method, images, flip=True)
    present = torch.tensor(tags, device=logits.device)
    known = torch.zeros_like(logits).index_fill_(0, present, 1.0)[None]
    finished = [method.finish(activation, known) for activation in activations]
    return normalize_max(class_maps(finished, present, size).cpu().numpy())


def compare_maps(config: MethodConfig, backbone: Backbone, pixels: int, device: torch.device) -> dict[str, Any]:
    here = build_method(config, backbone, CLASSES).eval()
    there = deepcopy(here).to(device, memory_format=torch.channels_last)
    image = backbone.normalization.apply(photograph(pixels))
    one, other = (maps_of(method, [image], TAGS, (pixels, pixels)) for method in (here, there))
    apart = np.abs(one - other)
    share = float((apart <= FURTHEST).mean())
    return {"largest_difference": float(apart.max()), "share_within": share, "good": share >= SHARE}


def compare_walk(form: Any, pixels: int, device: torch.device) -> dict[str, Any]:
    cells = -(-pixels // 4)
    affinities, offsets = neighbourhood(cells)
    maps = scores_of(3, cells)
    expected = random_walk(maps, affinities, offsets, 8, 256, form)
    tensors = [torch.from_numpy(each).to(device) for each in (maps, affinities)]
    found = [walk_on_device(*tensors, offsets, 8, 256, form).cpu().numpy() for _ in range(2)]
    apart = float(np.abs(found[0] - expected).max())
    repeats = bool((found[0] == found[1]).all())
    return {"largest_difference": apart, "same_twice": repeats, "good": repeats and apart <= WALK_FURTHEST}


def compare_crf(config: CrfConfig, pixels: int, device: torch.device) -> dict[str, Any]:
    image, scores = photograph(pixels), scores_of(3, pixels)
    expected = refine(image, scores, config)
    found = [refine_on_device(scores, config, LatticesOnDevice(image, device)) for _ in range(2)]
    apart = float(np.abs(found[0] - expected).max())
    equal = float((found[0].argmax(0) == expected.argmax(0)).mean())
    repeats = bool((found[0] == found[1]).all())
    good = repeats and apart <= CRF_FURTHEST and equal >= CRF_SHARE
    return {"largest_difference": apart, "equal_labels": equal, "same_twice": repeats, "good": good}
