"""Which images each step of a training sees, and how they come to it."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import Tensor

from tagmask.config import TrainingConfig
from tagmask.contracts import Batch
from tagmask.errors import TagmaskError
from tagmask.networks.memory_format import channels_last
from tagmask.networks.padding import boxes
from tagmask.system.workers import in_order
from tagmask.training.samples import Sample, Samples

REPETITION = 2**20  # more epochs than there will ever be


class BatchKeys(Sequence[list[tuple[int, int]]]):
    """The (epoch, index) pairs of every step: shuffled epochs, one after the other, cut into batches.

    Each is made when it is asked for; one epoch is held at a time.

    Args:
        num_samples: how many there are.
        batch_size: of a step.
        steps: how many steps there are in all.
        seed: of the shuffling.
    """

    def __init__(self, num_samples: int, batch_size: int, steps: int, seed: int) -> None:
        self.num_samples, self.batch_size, self.steps, self.seed = num_samples, batch_size, steps, seed
        self._epoch: tuple[int, Int64[np.ndarray, " n"]] | None = None

    def __len__(self) -> int:
        return self.steps

    @overload
    def __getitem__(self, step: int) -> list[tuple[int, int]]: ...
    @overload
    def __getitem__(self, step: slice) -> list[list[tuple[int, int]]]: ...
    def __getitem__(self, step: int | slice) -> list[tuple[int, int]] | list[list[tuple[int, int]]]:
        if isinstance(step, slice):
            return [self[number] for number in range(*step.indices(self.steps))]
        if not 0 <= step < self.steps:
            raise IndexError(step)
        return [self._key(step * self.batch_size + place) for place in range(self.batch_size)]

    def _key(self, place: int) -> tuple[int, int]:
        epoch, place = divmod(place, self.num_samples)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.num_samples)
        return epoch, int(self._epoch[1][place])


class BalancedKeys(BatchKeys):
    """The same, but an epoch shows equally many images of each group.

    An image that comes again within an epoch comes in another view: its epoch number is raised by a multiple of
    ``REPETITION``, which draws are a function of.

    Args:
        num_samples: how many there are, which is also the length of an epoch.
        batch_size: of a step.
        steps: how many steps there are in all.
        seed: of the shuffling.
        groups: indices of each group.
    """

    def __init__(self, num_samples: int, batch_size: int, steps: int, seed: int, groups: Sequence[list[int]]) -> None:
        super().__init__(num_samples, batch_size, steps, seed)
        self.groups = groups
        self._drawn: tuple[int, list[tuple[int, int]]] | None = None

    def _key(self, place: int) -> tuple[int, int]:
        epoch, place = divmod(place, self.num_samples)
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, self._epoch_of(epoch)
        return self._drawn[1][place]

    def _epoch_of(self, epoch: int) -> list[tuple[int, int]]:
        random = np.random.default_rng([self.seed, epoch, len(self.groups)])
        rounds = -(-self.num_samples // len(self.groups))
        drawn = [_repeated(group, rounds, random) for group in self.groups]
        order = [index for turn in range(rounds) for index in random.permutation([each[turn] for each in drawn])]
        seen: Counter[int] = Counter()
        keys = []
        for index in map(int, order[: self.num_samples]):
            keys.append((epoch + REPETITION * seen[index], index))
            seen[index] += 1
        return keys


def _repeated(group: Sequence[int], number: int, random: np.random.Generator) -> list[int]:
    """So many of a group, each once before any comes again."""
    turns = [random.permutation(group) for _ in range(-(-number // len(group)))]
    return np.concatenate(turns)[:number].tolist()


@dataclass(frozen=True)
class _Share(Sequence[list[tuple[int, int]]]):
    """The micro-batches of one process from a step on, made when they are asked for."""

    keys: BatchKeys
    start: int
    accumulation: int
    process: int
    num_processes: int

    def __len__(self) -> int:
        return (len(self.keys) - self.start) * self.accumulation

    def __getitem__(self, number: int) -> list[tuple[int, int]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not 0 <= number < len(self):
            raise IndexError(number)
        step, part = divmod(number, self.accumulation)
        mine = self.keys[self.start + step][self.process :: self.num_processes]
        size = len(mine) // self.accumulation
        return mine[part * size : (part + 1) * size]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples to a batch; optional fields must be present in all or none."""

    def stacked(name: str) -> Tensor | None:
        values = [getattr(sample, name) for sample in samples]
        return None if values[0] is None else torch.stack(values)

    tags, valid = (torch.stack([getattr(sample, name) for sample in samples]) for name in ("tags", "valid"))
    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=channels_last(torch.stack([sample.image for sample in samples])),
        tags=tags,
        valid=valid,
        masks=stacked("mask"),
        saliency=stacked("saliency"),
        boxes=boxes(valid),
        most_tags=int((tags > 0).sum(dim=1).amax()),
    )


@dataclass(frozen=True)
class _Collator:
    """Makes the batch of a list of (epoch, index) keys, in loader processes."""

    samples: Samples
    seed: int

    def __call__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        return collate([self.samples.sample(self.seed, epoch, index) for epoch, index in keys])


def load_batches(
    samples: Samples, config: TrainingConfig, seed: int, start: int, total: int, accelerator: Accelerator
) -> Iterator[Batch]:
    """Micro-batches of this process from step ``start`` on, made by loader processes.

    Raises:
        TagmaskError: a batch that cannot be shared evenly.
    """
    share = config.accumulation * accelerator.num_processes
    if config.batch_size % share:
        raise TagmaskError(
            f"batch_size {config.batch_size} cannot be shared among {accelerator.num_processes} processes times "
            f"{config.accumulation} accumulations; make it a multiple of {share}."
        )
    sizes = len(samples), config.batch_size, total, seed
    keys = BalancedKeys(*sizes, samples.groups()) if config.sampling == "balanced" else BatchKeys(*sizes)
    mine = _Share(keys, start, config.accumulation, accelerator.process_index, accelerator.num_processes)
    return in_order(_Collator(samples, seed), mine, config.workers, pin_memory=accelerator.device.type == "cuda")


class Feed(Iterator[Batch]):
    """Hands out batches and counts the seconds spent waiting for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches, self.waited = batches, 0.0

    def __next__(self) -> Batch:
        began = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - began
        return batch
