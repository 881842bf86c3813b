"""Training checkpoints and finished weights: written whole, read back only if they are whole and fit."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from tagmask.errors import TagmaskError
from tagmask.storage import writing

_KEPT = 2  # the newest and, should that one be damaged, the one before
_UNREADABLE = (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile)


def _paths(folder: Path, stage: str) -> list[Path]:
    """Checkpoints of a stage, oldest first."""
    return sorted((folder / "checkpoints").glob(f"{stage}-[0-9]*.pt"))


def save(folder: Path, stage: str, step: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint and drop all but the newest two."""
    state = {"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    with writing(folder / "checkpoints" / f"{stage}-{step:08d}.pt") as temporary:
        torch.save(state, temporary)
    for old in _paths(folder, stage)[:-_KEPT]:
        old.unlink()


def resume(folder: Path, stage: str, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest valid checkpoint into network and optimiser; returns the steps already done (0: none found)."""
    for path in reversed(_paths(folder, stage)):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except _UNREADABLE:
            continue  # cut short by a crash: the one before is used
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    return 0


def drop(folder: Path, stage: str) -> None:
    """Remove the checkpoints of a finished training."""
    for path in _paths(folder, stage):
        path.unlink()


def save_weights(path: Path, network: nn.Module, metadata: dict[str, str]) -> None:
    """Write a network's state as safetensors, with text metadata."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    with writing(path) as temporary:
        save_file(state, temporary, metadata=metadata)


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


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise TagmaskError(f"{path} is not a readable weights file ({error}); train the stage again.") from error
