"""One loop that trains everything: classifiers, affinity networks and segmenters.

Determinism: the images of a step and their random views are functions of (seed, epoch, index); the dropout noise of a
step is a function of (seed, step, process). A training that was killed and resumed from a checkpoint therefore ends
bit-identical on the CPU to one that never stopped.
"""

import json
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from tagmask.config import TrainingConfig
from tagmask.contracts import Backbone, Batch, Losses, ParameterGroup, Trainable
from tagmask.errors import TagmaskError
from tagmask.networks.depthwise import quick_depthwise
from tagmask.networks.folding import folded
from tagmask.networks.mixed_precision import mixed_precision
from tagmask.system.interruption import held_back
from tagmask.system.processes import on_cpu
from tagmask.system.progress import track
from tagmask.system.storage import append_line, write_bytes
from tagmask.training import checkpoints
from tagmask.training.accumulation import backward_in_parts
from tagmask.training.averaging import WeightAverage
from tagmask.training.batches import Feed, load_batches
from tagmask.training.compilation import compiled_backbone
from tagmask.training.samples import Samples
from tagmask.training.trackers import Trackers, open_trackers


def num_steps(config: TrainingConfig, num_samples: int) -> int:
    """Optimiser steps of a training.

    An incomplete last batch of all epochs is dropped, as in the references; ``min_steps`` are the least.

    Example:
        >>> augment = {"crop": 8}
        >>> config = TrainingConfig(epochs=2, batch_size=4, rate=1, augment=augment, min_steps=3)
        >>> num_steps(config, 10), num_steps(config, 5)
        (5, 3)
    """
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None
    return max(1, config.min_steps, math.floor(config.epochs * num_samples / config.batch_size))


def rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """Learning rate of step 0, 1, ... as a factor of the recipe's rate.

    Poly: (1 - step / total)^power for step < total, then frozen at its last value (the published schedule). It is that
    of the last step whose number ``rate_every`` divides.
    """
    warmup = config.warmup_steps or round(config.warmup_share * total)
    if step < warmup:
        return (step + 1) / warmup
    step -= step % config.rate_every
    done = min(step, total - 1) / total
    if config.schedule == "poly":
        return (1 - done) ** config.power
    return 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1.0


def optimizer_groups(groups: Sequence[ParameterGroup], config: TrainingConfig) -> list[dict[str, Any]]:
    """Learning rate and weight decay of every group.

    New layers learn ``head_factor`` times as fast, biases ``bias_factor`` times as fast as their layer's weights. The
    weights decay, the others only where ``decay`` says so.
    """
    return [
        {
            "params": group.parameters,
            "lr": config.rate
            * group.rate_factor
            * (config.head_factor if group.new else 1.0)
            * (config.bias_factor if group.kind == "bias" else 1.0),
            "weight_decay": config.weight_decay if group.kind == "weight" or config.decay == "all" else 0.0,
        }
        for group in groups
        if group.parameters
    ]


