"""Settings of backbones: which network sees the images, from which weights."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from tagmask.config.base import Config

_BatchNorm = Literal["train", "statistics", "fixed", "frozen"]
_Frozen = NonNegativeInt | Literal["all"]
_LEARNING = (
    "What learns: statistics and the affine part (`train`), the statistics alone (`statistics`), the affine part "
    "alone (`fixed`), neither (`frozen`). Where statistics learn, training normalises by those of the batch."
)
_MOMENTUM = "Share of a batch in the running statistics; none: the model's own, 0.1 in most."


class FreezingConfig(Config):
    """What of a backbone learns, where it is not as the backbone's own settings say."""

    frozen_stages: _Frozen = Field(default=0, description="Stages without learning, counted from the input, or `all`.")
    batch_norm: _BatchNorm = Field(default="fixed", description=_LEARNING)
    batch_norm_momentum: float | None = Field(default=None, gt=0, le=1, description=_MOMENTUM)


class TimmBackbone(Config):
    """Any model of the timm library."""

    kind: Literal["timm"] = "timm"
    model: str = Field(description="timm model name, such as resnet50.")
    weights: str = Field(default="pretrained", description="`pretrained`, `none`, or a local .safetensors / .pth file.")
    output_stride: Literal[8, 16, 32] = Field(
        default=16, description="Stride of the deepest grid; a model that cannot be dilated has only one."
    )
    own_stride: bool = Field(
        default=False,
        description="Whether a model that cannot have `output_stride` keeps its own, instead of being refused; true "
        "where `--set` exchanges the model of a recipe.",
    )
    dilated: bool = Field(
        default=True, description="False: a stage whose stride is removed keeps undilated kernels, as IRN and SIPE do."
    )
    mean: tuple[float, float, float] | None = Field(default=None, description="RGB mean; none: the model's own.")
    std: tuple[float, float, float] | None = Field(default=None, description="RGB deviation; none: the model's own.")
    pad_type: str | None = Field(default=None, description="`same` for weights converted from TensorFlow.")
    frozen_stages: _Frozen = Field(
        default=0,
        description="Stages without learning, counted from the input; `all`: its levels are used as they are.",
    )
    batch_norm: _BatchNorm = Field(default="fixed", description=_LEARNING)
    batch_norm_momentum: float | None = Field(default=None, gt=0, le=1, description=_MOMENTUM)


class Resnet38dBackbone(Config):
    """Wide ResNet-38 (Wu et al., 2019) in the dilated form of the weak-supervision literature."""

    kind: Literal["resnet38d"] = "resnet38d"
    weights: str = Field(description="`none`, the published MXNet .params file, or a .pth / .safetensors file.")
    frozen_stages: _Frozen = Field(
        default=2, description="Stages without learning: conv1a, b2, b3, ... (2: as published), or `all`."
    )
    batch_norm: _BatchNorm = Field(default="frozen", description=_LEARNING)
    batch_norm_momentum: float | None = Field(default=None, gt=0, le=1, description=_MOMENTUM)
    batch_norm_eps: float = Field(
        default=1e-5, gt=0, description="1e-5 as in the references; the weights had 1.001e-5."
    )


AnyBackbone = Annotated[TimmBackbone | Resnet38dBackbone, Field(discriminator="kind")]
