"""One loop that trains everything: classifiers, affinity networks and segmenters.

Determinism: the images of a step and their random views are functions of (seed, epoch, index); the dropout noise of a
step is a function of (seed, step, process). A training that was killed and resumed from a checkpoint therefore ends
bit-identical on the CPU to one that never stopped.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from tagmask.config import TrainingConfig
from tagmask.contracts import Batch, Losses, ParameterGroup, Trainable
from tagmask.errors import TagmaskError
from tagmask.networks.memory_format import channels_last
from tagmask.system.processes import on_cpu
from tagmask.system.progress import track
from tagmask.system.storage import append_line, write_bytes
from tagmask.system.workers import in_order
from tagmask.training import checkpoints
from tagmask.training.samples import Sample, Samples


def num_steps(config: TrainingConfig, num_samples: int) -> int:
    """Optimiser steps of a training; an incomplete last batch of all epochs is dropped, as in the references."""
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None
    return max(1, math.floor(config.epochs * num_samples / config.batch_size))


def rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """Learning rate of step 0, 1, ... as a factor of the recipe's rate.

    Poly: (1 - step / total)^power for step < total, then frozen at its last value (the published schedule).
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
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


def batch_keys(num_samples: int, batch_size: int, steps: int, seed: int) -> list[list[tuple[int, int]]]:
    """The (epoch, index) pairs of every step: shuffled epochs, one after the other, cut into batches."""
    epochs = math.ceil(steps * batch_size / num_samples)
    stream = [(e, int(i)) for e in range(epochs) for i in np.random.default_rng([seed, e]).permutation(num_samples)]
    return [stream[start : start + batch_size] for start in range(0, steps * batch_size, batch_size)]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples to a batch; optional fields must be present in all or none."""

    def stacked(name: str) -> Tensor | None:
        values = [getattr(sample, name) for sample in samples]
        return None if values[0] is None else torch.stack(values)

    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=channels_last(torch.stack([sample.image for sample in samples])),
        tags=torch.stack([sample.tags for sample in samples]),
        valid=torch.stack([sample.valid for sample in samples]),
        masks=stacked("mask"),
        saliency=stacked("saliency"),
    )


@dataclass(frozen=True)
class _Collator:
    """Makes the batch of a list of (epoch, index) keys, in loader processes."""

    samples: Samples
    seed: int

    def __call__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        return collate([self.samples.sample(self.seed, epoch, index) for epoch, index in keys])


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
    tensorboard: Any | None

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
        for name, value in losses.items() if self.tensorboard else ():
            self.tensorboard.add_scalar(f"{self.stage}/{name}", value, step)  # pyright: ignore[reportOptionalMemberAccess]


def _tensorboard(config: TrainingConfig, folder: Path) -> Any | None:
    if not config.tensorboard:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (optional dependency)
    except ImportError as error:
        raise TagmaskError(
            "tensorboard is not installed: pip install 'tagmask[tensorboard]', or leave it off."
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))


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
    """
    accelerator = Accelerator(cpu=on_cpu())
    trainable.to(memory_format=torch.channels_last)
    total = num_steps(config, len(samples))
    optimizer = build_optimizer(trainable.parameter_groups(), config)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    start = checkpoints.resume(folder, stage, trainable, optimizer)
    feed = _Feed(_loader(samples, config, seed, start, total, accelerator))
    step_module, optimizer = accelerator.prepare(_Step(trainable.train()), optimizer)
    log = _Log(folder / "log.jsonl", stage, _tensorboard(config, folder) if accelerator.is_main_process else None)
    if accelerator.is_main_process:
        log.drop_after(start)
    began = time.perf_counter()
    steps = track(range(start, total), f"{stage} (training)", total=total, done=start)
    for step in steps:
        factor = rate_at(step, total, config)
        set_rates(optimizer, base_rates, factor)
        torch.manual_seed(hash((seed, step, accelerator.process_index)) % 2**63)
        losses = _optimize(step_module, optimizer, feed, config, accelerator)
        number = step + 1
        if number % config.log_every == 0 or number == total or number == start + 1:
            values = _checked(_averaged(losses, accelerator), stage, number)
            if accelerator.is_main_process:
                log.write(number, base_rates[0] * factor, values, time.perf_counter() - began, feed.waited)
        if number % config.checkpoint_every == 0 or number == total:
            _check_weights(trainable, stage, number)
            if number < total and accelerator.is_main_process:
                checkpoints.save_checkpoint(folder, stage, number, trainable, optimizer)
    accelerator.wait_for_everyone()
    trainable.eval()


class _Feed(Iterator[Batch]):
    """Hands out batches and counts the seconds spent waiting for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches, self.waited = batches, 0.0

    def __next__(self) -> Batch:
        began = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - began
        return batch


def _loader(
    samples: Samples, config: TrainingConfig, seed: int, start: int, total: int, accelerator: Accelerator
) -> Iterator[Batch]:
    """Micro-batches of this process from step ``start`` on."""
    share = config.accumulation * accelerator.num_processes
    if config.batch_size % share:
        raise TagmaskError(
            f"batch_size {config.batch_size} cannot be shared among {accelerator.num_processes} processes times "
            f"{config.accumulation} accumulations; make it a multiple of {share}."
        )
    size = config.batch_size // share
    keys = []
    for batch in batch_keys(len(samples), config.batch_size, total, seed)[start:]:
        mine = batch[accelerator.process_index :: accelerator.num_processes]
        keys += [mine[at : at + size] for at in range(0, len(mine), size)]
    return in_order(_Collator(samples, seed), keys, config.workers, pin_memory=accelerator.device.type == "cuda")


def _optimize(
    step_module: nn.Module,
    optimizer: torch.optim.Optimizer,
    feed: _Feed,
    config: TrainingConfig,
    accelerator: Accelerator,
) -> Losses:
    """One optimiser step; returns the losses averaged over its micro-batches, detached."""
    optimizer.zero_grad(set_to_none=True)
    totals: Losses = {}
    for part in range(config.accumulation):
        batch = next(feed).to(accelerator.device)
        last = part == config.accumulation - 1
        with nullcontext() if last else accelerator.no_sync(step_module):
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                losses = step_module(batch)
            accelerator.backward(torch.stack(list(losses.values())).sum() / config.accumulation)
        for name, value in losses.items():
            totals[name] = totals.get(name, 0) + value.detach() / config.accumulation
    if config.clip_norm is not None:
        accelerator.clip_grad_norm_(step_module.parameters(), config.clip_norm)
    optimizer.step()
    return totals


def _averaged(losses: Losses, accelerator: Accelerator) -> Losses:
    """The mean over processes, so that all of them see the same number and stop together."""
    mean = accelerator.reduce(losses, "mean")
    assert isinstance(mean, dict)
    return mean


def _checked(losses: Losses, stage: str, step: int) -> dict[str, float]:
    values = {name: float(value) for name, value in losses.items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise _diverged(stage, f"the loss `{', '.join(broken)}` became {values[broken[0]]}", step)
    return values


def _check_weights(trainable: Trainable, stage: str, step: int) -> None:
    """A finite loss may have a gradient that is not: what it broke must not become a checkpoint."""
    numbers = [tensor for tensor in trainable.state_dict().values() if tensor.is_floating_point()]
    if not all(bool(tensor.isfinite().all()) for tensor in numbers):
        raise _diverged(stage, "a weight became NaN or infinite", step)


def _diverged(stage: str, what: str, step: int) -> TagmaskError:
    return TagmaskError(
        f"{stage}: {what} at step {step}. Lower the learning rate of this training or set its clip_norm; "
        "the last checkpoint is kept."
    )
