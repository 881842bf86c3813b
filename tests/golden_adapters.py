"""One adapter for each golden file: a function from its ``in_*`` and ``p_*`` arrays to its ``out_*`` arrays.

The functions live in ``adapters/NAME.py`` beside their tolerances; nothing in them belongs to one particular file.
"""

import numpy as np

from adapters import (
    affinity_labels as _affinity_labels,
)
from adapters import (
    cam_aggregate as _cam_aggregate,
)
from adapters import (
    crf_labels as _crf_labels,
)
from adapters import (
    crf_soft as _crf_soft,
)
from adapters import (
    eps as _eps,
)
from adapters import (
    ir_label as _ir_label,
)
from adapters import (
    irn_boundary as _irn_boundary,
)
from adapters import (
    irn_pair_losses as _irn_pair_losses,
)
from adapters import (
    metrics as _metrics,
)
from adapters import (
    poly_schedule as _poly_schedule,
)
from adapters import (
    ppc as _ppc,
)
from adapters import (
    psa_affinity as _psa_affinity,
)
from adapters import (
    psa_walk as _psa_walk,
)
from adapters import (
    resnet38d as _resnet38d,
)
from adapters import (
    seam as _seam,
)
from adapters import (
    sipe_infer as _sipe_infer,
)
from adapters import (
    sipe_train as _sipe_train,
)

affinity_labels = _affinity_labels.affinity_labels
cam_aggregate = _cam_aggregate.cam_aggregate
crf_labels = _crf_labels.crf_labels
crf_soft = _crf_soft.crf_soft
eps = _eps.eps
ir_label = _ir_label.ir_label
irn_boundary = _irn_boundary.irn_boundary
irn_pair_losses = _irn_pair_losses.irn_pair_losses
metrics = _metrics.metrics
poly_schedule = _poly_schedule.poly_schedule
ppc = _ppc.ppc
psa_affinity = _psa_affinity.psa_affinity
psa_walk = _psa_walk.psa_walk
resnet38d = _resnet38d.resnet38d
seam = _seam.seam
sipe_infer = _sipe_infer.sipe_infer
sipe_train = _sipe_train.sipe_train

_TOLERANCES = {
    "affinity_labels": _affinity_labels.TOLERANCE,
    "cam_aggregate": _cam_aggregate.TOLERANCE,
    "crf_labels": _crf_labels.TOLERANCE,
    "crf_soft": _crf_soft.TOLERANCE,
    "eps": _eps.TOLERANCE,
    "ir_label": _ir_label.TOLERANCE,
    "irn_boundary": _irn_boundary.TOLERANCE,
    "irn_pair_losses": _irn_pair_losses.TOLERANCE,
    "metrics": _metrics.TOLERANCE,
    "poly_schedule": _poly_schedule.TOLERANCE,
    "ppc": _ppc.TOLERANCE,
    "psa_affinity": _psa_affinity.TOLERANCE,
    "psa_walk": _psa_walk.TOLERANCE,
    "resnet38d": _resnet38d.TOLERANCE,
    "seam": _seam.TOLERANCE,
    "sipe_infer": _sipe_infer.TOLERANCE,
    "sipe_train": _sipe_train.TOLERANCE,
}


def tolerance(name: str, key: str) -> tuple[float, float]:
    """Absolute and relative tolerance of one output."""
    known = _TOLERANCES.get(name, {})
    return known.get(key, known.get("*", (1e-9, 0.0)))


def undecided(key: str, expected: dict[str, np.ndarray]) -> np.ndarray | bool:
    """Where a label hangs on less than the tolerance of the scores behind it, and may differ."""
    if key.startswith("out_argmax_"):
        return expected[key.replace("argmax", "margin")] < 1e-3
    if key.startswith("out_e2e_") and key.endswith("_label"):
        scores = np.sort(expected[key.replace("_label", "_scores")], axis=0)
        return scores[-1] - scores[-2] < 2e-6 if len(scores) > 1 else False
    kind = key.removeprefix("out_").split("_")[0]  # of ir_label: irn or sipe
    if f"out_{kind}_margin" in expected and not key.endswith("_margin"):
        return expected[f"out_{kind}_margin"] < 0.01
    return False
