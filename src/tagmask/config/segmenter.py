"""Settings of the segmentation network."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from tagmask.config.backbones import AnyBackbone, FreezingConfig
from tagmask.config.base import MIXED_PRECISION, Config, MixedPrecision, Role
from tagmask.config.crf import Crf
from tagmask.config.training import TrainingConfig


class RevisionConfig(Config):
    """The trained network revises the pseudo masks: what it and the scores behind them agree on, tags given."""

    network_weight: float = Field(
        default=0.5,
        gt=0,
        description="Power of the network's probabilities, which multiply the scores behind the pseudo masks.",
    )
    scales: tuple[PositiveFloat, ...] = Field(
        default=(1.0,), min_length=1, description="Image scales of the network; averaged."
    )


class HeadConfig(Config):
    """How the layers on top of the backbone start and learn."""

    weights: Literal["plain", "kaiming_fan_out"] = Field(
        default="plain",
        description="Convolutions start as the head and torch have it, or from N(0, 2 / fan out) (He et al., 2015).",
    )
    batch_norm: Literal["train", "statistics"] = Field(
        default="train", description="What learns (v1, v3): statistics and the affine part, or the statistics alone."
    )
    batch_norm_momentum: float = Field(
        default=0.1, gt=0, le=1, description="Share of a batch in the running statistics (v1, v3)."
    )


class SegmenterConfig(Config):
    """The segmentation network trained on the pseudo masks."""

    kind: Literal["deeplab_v1", "deeplab_v2", "deeplab_v3", "deeplab_v3plus", "semantic_fpn"] = "deeplab_v3plus"
    backbone: AnyBackbone | None = Field(
        default=None, description="None: the method's backbone, from its initial weights."
    )
    freezing: FreezingConfig | None = Field(
        default=None, description="What of the backbone learns here; none: as its own settings say."
    )
    initial: Literal["imagenet", "method"] = Field(
        default="imagenet", description="Start from the backbone's own weights or from the trained classifier."
    )
    width: int = Field(default=256, gt=0, description="Channels of the decoder.")
    rates: tuple[NonNegativeInt, ...] = Field(
        default=(6, 12, 18), min_length=1, description="Dilations of the atrous branches; 0 is a 1x1 convolution (v3)."
    )
    low_level_width: int = Field(default=48, gt=0, description="Channels of the low-level branch (v3+).")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the classifier.")
    head: HeadConfig = Field(default=HeadConfig(), description="How the layers of the head start and learn.")
    maximum_over: tuple[PositiveFloat, ...] = Field(
        default=(),
        description="Scales, 1 first, at which the network looks at a batch: its answer is the pixelwise maximum of "
        "their logits, and each scale and the maximum have a loss of their own; none: one pass and one loss.",
    )
    learn_from: Literal["pseudo_masks", "masks"] = Field(
        default="pseudo_masks",
        description="What it learns from; `masks` are the ground truth of the training images that have any, for as "
        "many steps: the ceiling of all that learns from tags.",
    )
    revision: RevisionConfig | None = Field(
        default=None, description="Let the trained network revise the pseudo masks; none: leave them as they are."
    )
    padding: Literal["pass", "cut"] = Field(
        default="pass",
        description="Training images with padding around them pass as they are, or one by one without it, as images do "
        "at prediction: for images smaller than the crop.",
    )
    class_balance: float = Field(
        default=0,
        ge=0,
        le=1,
        description="Pixels of a class weigh its share of all labelled pixels to the power of minus this, and 1 on "
        "average; 0: all weigh 1.",
    )
    dice_weight: float = Field(
        default=0, ge=0, description="Weight of the dice loss of each image's classes, for small and rare objects."
    )
    tag_weight: float = Field(
        default=0,
        ge=0,
        description="Weight of a tag loss on the decoder's features (v3+ and FPN); at prediction the "
        "log-probability of a tag is added to its pixels' scores. Tags are exact where masks are not; 0: no such head.",
    )
    training: TrainingConfig
    scales: tuple[PositiveFloat, ...] = Field(
        default=(1.0,), min_length=1, description="Image scales at prediction; averaged."
    )
    flip: bool = Field(default=True, description="Average with the mirrored image at prediction.")
    base_long_side: int | None = Field(default=None, gt=0, description="Resize images to this long side at prediction.")
    precision: MixedPrecision = Field(default="no", description=f"Of the passes at prediction. {MIXED_PRECISION}")
    crf: Crf | None = Field(default=None, description="Dense CRF on the predictions.")
    workers: Annotated[int, Role.EXECUTION] = Field(default=2, ge=0, description="Loader processes at prediction.")

    @model_validator(mode="after")
    def _maximum_is_of_scales(self) -> "SegmenterConfig":
        scales = self.maximum_over
        if not scales:
            return self
        if scales[0] != 1 or len(scales) == 1 or len(set(scales)) < len(scales):
            raise ValueError(
                f"maximum_over must begin with 1 and name other scales, each once, got {list(scales)}; such as "
                "[1, 0.75, 0.5], or [] for a single pass"
            )
        others = {"tag_weight": self.tag_weight, "dice_weight": self.dice_weight, "padding": self.padding == "cut"}
        if clashing := [name for name, value in others.items() if value]:
            raise ValueError(
                f"maximum_over has losses of its own, which do not go with {', '.join(clashing)}; leave out one of them"
            )
        return self

    def backbone_of(self, recipe_backbone: AnyBackbone) -> AnyBackbone:
        """The settings of the segmenter's backbone, where this is the recipe's."""
        backbone = self.backbone or recipe_backbone
        return backbone if self.freezing is None else backbone.model_copy(update=dict(self.freezing))
