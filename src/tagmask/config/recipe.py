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


class ReportConfig(Config):
    """The report of a run."""

    num_images: int = Field(default=12, ge=0, description="Training images shown, and as many of validation.")


class Recipe(Config):
    """A complete experiment."""

    name: str
    seed: int = Field(default=0, ge=0, description="Every random draw is a function of it.")
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
    def _learnt_labels_have_a_background(self) -> "Recipe":
        labels = {"affinity.labels": self.affinity and self.affinity.labels, "masks.confident": self.masks.confident}
        for where, chosen in labels.items():
            if isinstance(chosen, LearntLabels) and not self.method.learns_background:
                raise ValueError(
                    f"{where} of kind `learnt` need a background in the maps, and this method ({self.method.kind}) "
                    "gives none; take `powers` or `thresholds`, or a method that learns one"
                )
        return self
