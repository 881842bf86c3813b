"""Training checkpoints: written whole, read back only if they are whole and fit."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from tagmask.errors import TagmaskError
from tagmask.system.storage import write_bytes

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})
_KEPT = 2  # the newest and, should that one be damaged, the one before
_UNREADABLE = (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile)


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _paths(folder: Path, stage: str) -> list[Path]:
    """Checkpoints of a stage, oldest first."""
    return sorted((folder / "checkpoints").glob(f"{stage}-[0-9]*.pt"))


def save_checkpoint(
    folder: Path,
    stage: str,
    step: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor] = _NOTHING,
) -> None:
    """Write a checkpoint and drop all but the newest two; ``average`` are the averaged weights, if any are kept.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    state = {
        "step": step,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": dict(average),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(folder / "checkpoints" / f"{stage}-{step:08d}.pt", buffer.getvalue())
    for old in _paths(folder, stage)[:-_KEPT]:
        old.unlink()


def resume(
    folder: Path,
    stage: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor] = _NOTHING,
) -> int:
    """Load the newest valid checkpoint into network and optimiser; returns the steps already done (0: none found).

    The averaged weights, if any are kept, are loaded in place.

    Raises:
        TagmaskError: a whole checkpoint, but of another network.
    """
    for path in reversed(_paths(folder, stage)):
        state = _read(path)
        if state is None:
            continue  # cut short by a crash: the one before is used
        try:
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            for name, values in average.items():
                values.copy_(state["average"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TagmaskError(
                f"{path} is a checkpoint of another network ({str(error).splitlines()[0]}). "
                "Remove it to train from the start, or choose another --out folder."
            ) from error
        return int(state["step"])
    return 0


def _read(path: Path) -> dict[str, Any] | None:
    """What a checkpoint holds; None if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not compare the checksums
            if archive.testzip() is not None:
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE:
        return None
    return state if isinstance(state, dict) and state.keys() >= {"step", "network", "optimizer"} else None


def drop(folder: Path, stage: str) -> None:
    """Remove the checkpoints of a finished training."""
    for path in _paths(folder, stage):
        path.unlink()
