"""Training checkpoints and finished weights: written whole, read back only if they are whole and fit."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from tagmask.errors import TagmaskError
from tagmask.system.storage import write_bytes

_KEPT = 2  # the newest and, should that one be damaged, the one before
_UNREADABLE = (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile)
_FACTS = "tagmask"  # one entry for all facts: the format stores several in random order, and equal files must be equal


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _paths(folder: Path, stage: str) -> list[Path]:
    """Checkpoints of a stage, oldest first."""
    return sorted((folder / "checkpoints").glob(f"{stage}-[0-9]*.pt"))


def save_checkpoint(folder: Path, stage: str, step: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint and drop all but the newest two.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    state = {"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(folder / "checkpoints" / f"{stage}-{step:08d}.pt", buffer.getvalue())
    for old in _paths(folder, stage)[:-_KEPT]:
        old.unlink()


def resume(folder: Path, stage: str, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest valid checkpoint into network and optimiser; returns the steps already done (0: none found).

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
        except (RuntimeError, ValueError) as error:
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


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def save_weights(path: Path, network: nn.Module, facts: dict[str, str]) -> None:
    """Write a network's state as safetensors together with facts about it; equal contents make equal files.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    write_bytes(path, save(state, metadata={_FACTS: json.dumps(facts, sort_keys=True)}))


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a safetensors file strictly.

    Raises:
        TagmaskError: the file is missing, damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TagmaskError(
            f"{path} cannot be loaded into {type(network).__name__}: {str(error).splitlines()[0]}. "
            "Give a file this stage wrote, or remove it and run the stage again."
        ) from error


def read_facts(path: Path) -> dict[str, str]:
    """The facts of ``save_weights``; empty for a safetensors file from elsewhere.

    Raises:
        TagmaskError: the file is missing or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise TagmaskError(f"{path} is not a readable weights file ({error}); train the stage again.") from error
    return json.loads(metadata.get(_FACTS, "{}"))
