"""Trained networks as files, with facts about what they are; read back only if they are whole and fit."""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from tagmask.errors import TagmaskError
from tagmask.system.storage import write_bytes

_FACTS = "tagmask"  # one entry for all facts: the format stores several in random order, and equal files must be equal


def save_weights(path: Path, network: nn.Module, facts: dict[str, str]) -> None:
    """Write a network's state as safetensors together with facts about it; equal contents make equal files.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    write_bytes(path, save(state, metadata={_FACTS: json.dumps(facts, sort_keys=True)}))


def load_network(path: Path, network: nn.Module, classes: Sequence[str] | None = None) -> None:
    """Load a safetensors file strictly.

    Args:
        path: the file.
        network: what it is loaded into.
        classes: those of the run; None: whatever they are.

    Raises:
        TagmaskError: the file is missing, damaged, or of another network or other classes.
    """
    if classes is not None and path.exists():
        known = json.loads(read_facts(path).get("classes", "null"))
        if known is not None and known != list(classes):
            raise TagmaskError(
                f"{path} was trained on the classes {', '.join(known)}, and the run has {', '.join(classes)}: it "
                "belongs to another run. Remove it and run the stage again"
            )
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
