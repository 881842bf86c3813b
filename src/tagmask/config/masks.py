"""Settings of the way from maps to pseudo masks and instances."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from tagmask.config.base import MIXED_PRECISION, Config, MixedPrecision, Role
from tagmask.config.crf import CRF_PRESETS, Crf


class MapsConfig(Config):
    """Multi-scale, mirrored inference of the activation maps."""

    scales: tuple[PositiveFloat, ...] = Field(
        default=(1.0, 0.5, 1.5, 2.0), min_length=1, description="Image scales; summed."
    )
    flip: bool = Field(default=True, description="Add the mirrored image at every scale.")
    base_long_side: int | None = Field(
        default=None, gt=0, description="Resize the image to this long side before scaling."
    )
    size: Literal["image", "feature"] = Field(
        default="image",
        description="Grid the passes are summed and stored on: the image's, or the feature grid of scale 1.",
    )
    resizing: Literal["once", "twice"] = Field(
        default="once",
        description="How a pass comes from its feature grid to the grid of the sum: at once, pixel centres aligned; or "
        "first to the pixels of the scaled image, corners aligned, and from there, as SEAM and PPC on SEAM publish.",
    )
    validation: bool = Field(
        default=False, description="Also make maps of validation images, for their predicted tags."
    )
    tag_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability from which a tag counts as predicted."
    )
    precision: MixedPrecision = Field(default="no", description=f"Of the passes. {MIXED_PRECISION}")
    workers: Annotated[int, Role.EXECUTION] = Field(default=2, ge=0, description="Loader processes.")


class BackgroundConfig(Config):
    """Where the background score comes from."""

    rule: Literal["power", "threshold", "none"] = Field(
        default="power", description="(1 - largest map)^value, or the constant value, or no background at all."
    )
    value: float = Field(default=16, ge=0, description="The power, or the constant.")
    when: Literal["before_walk", "after_walk"] = Field(
        default="before_walk",
        description="Walk along with the maps, as AffinityNet publishes, or be made from the walked maps, as IRN does.",
    )
    walked_maps: Literal["each", "jointly", "unchanged"] = Field(
        default="each",
        description="Walked maps are divided by their own or by their common maximum, or stay what they are, as PPC on "
        "SEAM publishes (after_walk).",
    )
    factor: PositiveFloat | Literal["outlines", "masks"] = Field(
        default=1.0,
        description="On the background's score in pseudo masks; `outlines`: the factor at which the outlines of masks "
        "lie best on edges of the images, found on some training images without any mask; `masks`: the best one for "
        "half of `masks_for_choosing`, with what it is worth on the other half.",
    )
    masks_for_choosing: int = Field(
        default=20, ge=4, description="With `masks`: how many training images with a ground-truth mask are looked at."
    )


class PowerLabels(Config):
    """Confident labels where two powers of the background agree, as AffinityNet makes them."""

    kind: Literal["powers"] = "powers"
    low: float = Field(default=4, gt=0, description="Background power whose foreground is trusted.")
    high: float = Field(default=32, gt=0, description="Background power whose background is trusted.")
    crf: Crf = Field(default=CRF_PRESETS["psa"], description="Dense CRF on both sets of scores.")


class ThresholdLabels(Config):
    """Confident labels where two constant backgrounds agree, as IRN makes them."""

    kind: Literal["thresholds"] = "thresholds"
    foreground: float = Field(default=0.3, ge=0, description="Background constant whose foreground is trusted.")
    background: float = Field(default=0.05, ge=0, description="Background constant whose background is trusted.")
    crf: Crf = Field(default=CRF_PRESETS["irn"], description="Dense CRF on both masks.")


class LearntLabels(Config):
    """Confident labels where a background that the method learns and a weaker form of it agree (SIPE)."""

    kind: Literal["learnt"] = "learnt"
    strong: float = Field(default=1.0, gt=0, description="Factor of the background whose foreground is trusted.")
    weak: float = Field(default=0.5, gt=0, description="Factor of the background whose background is trusted.")
    crf: Crf = Field(default=CRF_PRESETS["irn"], description="Dense CRF on both masks.")


AnyLabels = Annotated[PowerLabels | ThresholdLabels | LearntLabels, Field(discriminator="kind")]


class MasksConfig(Config):
    """From scores to pseudo masks."""

    background: BackgroundConfig = BackgroundConfig()
    crf: Crf | None = Field(default=CRF_PRESETS["psa"], description="Dense CRF on the scores; none: leave it out.")
    confident: AnyLabels | None = Field(
        default=None,
        description="Masks are confident labels of the maps, `ignore` where undecided, as SIPE makes them for COCO; "
        "none: the best score wins.",
    )
    ignore_below: float = Field(default=0.0, ge=0, le=1, description="Pixels less confident than this become `ignore`.")
    ignore_value: int | None = Field(
        default=None, ge=0, description="Written for `ignore`; none: 255, or 65535 if 16-bit."
    )
    keep: Annotated[Literal["all", "maps", "walks"], Role.EXECUTION] = Field(
        default="all",
        description="What stays beside the masks: maps and walks; `maps`: walks are not written; `walks`: maps are "
        "removed once all masks are there. Images that are scored or shown in the report keep both.",
    )
    reviews: Literal["use", "ignore"] = Field(
        default="use",
        description="What a person has decided about masks of this run: learn from accepted and corrected ones in "
        "place of pseudo masks, leave rejected ones out, take corrected tags; or go on as if nobody had looked.",
    )
    drawn_times: int = Field(
        default=4,
        gt=0,
        description="How often an image with a drawn mask, reviewed or brought along, is shown to the segmentation "
        "network where another is shown once.",
    )
    workers: Annotated[int, Role.EXECUTION] = Field(
        default=2,
        ge=0,
        description="Processes that make masks, one image each, or threads while maps walk; 0: the main one does it.",
    )


class InstancesConfig(Config):
    """Instance masks from the displacements of IRN."""

    iterations: int = Field(default=300, gt=0, description="Steps along the displacements from every pixel.")
    centre_below: float = Field(
        default=2.5, gt=0, description="Displacements shorter than this, in grid cells, mark the centres of objects."
    )
    background: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Constant background against the walked scores; a learnt background replaces it.",
    )
    smallest_share: float = Field(
        default=0.01, ge=0, lt=1, description="Instances below this share of the image score 0."
    )
    keep_small: bool = Field(default=False, description="Also write the instances that score 0.")
    workers: Annotated[int, Role.EXECUTION] = Field(default=2, ge=0, description="Loader processes.")
