"""Passes in bfloat16 where the machine is quicker at it; weights, sums and results stay in single precision."""

from contextlib import AbstractContextManager, nullcontext

import torch

from tagmask.config import MixedPrecision


def mixed_precision(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[object]:
    """A block whose convolutions and products are computed in bfloat16, or in single precision.

    Args:
        precision: ``bf16``, ``no``, or ``auto``: bfloat16 on the devices for which ``is_quick_in_bf16``.
        device: that computes.
    """
    if precision == "no" or (precision == "auto" and not is_quick_in_bf16(device)):
        return nullcontext()
    # Weights that a pass without gradients has rounded must not be taken for those of one that learns.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def is_quick_in_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; others would imitate them, and be slower than without."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
