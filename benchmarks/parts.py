"""A part of a stage, what it is measured on, and the ways in which parts are done again.

The files of a few images are removed and made again; a training takes a few steps more. Every figure is per unit: a
step, an image, or the run.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from bare_passes import image_seconds, step_seconds, views_of
from measuring import now, seconds

from tagmask.config import Recipe, TrainingConfig
from tagmask.contracts import Backbone, Batch, Losses, Record, Trainable
from tagmask.inference.passes import load_pyramids
from tagmask.networks.saved import save_weights
from tagmask.stages.run import Run
from tagmask.training import engine
from tagmask.training.batches import collate
from tagmask.training.samples import Samples

Work = Callable[[int], tuple[float, float]]  # turn -> seconds of a unit, and those of them spent on waiting for images
Bare = Callable[[int], float]  # turn -> seconds of a unit


@dataclass(frozen=True)
class Part:
    """A part of a stage.

    Attributes:
        stage: its stage.
        name: what is done.
        unit: what seconds are of.
        units: how many the whole run has.
        work: does a few units in a turn; returns the seconds of one, and how many of them were waiting for images.
        bare: makes the bare passes of the same units; returns the seconds of one.
    """

    stage: str
    name: str
    unit: str
    units: int
    work: Work
    bare: Bare | None = None


@dataclass(frozen=True)
class Subject:
    """What is measured: a small run, and the size of the run that figures are told for.

    Attributes:
        run: has gone all the way.
        recipe: of the whole run, with all its steps.
        images: training images of the whole run.
        validation: its validation images.
        turns: how often everything is measured.
        steps: of a training in each turn.
    """

    run: Run
    recipe: Recipe
    images: int
    validation: int
    turns: int
    steps: int
    tagged: Sequence[Record] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tagged", [record for record in self.run.training_records if record.tags])

    def group(self, records: Sequence[Record], turn: int) -> Sequence[Record]:
        """The images of a turn: every ``turns``-th."""
        return records[turn % self.turns :: self.turns]


@dataclass(frozen=True)
class Seen:
    """How a stage shows images to a backbone."""

    run: Run
    backbone: Backbone
    scales: Sequence[float]
    long_side: int | None
    flip: bool
    workers: int

    def load(self, records: Sequence[Record]) -> list[list[torch.Tensor]]:
        """The scales of images, as the stage loads them."""
        normalization = self.backbone.normalization
        loaded = load_pyramids(self.run.dataset, records, self.scales, self.long_side, normalization, self.workers)
        return [images for _, _, images in loaded]

    def reading(self, records: Sequence[Record]) -> float:
        """Seconds of an image to read and scale it."""
        return seconds(lambda: self.load(records)) / len(records)

    def bare(self, records: Sequence[Record]) -> float:
        """Seconds of an image for the bare passes."""
        return image_seconds(self.backbone, self.load(records), self.flip) / len(records)


def read(run: Run, records: Sequence[Record]) -> float:
    """Seconds of an image to read it."""
    return seconds(lambda: [run.dataset.read_image(record) for record in records]) / len(records)


def remove(records: Sequence[Record], paths: Sequence[Callable[[str], Path]]) -> None:
    """Remove files of images."""
    for record in records:
        for path in paths:
            path(record.id).unlink(missing_ok=True)


def made_again(
    subject: Subject,
    records: Sequence[Record],
    paths: Sequence[Callable[[str], Path]],
    make: Callable[[Sequence[Record]], None],
    reading: Callable[[Sequence[Record]], float],
) -> Work:
    """Remove the files of a turn's images and make them again."""

    def work(turn: int) -> tuple[float, float]:
        group = subject.group(records, turn)
        remove(group, paths)
        return seconds(lambda: make(group)) / len(group), reading(group)

    return work


def built(stage: str, build: Callable[[], Trainable]) -> Part:
    """Done once for a training: its network is built, with what it starts from, and written when it has learned."""

    def work(turn: int) -> tuple[float, float]:  # noqa: ARG001 - the same in every turn
        with tempfile.TemporaryDirectory() as out:
            return seconds(lambda: save_weights(Path(out) / "network", build(), {})), 0

    return Part(stage, "build and save the network", "run", 1, work)


def training(subject: Subject, stage: str, network: Trainable, samples: Samples, config: TrainingConfig) -> Part:
    """Steps of a training, the first two of each turn left out; they move weights too little to matter."""
    few: dict[str, Any] = {"epochs": None, "steps": subject.steps + 2, "log_every": 1, "rate": 1e-12}
    short = config.model_copy(update=few)
    backbone = network.backbone
    assert isinstance(backbone, Backbone)
    batch = collate([samples.sample(0, 0, place % len(samples)) for place in range(config.batch_size)])
    network.to(memory_format=torch.channels_last)

    def work(turn: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as out, StepTimes(network) as times:
            engine.train(network, samples, short, seed=turn, folder=Path(out), stage="bench")
            lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
        waited, taken = (lines[-1][key] - lines[0][key] for key in ("waited", "seconds"))
        return times.seconds_per_step(), times.seconds_per_step() * waited / taken

    def bare(turn: int) -> float:  # noqa: ARG001 - the same tensors in every turn
        network.train()
        views = views_of(network, batch)
        return sum(step_seconds(backbone, views) for _ in range(subject.steps)) / subject.steps

    return Part(stage, "steps", "step", engine.num_steps(config, subject.images), work, bare)


class StepTimes:
    """Notes when each step comes to its losses, by whatever clock is used; as a context, while a training lasts."""

    def __init__(self, network: Trainable) -> None:
        self.network, self.began = network, []

    def __enter__(self) -> "StepTimes":
        losses_from = self.network.losses_from  # once a step, also of a batch in parts

        def noted(outputs: Any, batch: Batch) -> Losses:
            self.began.append(now())
            return losses_from(outputs, batch)

        self.network.losses_from = noted  # pyright: ignore[reportAttributeAccessIssue] - of this network alone
        return self

    def __exit__(self, *_: object) -> None:
        del self.network.losses_from

    def seconds_per_step(self) -> float:
        """From the losses of the second step to those of the last: whole steps with loading, optimiser and log."""
        return (self.began[-1] - self.began[1]) / (len(self.began) - 2)
