"""The processes that share a run, started by ``accelerate launch`` or ``torchrun``, on accelerators or on the CPU."""

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def on_cpu() -> bool:
    """Whether to compute on the CPU: asked for by ``accelerate launch --cpu``, or there is nothing else.

    Accelerate has to be told: otherwise processes started on a machine without an accelerator do not know each other.
    """
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def this_process() -> PartialState:
    """Number and device of this process, and the means to wait for the others."""
    return PartialState(cpu=on_cpu())