def build_optimizer(groups: Sequence[ParameterGroup], config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD or AdamW over the groups of a network."""
    settings = optimizer_groups(groups, config)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(settings, betas=(config.momentum, 0.999))
    return torch.optim.SGD(settings, momentum=config.momentum)


def set_rates(optimizer: torch.optim.Optimizer, base_rates: Sequence[float], factor: float) -> None:
    """Set every group's learning rate to its base rate times ``factor``."""
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = base * factor


class _Step(nn.Module):
    """The losses behind ``forward``, so that a distributed wrapper sees every pass of a step in one call."""

    def __init__(self, trainable: Trainable) -> None:
        super().__init__()
        self.trainable = trainable

    def forward(self, batch: Batch) -> Losses:
        return self.trainable.losses(batch)


@dataclass
class _Log:
    """The log file of a run: one JSON line per logged step."""

    path: Path
    stage: str
    trackers: Trackers

    def drop_after(self, step: int) -> None:
        """Remove this stage's lines of steps that will be repeated."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if not self._is_later(line, step)]
        write_bytes(self.path, "".join(line + "\n" for line in lines).encode())

    def _is_later(self, line: str, step: int) -> bool:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # a line cut short when the process was killed
            return True
        return entry["stage"] == self.stage and entry["step"] > step

    def write(self, step: int, rate: float, losses: dict[str, float], seconds: float, waited: float) -> None:
        """Append one step: seconds since this call of the training began, and those of them without a batch at hand."""
        entry = {"stage": self.stage, "step": step, "rate": rate, "losses": losses}
        append_line(self.path, json.dumps({**entry, "seconds": round(seconds, 3), "waited": round(waited, 3)}))
        self.trackers.numbers(losses | {"rate": rate}, step)


def train(
    trainable: Trainable, samples: Samples, config: TrainingConfig, *, seed: int, folder: Path, stage: str
) -> None:
    """Train in place; resume from the newest valid checkpoint of this stage in ``folder``.

    Args:
        trainable: network to train, already built, loaded and frozen.
        samples: training data.
        config: optimiser, schedule, batch size and bookkeeping.
        seed: every random draw is a function of it.
        folder: run folder; receives ``log.jsonl`` and ``checkpoints/``.
        stage: name of the training in log and checkpoints.

    Raises:
        TagmaskError: a loss or a weight became NaN or infinite; the last checkpoint is kept.
        KeyboardInterrupt: the call was stopped; the last whole step is kept as a checkpoint.
    """
    accelerator = Accelerator(cpu=on_cpu(), mixed_precision="no")  # `config.precision` decides, not the environment
    trainable.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(trainable.parameter_groups(), config)
    rates = [group["lr"] for group in optimizer.param_groups]  # before a checkpoint brings those of its last step
    total, average = num_steps(config, len(samples)), WeightAverage(trainable, config.average)
    start = checkpoints.resume(folder, stage, trainable, optimizer, average.weights)
    trainable.prepare_training(total)
    course = _Course(trainable, optimizer, rates, config, accelerator, folder, stage, total, start, average)
    try:
        with compiled_backbone(trainable, config.compile), _folded(trainable, config), quick_depthwise(trainable):
            _follow(course, samples, seed)
    except KeyboardInterrupt:
        course.save()
        raise
    average.hand_over(trainable)
    accelerator.wait_for_everyone()
    trainable.eval()


def _folded(trainable: Trainable, config: TrainingConfig) -> AbstractContextManager[None]:
    """What is frozen is folded, unless a compiler is to see it, which does that and more by itself."""
    backbone = getattr(trainable, "backbone", None)
    return nullcontext() if config.compile or not isinstance(backbone, Backbone) else folded(backbone)


@dataclass
class _Course:
    """A training under way.

    Attributes:
        trainable: what is trained.
        optimizer: of its parameters.
        base_rates: learning rate of each of its groups, which the schedule multiplies.
        config: of the training.
        accelerator: the processes that share it.
        folder: of checkpoints and log.
        stage: name of the training.
        total: steps in all.
        number: whole steps done.
        average: of the weights of all steps, if one is kept.
        saved: when the last checkpoint was written.
    """

    trainable: Trainable
    optimizer: torch.optim.Optimizer
    base_rates: list[float]
    config: TrainingConfig
    accelerator: Accelerator
    folder: Path
    stage: str
    total: int
    number: int
    average: WeightAverage
    saved: float = field(default_factory=time.perf_counter)

    def save(self) -> None:
        """Write a checkpoint, unless nothing or everything is done."""
        if 0 < self.number < self.total and self.accelerator.is_main_process:
            checkpoints.save_checkpoint(
                self.folder, self.stage, self.number, self.trainable, self.optimizer, self.average.weights
            )

    def save_if_due(self) -> None:
        """Write a checkpoint after so many steps or seconds; what has diverged is never written."""
        late = time.perf_counter() - self.saved > self.config.checkpoint_seconds
        if late or self.number % self.config.checkpoint_every == 0 or self.number == self.total:
            _check_weights(self.trainable, self.stage, self.number)
            self.save()
            self.saved = time.perf_counter()


def _follow(course: _Course, samples: Samples, seed: int) -> None:
    """All steps that are left."""
    config, accelerator, start, total = course.config, course.accelerator, course.number, course.total
    feed = Feed(load_batches(samples, config, seed, start, total, accelerator))
    step_module, optimizer = accelerator.prepare(_Step(course.trainable.train()), course.optimizer)
    log = _opened_log(course)
    began = time.perf_counter()
    for step in track(range(start, total), f"{course.stage} (training)", total=total, done=start):
        factor = rate_at(step, total, config)
        set_rates(optimizer, course.base_rates, factor)
        torch.manual_seed(hash((seed, step, accelerator.process_index)) % 2**63)
        parts = [next(feed).to(accelerator.device) for _ in range(config.accumulation)]
        with held_back():
            losses = _optimize(step_module, optimizer, parts, config, accelerator)
            course.average.update(course.trainable, step)
            course.number = step + 1
        if course.number % config.log_every == 0 or course.number in (start + 1, total):
            values = _checked(_averaged(losses, accelerator), course.stage, course.number)
            if accelerator.is_main_process:
                log.write(
                    course.number, course.base_rates[0] * factor, values, time.perf_counter() - began, feed.waited
                )
        course.save_if_due()
    log.trackers.finish()


def _opened_log(course: _Course) -> _Log:
    """The log of a training, without the lines of steps that will be repeated."""
    is_main = course.accelerator.is_main_process
    names, settings = course.config.trackers if is_main else (), course.config.model_dump()
    log = _Log(course.folder / "log.jsonl", course.stage, open_trackers(names, course.folder, course.stage, settings))
    if is_main:
        log.drop_after(course.number)
    return log


def _optimize(
    step_module: nn.Module,
    optimizer: torch.optim.Optimizer,
    parts: Sequence[Batch],
    config: TrainingConfig,
    accelerator: Accelerator,
) -> Losses:
    """One optimiser step on a batch in parts; returns its losses, detached."""
    optimizer.zero_grad(set_to_none=True)
    with mixed_precision(config.precision, accelerator.device):
        losses = step_module(parts[0]) if len(parts) == 1 else _in_parts(step_module, parts, accelerator)
    if len(parts) == 1:
        accelerator.backward(torch.stack(list(losses.values())).sum())
    if config.clip_norm is not None:
        accelerator.clip_grad_norm_(step_module.parameters(), config.clip_norm)
    optimizer.step()
    return {name: value.detach() for name, value in losses.items()}


def _in_parts(step_module: nn.Module, parts: Sequence[Batch], accelerator: Accelerator) -> Losses:
    """Losses and gradients of a batch in parts, past the wrapper of several processes, which expects a single pass."""
    step = accelerator.unwrap_model(step_module)
    assert isinstance(step, _Step)
    losses = backward_in_parts(step.trainable, parts)
    if accelerator.num_processes > 1:
        for parameter in step.parameters():
            if parameter.requires_grad:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = accelerator.reduce(gradient, "mean")  # pyright: ignore[reportAttributeAccessIssue]
    return losses


def _averaged(losses: Losses, accelerator: Accelerator) -> Losses:
    """The mean over processes, so that all of them see the same number and stop together."""
    mean = accelerator.reduce(losses, "mean")
    assert isinstance(mean, dict)
    return mean


def _checked(losses: Losses, stage: str, step: int) -> dict[str, float]:
    values = dict(zip(losses, torch.stack([value.double() for value in losses.values()]).tolist(), strict=True))
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise _diverged(stage, f"the loss `{', '.join(broken)}` became {values[broken[0]]}", step)
    return values


def _check_weights(trainable: Trainable, stage: str, step: int) -> None:
    """A finite loss may have a gradient that is not: what it broke must not become a checkpoint."""
    numbers = [tensor for tensor in trainable.state_dict().values() if tensor.is_floating_point()]
    if not torch.stack([tensor.isfinite().all() for tensor in numbers]).all():
        raise _diverged(stage, "a weight became NaN or infinite", step)


def _diverged(stage: str, what: str, step: int) -> TagmaskError:
    return TagmaskError(
        f"{stage}: {what} at step {step}. Lower the learning rate of this training or set its clip_norm; "
        "the last checkpoint is kept."
    )
