"""What many tests share: the backbone of ``tagmask.testing``, drawn scenes, a recipe of very few steps."""

import os
import shutil
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tagmask.config import Recipe
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Dataset, Record
from tagmask.data.datasets import open_dataset
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import Run, begin_run, open_run
from tagmask.testing import TinyBackbone, tiny_backbone
from typed import contents

__all__ = ["SIZE", "TINY", "TinyBackbone", "tiny_backbone", "tiny_recipe"]

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the processes that tests start too: others run beside them

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


def tiny_recipe(*settings: str) -> Recipe:
    """The toy recipe with 4 scenes of 48 pixels and 4 steps a training; ``settings`` come on top."""
    return load_recipe("toy", [*TINY, *settings])


@pytest.fixture
def record(scenes) -> Record:
    """A scene with a tag."""
    return next(record for record in scenes.split("train") if record.tags)


@pytest.fixture(scope="session")
def scenes() -> Dataset:
    """Four drawn training scenes and two of validation, 48 pixels wide."""
    return open_dataset(tiny_recipe().data, None)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Iterator[Run]:
    """A run of ``tiny_recipe`` that has gone all the way but has not been scored; not to be changed."""
    run = begin_run(tiny_recipe("maps.validation=true"), None, tmp_path_factory.mktemp("runs") / "tiny")
    run_all(run)
    before = contents(run.folder.path)
    yield run
    after = contents(run.folder.path)
    changed = [str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    assert not changed, f"a test changed the run that all tests share: {changed}; use run_copy"


@pytest.fixture
def run_copy(tiny_run, tmp_path) -> Run:
    """The same in a folder of its own, to be changed."""
    return open_run(shutil.copytree(tiny_run.folder.path, tmp_path / "copy"))
