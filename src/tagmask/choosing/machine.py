"""The machine that a run would have: cores, memory, accelerator."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from tagmask.system.workers import available_cores

GIB = 2**30
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


@dataclass(frozen=True)
class Machine:
    """What there is to compute with.

    Attributes:
        cores: processor cores that this process may use.
        memory: bytes of main memory.
        device_memory: bytes of memory of the CUDA device; None without one.
    """

    cores: int
    memory: int
    device_memory: int | None = None

    def __str__(self) -> str:
        """In words."""
        device = "no GPU" if self.device_memory is None else f"a GPU with {self.device_memory / GIB:.0f} GiB"
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{cores}, {self.memory / GIB:.0f} GiB of memory, {device}"


def this_machine() -> Machine:
    """The machine of this process, within the limits that a container or a scheduler sets."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    device = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
    return Machine(available_cores(), min(memory, _limit(_LIMIT)), device)


def _limit(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return 2**62
