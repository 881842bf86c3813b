"""Settings of a training: optimiser, schedule, augmentation, bookkeeping."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from tagmask.config.base import MIXED_PRECISION, Config, MixedPrecision, Role

Tracker = Literal["aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]
"""Trackers of experiments, as Accelerate names them."""


class AugmentConfig(Config):
    """Random views of a training image; every draw is a function of (seed, epoch, image)."""

    crop: int = Field(gt=0, description="Side of the square crop in pixels.")
    long_side: tuple[int, int] | None = Field(default=None, description="Resize the long side to U{low..high}.")
    scale: tuple[float, float] | None = Field(
        default=None, description="Resize by U(low, high); after long_side if both."
    )
    scale_choices: tuple[PositiveFloat, ...] | None = Field(
        default=None, min_length=1, description="Resize by one of these, each as likely, in place of `scale`."
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of mirroring.")
    jitter: tuple[float, float, float, float] | None = Field(
        default=(0.3, 0.3, 0.3, 0.1), description="Colour jitter: brightness, contrast, saturation, hue."
    )
    padding: Literal["mean", "black", "mirrored"] = Field(
        default="mean",
        description="What surrounds images smaller than the crop: a colour, or the image itself in mirrors, which "
        "leaves its statistics as they are.",
    )

    saliency_resizing: Literal["bilinear", "bicubic"] = Field(
        default="bilinear",
        description="How a saliency map, where the method learns from one, is resized with the image: bilinear, or "
        "bicubic in 256 levels, like the image itself, as EPS publishes.",
    )

    @model_validator(mode="after")
    def _ranges(self) -> "AugmentConfig":
        for name, pair in (("long_side", self.long_side), ("scale", self.scale)):
            if pair is not None and not 0 < pair[0] <= pair[1]:
                raise ValueError(f"{name} must be [low, high] with 0 < low <= high, got {list(pair)}")
        if self.scale is not None and self.scale_choices is not None:
            raise ValueError("scale and scale_choices are two ways to draw one factor; set one of them to null")
        if self.jitter is not None and not (
            min(self.jitter) >= 0 and max(self.jitter[:3]) <= 1 and self.jitter[3] <= 0.5
        ):
            raise ValueError(f"jitter must be within [1, 1, 1, 0.5] and not negative, got {list(self.jitter)}")
        return self


class TrainingConfig(Config):
    """One training: optimiser, schedule, augmentation, bookkeeping."""

    epochs: float | None = Field(default=None, gt=0, description="Passes over the data; set this or steps.")
    steps: int | None = Field(default=None, gt=0, description="Optimiser steps; set this or epochs.")
    min_steps: int = Field(
        default=0,
        ge=0,
        description="Steps at least, where epochs give fewer: few images need as many as many do.",
    )
    batch_size: int = Field(
        default=16, gt=0, description="Images per optimiser step, over all processes and accumulations."
    )
    accumulation: int = Field(
        default=1,
        gt=0,
        description="Parts in which a batch passes through the network, one at a time; losses are those of the whole.",
    )
    optimizer: Literal["sgd", "adamw"] = "sgd"
    rate: float = Field(gt=0, description="Learning rate of pretrained weights.")
    head_factor: float = Field(default=10.0, gt=0, description="Learning rate of new layers, times `rate`.")
    bias_factor: float = Field(default=2.0, gt=0, description="Learning rate of biases, times their layer's.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="The published code trains with 5e-4 (nearly none).")
    weight_decay: float = Field(default=5e-4, ge=0, description="Of the parameters named by `decay`.")
    decay: Literal["weights", "all"] = Field(
        default="weights", description="What decays: weights, or biases and normalisation too, as IRN and SIPE train."
    )
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = Field(default=0.9, gt=0, description="Exponent of the poly schedule.")
    rate_every: int = Field(
        default=1, gt=0, description="Steps for which the schedule's rate stays as it is; the warm-up is not affected."
    )
    warmup_steps: int = Field(default=0, ge=0, description="Linear warm-up.")
    warmup_share: float = Field(
        default=0,
        ge=0,
        le=1,
        description="The same as a share of all steps, warmup_steps go before.",
    )
    sampling: Literal["uniform", "balanced"] = Field(
        default="uniform",
        description="Which images an epoch shows: each once, or as many of each class and of the images without any "
        "class, the rare ones several times in other views.",
    )
    average: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="Keep the exponential average of the weights with this memory (0.99: of about 100 steps); 0: the "
        "last weights.",
    )
    clip_norm: float | None = Field(default=None, gt=0, description="Clip the gradient's norm; none: do not.")
    precision: MixedPrecision = Field(default="no", description=f"Of the steps. {MIXED_PRECISION}")
    augment: AugmentConfig
    workers: Annotated[int, Role.EXECUTION] = Field(
        default=2, ge=0, description="Loader processes; 0 loads in the training process."
    )
    compile: Annotated[bool, Role.EXECUTION] = Field(
        default=False,
        description="Compile the passes through the backbone: equal up to rounding, and slow to begin.",
    )
    checkpoint_every: Annotated[int, Role.EXECUTION] = Field(
        default=200, gt=0, description="Steps between checkpoints."
    )
    checkpoint_seconds: Annotated[float, Role.EXECUTION] = Field(
        default=600, gt=0, description="Seconds after which a checkpoint is written all the same."
    )
    log_every: Annotated[int, Role.EXECUTION] = Field(default=10, gt=0, description="Steps between lines of the log.")
    trackers: Annotated[tuple[Tracker, ...], Role.EXECUTION] = Field(
        default=(), description="Trackers of experiments that are told losses and pictures beside the log of the run."
    )

    @model_validator(mode="after")
    def _length(self) -> "TrainingConfig":
        if (self.epochs is None) == (self.steps is None):
            given = f"epochs={self.epochs} and steps={self.steps} are given".replace("None", "null")
            raise ValueError(f"{given}; set exactly one of them, and the other to null")
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of accumulation {self.accumulation}")
        return self
