"""Settings of the dense CRF."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tagmask.config.base import Config


class CrfConfig(Config):
    """Fully connected CRF (Krähenbühl & Koltun, NeurIPS 2011): one Gaussian and one bilateral kernel."""

    gaussian_sxy: float = Field(default=3, gt=0, description="Standard deviation in pixels of the smoothness kernel.")
    gaussian_weight: float = Field(default=3, ge=0, description="Weight of the smoothness kernel; 0 leaves it out.")
    bilateral_sxy: float = Field(default=80, gt=0, description="Standard deviation in pixels of the appearance kernel.")
    bilateral_srgb: float = Field(
        default=13, gt=0, description="Standard deviation in grey levels of the appearance kernel."
    )
    bilateral_weight: float = Field(default=10, ge=0, description="Weight of the appearance kernel; 0 leaves it out.")
    iterations: int = Field(default=10, ge=0, description="Mean-field iterations; 0 returns the normalised unaries.")
    unary: Literal["soft", "hard"] = Field(
        default="soft", description="From probabilities, or from labels and gt_prob."
    )
    gt_prob: float = Field(default=0.7, gt=0, lt=1, description="Trust in a hard label.")
    num_labels: int | None = Field(
        default=None, ge=2, description="Labels that share what `gt_prob` leaves; none: as many as the image has."
    )
    pad_to_four: bool = Field(
        default=False, description="Repeat the SSE build's zero points (parity with published labels)."
    )


CRF_PRESETS = {
    "psa": CrfConfig(),
    "irn": CrfConfig(bilateral_sxy=50, bilateral_srgb=5, unary="hard"),
    "deeplab": CrfConfig(gaussian_sxy=1, bilateral_sxy=67, bilateral_srgb=3, bilateral_weight=4),
    "seam-seg": CrfConfig(bilateral_sxy=32, iterations=1),
}


def _crf_preset(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in CRF_PRESETS:
        raise ValueError(f"unknown CRF preset {value!r}; known: {', '.join(CRF_PRESETS)}")
    return CRF_PRESETS[value]


Crf = Annotated[CrfConfig, BeforeValidator(_crf_preset)]
