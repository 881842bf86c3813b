"""Dense CRF on probabilities, for each number of labels and each setting that the outputs' names spell."""

import numpy as np

from tagmask.config import CRF_PRESETS, CrfConfig
from tagmask.masks.crf import Lattices, refine

TOLERANCE = {"*": (5e-4, 0.0)}

_SETTINGS = {
    "g3c3_b80_13c10_t10": CRF_PRESETS["psa"],
    "g3c3_b80_13c10_t1": CrfConfig(iterations=1),
    "g1c3_b67_3c4_t10": CRF_PRESETS["deeplab"],
    "g3c3_only_t5": CrfConfig(bilateral_weight=0, iterations=5),
    "b80_13c10_only_t5": CrfConfig(gaussian_weight=0, iterations=5),
}


def crf_soft(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    lattices = Lattices(arrays["in_image"])
    inputs = {name.removeprefix("in_probs_"): array for name, array in arrays.items() if name.startswith("in_probs_")}
    return {
        f"out_q_{labels}_{name}": refine(
            arrays["in_image"], probabilities, config.model_copy(update={"pad_to_four": True}), lattices
        )
        for labels, probabilities in inputs.items()
        for name, config in _SETTINGS.items()
    }
