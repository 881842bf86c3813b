"""What many tests share: a backbone of ten lines, drawn scenes, a recipe of very few steps."""

import os

import pytest
import torch
from hypothesis import settings
from torch import nn

from tagmask.config import Recipe
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Backbone, Dataset, Level, Normalization
from tagmask.data.datasets import open_dataset

torch.set_num_threads(1)

# The same examples in every run, however slow the machine; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

SIZE = 48
TRAININGS = ("training", "affinity.training", "segmenter.training")
TINY = (
    *("data.num_train=4", "data.num_val=2", f"data.size={SIZE}", "maps.scales=[1.0]", "maps.workers=0"),
    *("walk.steps=4", "masks.workers=1", "segmenter.workers=0", "segmenter.width=8", "report.num_images=1"),
    *(f"{name}.{setting}" for name in TRAININGS for setting in ("steps=4", "batch_size=2", "workers=0")),
    *(f"{name}.{setting}" for name in TRAININGS for setting in ("warmup_steps=0", f"augment.crop={SIZE}")),
)


class TinyBackbone(Backbone):
    """Three levels of strides 4, 8, 8, no normalisation layers: batches of any split have the same gradients."""

    levels = (Level(8, 4), Level(12, 8), Level(16, 8))
    normalization = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def __init__(self) -> None:
        super().__init__()
        strides, widths = (4, 2, 1), (3, 8, 12, 16)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride, padding=1) for i, stride in enumerate(strides)
        )

    def forward_levels(self, images):
        levels = []
        for convolution in self.convolutions:
            images = torch.relu(convolution(images))
            levels.append(images)
        return levels

    def stages(self):
        return [[convolution] for convolution in self.convolutions]


def tiny_recipe(*settings: str) -> Recipe:
    """The toy recipe with 4 scenes of 48 pixels and 4 steps a training; ``settings`` come on top."""
    return load_recipe("toy", [*TINY, *settings])


def tiny_backbone(seed: int = 0) -> TinyBackbone:
    torch.manual_seed(seed)
    return TinyBackbone()


@pytest.fixture(scope="session")
def scenes() -> Dataset:
    """Four drawn training scenes and two of validation, 48 pixels wide."""
    return open_dataset(tiny_recipe().data, None)
