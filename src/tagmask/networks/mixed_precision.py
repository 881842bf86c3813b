"""Passes in bfloat16 where the machine is quicker at it; weights, sums and results stay in single precision."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace

import torch
from torch import Tensor

from tagmask.config import MixedPrecision
from tagmask.contracts import AnyActivation
from tagmask.errors import TagmaskError

INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""What torch tells of a processor, under names that a version may lack: then there is nothing to be told."""


def mixed_precision(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[object]:
    """A block whose convolutions and products are computed in bfloat16, or in single precision.

    Args:
        precision: ``bf16``, ``no``, or ``auto``: bfloat16 on the devices for which ``is_quick_in_bf16``.
        device: that computes.

    Raises:
        TagmaskError: ``bf16`` on a GPU that has no such numbers.
    """
    if precision == "no" or (precision == "auto" and not is_quick_in_bf16(device)):
        return nullcontext()
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name(device)
        raise TagmaskError(f"{name} cannot compute in bfloat16, which precision=bf16 asks for; set it to auto or no")
    # Weights that a pass without gradients has rounded must not be taken for those of one that learns.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def in_single(activation: AnyActivation) -> AnyActivation:
    """An activation whose grids are in single precision."""
    given = {field.name: getattr(activation, field.name) for field in fields(activation)}
    halves = {name: grid for name, grid in given.items() if isinstance(grid, Tensor) and grid.dtype == torch.bfloat16}
    return replace(activation, **{name: grid.float() for name, grid in halves.items()})


def is_quick_in_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; others would imitate them, and be slower than without."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in INSTRUCTIONS)
