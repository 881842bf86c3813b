"""The processes that share a run, started by ``accelerate launch`` or ``torchrun``, on accelerators or on the CPU."""

from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch import Tensor, distributed

LONGEST_WAIT = timedelta(hours=12)


def on_cpu() -> bool:
    """Whether to compute on the CPU: asked for by ``accelerate launch --cpu``, or there is nothing else.

    Accelerate has to be told: otherwise processes started on a machine without an accelerator do not know each other.
    """
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def this_process() -> PartialState:
    """Number and device of this process, and the means to wait for the others.

    The first process calibrates and gathers tables while the others wait for it. Collective calls give up after ten
    minutes by default, which large data would exceed.
    """
    return PartialState(cpu=on_cpu(), timeout=LONGEST_WAIT)


def part_ways() -> None:
    """Close what connects the processes, if anything does; one that ends while it is open may be aborted."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def num_processes() -> int:
    """How many processes share a training step; 1 unless they have been connected."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@torch.no_grad()
def gathered(share: Tensor) -> Tensor:
    """The first axis of all processes' equally large shares, in the order of the batch they were dealt from.

    Image i of a batch is dealt to process i mod (number of processes), as ``engine.train`` does. No gradient passes.
    """
    if num_processes() == 1:
        return share.detach()
    sent = share.detach().contiguous()
    sent = sent.to(torch.uint8) if share.dtype == torch.bool else sent  # not every backend sends truth values
    parts = [torch.empty_like(sent) for _ in range(num_processes())]
    distributed.all_gather(parts, sent)
    return torch.stack(parts, dim=1).flatten(0, 1).to(share.dtype)


@torch.no_grad()
def own_share(whole: Tensor) -> Tensor:
    """This process's share of what ``gathered`` has put together."""
    return whole[distributed.get_rank() :: num_processes()] if num_processes() > 1 else whole


@torch.no_grad()
def of_first_process(tensor: Tensor) -> Tensor:
    """The first process's values on all processes, such as random numbers that all must agree on."""
    if num_processes() > 1:
        distributed.broadcast(tensor, src=0)
    return tensor
