"""Compiled passes through a backbone, where most of the time of a training goes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tagmask.contracts import Backbone, Trainable
from tagmask.errors import TagmaskError

COMPILERS = ("c++", "g++", "clang++", "cl")


@contextmanager
def compiled_backbone(trainable: Trainable, wanted: bool, backend: str = "inductor") -> Iterator[None]:
    """Let the passes through a network's backbone be compiled for as long as it trains.

    Heads and losses stay as they are: their sizes change from batch to batch. Random layers draw as without it.

    Args:
        trainable: whose ``backbone``, where it has one, is compiled on its first pass, and anew for other image sizes.
        wanted: False: nothing is done.
        backend: of ``torch.compile``.

    Raises:
        TagmaskError: there is no C++ compiler, of which processors are in need.
    """
    backbone = getattr(trainable, "backbone", None)
    if not wanted or not isinstance(backbone, Backbone):
        yield
        return
    if backend == "inductor":
        _check_compiler(next(backbone.parameters()).device)
    options: Any = {"fallback_random": True} if backend == "inductor" else None
    # On the object and not in its class: state, copies and other backbones know nothing of it.
    vars(backbone)["forward_levels"] = torch.compile(backbone.forward_levels, backend=backend, options=options)
    try:
        yield
    finally:
        del vars(backbone)["forward_levels"]


def _check_compiler(device: torch.device) -> None:
    asked = os.environ.get("CXX")
    if device.type == "cpu" and not any(map(shutil.which, (asked,) if asked else COMPILERS)):
        raise TagmaskError(
            f"training.compile is true, and no C++ compiler ({asked or ', '.join(COMPILERS)}) is on this machine; "
            "install one, or set it to false"
        )
