"""A complete experiment: one frozen value that holds every setting."""

from typing import Annotated

from pydantic import Field, model_validator

from tagmask.config.affinity import AnyAffinity, WalkConfig
from tagmask.config.backbones import AnyBackbone
from tagmask.config.base import Config, Role
from tagmask.config.data import AnyData
from tagmask.config.masks import InstancesConfig, LearntLabels, MapsConfig, MasksConfig
from tagmask.config.methods import AnyMethod
from tagmask.config.segmenter import SegmenterConfig
from tagmask.config.training import TrainingConfig


class EvaluationConfig(Config):
    """How seeds and masks are scored, where ground truth exists."""

    threshold: float = Field(default=0.2, ge=0, le=1, description="Fixed background constant of the seed score.")
    sweep: tuple[float, float, float] = Field(
        default=(0.0, 0.6, 0.01), description="Thresholds: from, to (excluded), step."
    )

    @model_validator(mode="after")
    def _sweep_has_thresholds(self) -> "EvaluationConfig":
        start, stop, step = self.sweep
        if not (0 <= start < stop <= 1 and (stop - start) / 1000 <= step):
            raise ValueError(
                "sweep must be [from, to, step] with 0 <= from < to <= 1 and at most 1000 steps, got "
                f"{list(self.sweep)}"
            )
        return self


class ReportConfig(Config):
    """The report of a run."""

    num_images: int = Field(default=12, ge=0, description="Training images shown, and as many of validation.")


class Recipe(Config):
    """A complete experiment."""

    name: str
    seed: int = Field(default=0, ge=0, lt=2**32, description="Every random draw is a function of it.")
    data: AnyData
    backbone: AnyBackbone
    method: AnyMethod
    training: TrainingConfig
    maps: MapsConfig = MapsConfig()
    affinity: AnyAffinity | None = Field(description="None leaves out the affinity network and the walk.")
    walk: WalkConfig = WalkConfig()
    masks: MasksConfig = MasksConfig()
    instances: InstancesConfig | None = Field(
        default=None, description="Instance masks (IRN only); none: leave them out."
    )
    segmenter: SegmenterConfig
    evaluation: Annotated[EvaluationConfig, Role.SCORING] = EvaluationConfig()
    report: Annotated[ReportConfig, Role.EXECUTION] = ReportConfig()

    @model_validator(mode="after")
    def _splits_differ(self) -> "Recipe":
        if self.data.val_split == self.data.train_split:
            raise ValueError(
                f"data.val_split and data.train_split are both {self.data.train_split!r}: scores would be those of "
                "images that were learned from; name another split, or set data.val_split to null"
            )
        return self

    @model_validator(mode="after")
    def _factor_has_a_background(self) -> "Recipe":
        background = self.masks.background
        if background.rule == "none" and background.factor != 1 and not self.method.learns_background:
            raise ValueError(
                f"masks.background.factor is {background.factor}, and with masks.background.rule=none there is no "
                "background that it could make stronger or weaker; leave out the factor, or take another rule"
            )
        if self.masks.confident is not None and background.factor != 1:
            raise ValueError(
                f"masks.background.factor is {background.factor}, and masks.confident makes masks of two backgrounds "
                "of its own, which it does not change; leave out one of them"
            )
        return self

    @model_validator(mode="after")
    def _later_stages_find_what_they_read(self) -> "Recipe":
        kept = self.masks.keep
        if kept == "walks" and self.affinity is None:
            raise ValueError(
                "masks.keep is `walks`, and without an affinity network (affinity: null) maps do not walk; take `all`, "
                "or `maps`"
            )
        from_maps = self.affinity is None or self.masks.confident is not None
        revises = self.segmenter.revision is not None and self.segmenter.learn_from == "pseudo_masks"
        later = {
            "segmenter.revision": (revises, "maps" if from_maps else "walks"),
            "instances": (self.instances is not None, "maps"),
        }
        for where, (is_made, needed) in later.items():
            if is_made and kept not in ("all", needed):
                raise ValueError(
                    f"masks.keep is `{kept}`, and {where} reads the {needed} of all images after the masks; take "
                    f"`{needed}` or `all`, or leave {where} out ({where}=null)"
                )
        return self

    @model_validator(mode="after")
    def _learnt_labels_have_a_background(self) -> "Recipe":
        labels = {"affinity.labels": self.affinity and self.affinity.labels, "masks.confident": self.masks.confident}
        for where, chosen in labels.items():
            if isinstance(chosen, LearntLabels) and not self.method.learns_background:
                raise ValueError(
                    f"{where} of kind `learnt` need a background in the maps, and this method ({self.method.kind}) "
                    "gives none; take `powers` or `thresholds`, or a method that learns one"
                )
        return self
