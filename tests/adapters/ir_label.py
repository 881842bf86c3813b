"""Confident labels of maps, against two constant backgrounds (IRN) and against a learnt one and half of it (SIPE)."""

import numpy as np

from tagmask.config import CRF_PRESETS, AnyLabels, LearntLabels, ThresholdLabels
from tagmask.conventions import IGNORE
from tagmask.masks.from_archives import confident_mask, label_posteriors
from tagmask.masks.scores import argmax_classes
from tagmask.system.storage import MapArchive

# The margins are gaps of CRF posteriors, which the lattice fixes to 5e-4.
TOLERANCE = {"*": (1e-3, 0.0)}


def ir_label(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    # Published labels come from a lattice whose points are padded to a multiple of four; where their number is one, the
    # option does nothing.
    lattice = CRF_PRESETS["irn"].model_copy(update={"pad_to_four": True})
    foreground, background = float(arrays["p_fg_thres"]), float(arrays["p_bg_thres"])
    thresholds = ThresholdLabels(foreground=foreground, background=background, crf=lattice)
    learnt = LearntLabels(weak=float(arrays["p_sipe_bg_factor"]), crf=lattice)
    classes = arrays["in_keys"] + 1
    return _labels(arrays, arrays["in_cams"], classes, thresholds, "irn") | _labels(
        arrays, arrays["in_is_cam"], arrays["in_is_keys"], learnt, "sipe"
    )


def _labels(
    arrays: dict[str, np.ndarray], maps: np.ndarray, classes: np.ndarray, config: AnyLabels, name: str
) -> dict[str, np.ndarray]:
    image = arrays["in_image"]
    archive = MapArchive(classes.astype(np.int16), maps, image.shape[:2])
    strong, weak, values = label_posteriors(image, archive, config)
    mask = confident_mask(image, archive, config)
    return {
        f"out_{name}_label": np.where(mask == IGNORE, 255, mask).astype(np.uint8),
        f"out_{name}_fg_pass": argmax_classes(strong, values).astype(np.uint8),
        f"out_{name}_bg_pass": argmax_classes(weak, values).astype(np.uint8),
        f"out_{name}_margin": np.minimum(_margin(strong), _margin(weak)),
    }


def _margin(posterior: np.ndarray) -> np.ndarray:
    if len(posterior) == 1:
        return posterior[0]
    second, first = np.partition(posterior, -2, axis=0)[-2:]
    return first - second
