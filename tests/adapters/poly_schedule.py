"""Adapter for ``poly_schedule``: learning rates and parameter trajectories of plain SGD under the poly schedule."""

import numpy as np
import torch
from torch import nn

from tagmask.config import AugmentConfig, TrainingConfig
from tagmask.contracts import ParameterGroup
from tagmask.training.engine import build_optimizer, rate_at, set_rates

TOLERANCE = {"*": (1e-9, 0.0)}


def poly_schedule(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Both runs of the file: `a` to the last step, `b` with a shorter schedule that freezes."""
    return {
        f"out_{name}_{run}": values
        for run in ("a", "b")
        for name, values in zip(("lr", "param"), _trajectory(arrays, int(arrays[f"p_max_step_{run}"])), strict=True)
    }


def _trajectory(arrays: dict[str, np.ndarray], total: int) -> tuple[np.ndarray, np.ndarray]:
    config = TrainingConfig(
        steps=total,
        rate=float(arrays["p_lr"]),
        head_factor=1.0,
        bias_factor=float(arrays["p_lr_mult_group2"]),
        momentum=float(arrays["p_effective_momentum"]),
        weight_decay=float(arrays["p_weight_decay_group1"]),
        power=float(arrays["p_power"]),
        augment=AugmentConfig(crop=32),
    )
    weight, bias = (nn.Parameter(torch.tensor([value], dtype=torch.float64)) for value in arrays["in_init"])
    groups = [ParameterGroup([weight], new=False, kind="weight"), ParameterGroup([bias], new=False, kind="bias")]
    optimizer = build_optimizer(groups, config)
    optimizer.param_groups[1]["weight_decay"] = float(arrays["p_weight_decay_group2"])
    base_rates = [group["lr"] for group in optimizer.param_groups]
    rates, parameters = [], []
    for step, gradient in enumerate(arrays["in_grad"]):
        set_rates(optimizer, base_rates, rate_at(step, total, config))
        weight.grad = torch.full_like(weight, float(gradient))
        bias.grad = torch.full_like(bias, float(gradient))
        optimizer.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
        parameters.append([weight.item(), bias.item()])
    return np.array(rates), np.array(parameters)
