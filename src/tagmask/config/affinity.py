"""Settings of affinity networks and of the random walk."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tagmask.config.backbones import AnyBackbone
from tagmask.config.base import MIXED_PRECISION, Config, MixedPrecision
from tagmask.config.kinds import Kinds
from tagmask.config.masks import AnyLabels, PowerLabels, ThresholdLabels
from tagmask.config.training import TrainingConfig


class AffinityConfig(Config):
    """What all affinity networks share."""

    kind: Any  # each class of settings narrows it to its own name
    stride: int = Field(ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(ge=2, description="Pairs closer than this many grid cells are compared in training.")
    backbone: AnyBackbone | None = Field(default=None, description="None: as the method's.")
    initial: Literal["imagenet", "method"] = Field(
        default="imagenet", description="Start from ImageNet or the classifier."
    )
    labels: AnyLabels = Field(description="How the labels it learns from are made of the maps.")
    training_border: Literal["full", "interior"] = Field(
        default="interior",
        description="Pairs near the border: all inside the image, or from interior sources as published.",
    )
    training: TrainingConfig


class AffinityNetConfig(AffinityConfig):
    """AffinityNet (Ahn & Kwak, CVPR 2018): pairwise affinities learned from confident map labels."""

    kind: Literal["affinitynet"] = "affinitynet"
    levels: tuple[int, int, int] | None = Field(
        default=None,
        description="Backbone levels the head reads; none: three from the grid's stride to the deepest.",
    )
    widths: tuple[int, int, int] = Field(default=(64, 128, 256), description="Channels of the three side features.")
    stride: int = Field(default=8, ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(default=5, ge=2, description="Pairs closer than this many grid cells are compared.")
    labels: AnyLabels = Field(default=PowerLabels(), description="How the labels it learns from are made of the maps.")


class IrnConfig(AffinityConfig):
    """IRN (Ahn, Cho & Kwak, CVPR 2019): class boundaries, and displacements towards the centre of each object."""

    kind: Literal["irn"] = "irn"
    levels: tuple[int, ...] | None = Field(
        default=None,
        min_length=2,
        description="Backbone levels the heads read, finest first; none: the last five main ones, or all.",
    )
    edge_width: int = Field(default=32, gt=0, multiple_of=4, description="Channels of each level in the edge head.")
    displacements: bool = Field(
        default=True, description="Learn displacements too, which instance masks need and nothing else does."
    )
    displacement_width: int = Field(
        default=256, gt=0, multiple_of=64, description="Channels of the coarse levels in the displacement head."
    )
    displacement_factor: float = Field(
        default=10.0, gt=0, description="Learning rate of the displacement head, times the edge head's."
    )
    stride: int = Field(default=4, ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(default=10, ge=2, description="Pairs closer than this many grid cells are compared.")
    walk_radius: int = Field(
        default=5, ge=2, description="The same, at inference: the neighbours of a step of the walk."
    )
    flip: bool = Field(default=True, description="Average the boundaries with those of the mirrored image.")
    padded_to: int | None = Field(
        default=None,
        gt=0,
        description="Side of a square in pixels that images smaller than it are completed to at inference, mean colour "
        "at the right and the bottom, 512 as published: the heads' normalisation sees it. A longer side stays as it "
        "is. None: whole cells alone.",
    )
    damp_boundaries: bool = Field(default=True, description="Multiply what walks by (1 - boundary).")
    labels: AnyLabels = Field(
        default=ThresholdLabels(), description="How the labels it learns from are made of the maps."
    )


AFFINITY_GROUP = "tagmask.affinity_networks"

AFFINITY_KINDS = Kinds(AffinityConfig, (AffinityNetConfig, IrnConfig), AFFINITY_GROUP)

AnyAffinity = Annotated[AffinityConfig, AFFINITY_KINDS]


class StepsByImages(Config):
    """How long maps walk: an affinity network that has seen few images leaks, and a long walk finds every leak."""

    below: int = Field(default=500, gt=0, description="Training images that are no longer few.")
    few: int = Field(default=64, ge=0, description="Steps with fewer images.")
    many: int = Field(default=256, ge=0, description="Steps with as many images or more.")


class WalkConfig(Config):
    """Random walk of the maps along the learned affinities."""

    beta: float = Field(default=8, gt=0, description="Element-wise power of the affinities.")
    stretch: bool = Field(
        default=False,
        description="Bring each map's least value to 0 and its largest to 1 before it walks: likenesses have a floor.",
    )
    map_power: float = Field(default=1.0, gt=0, description="Power of the maps before they walk; SIPE takes 1.5.")
    resizing: Literal["mean", "bilinear"] = Field(
        default="mean",
        description="How maps come to the affinity grid: block means (AffinityNet) or sampled (IRN, SIPE).",
    )
    steps: Annotated[int, Field(ge=0)] | StepsByImages = Field(
        default=256, description="Steps of the walk; or `below`, `few` and `many`, by the number of training images."
    )
    border: Literal["full", "interior"] = Field(default="full", description="As in training; `interior` as published.")
    form: Literal["exact", "chebyshev"] = Field(
        default="chebyshev", description="Step by step, or its polynomial expansion."
    )
    tolerance: float = Field(default=1e-5, gt=0, description="Error bound of the Chebyshev form.")
    base_long_side: int | None = Field(default=None, gt=0, description="Resize the image to this long side first.")
    precision: MixedPrecision = Field(
        default="no", description=f"Of the passes that find affinities; the walk is in float32. {MIXED_PRECISION}"
    )

    def steps_for(self, images: int) -> int:
        """Steps of the walk in a run with so many training images.

        >>> by_images = WalkConfig(steps=StepsByImages())
        >>> WalkConfig().steps_for(20), by_images.steps_for(499), by_images.steps_for(500)
        (256, 64, 256)
        """
        if isinstance(self.steps, int):
            return self.steps
        return self.steps.few if images < self.steps.below else self.steps.many
