"""Pretrained weights from files: read without executing anything in them, load strictly."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tagmask.errors import TagmaskError

# Classifiers and method heads under which public files store what a backbone does not have.
HEADS = frozenset({"fc", "classifier", "head", "head_dist", "heads", "fc8", "f8_3", "f8_4", "f8_5", "f9", "fc_proj"})
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SHOWN = 3


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors, .pth or .pt file, on the CPU.

    Wrappers (``{"state_dict": ...}``) and the ``module.`` prefix of parallel training are taken off. Pickled code is
    never run: files that hold more than tensors and plain containers are refused.

    Raises:
        TagmaskError: missing file, unknown suffix, or no state dict inside.
    """
    path = Path(path)
    if not path.is_file():
        raise TagmaskError(f"no weights file at {path}; give the path of an existing .safetensors or .pth file.")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise TagmaskError(f"cannot read weights from {path.name}: expected a .safetensors, .pth or .pt file.")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
    except Exception as error:  # unpickling garbage can raise nearly anything
        hint = "not a weights file, damaged, or holding more than tensors"
        raise TagmaskError(f"{path} could not be read ({hint}): {error}") from error
    return {name.removeprefix("module."): tensor for name, tensor in _unwrapped(content, path).items()}


def _load_pickle(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict inside the usual wrappers."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise TagmaskError(f"{path} holds no state dict (names to tensors); save the network's state_dict() instead.")
    return {str(name): tensor for name, tensor in content.items()}


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a file into a network, strictly but for classifiers that the network does not have (`HEADS`).

    Raises:
        TagmaskError: unreadable file, or missing, unexpected or mis-shaped tensors; the first of each are named.
    """
    load_state(network, read_weights(path), str(path))


def load_state(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load tensors by name as `load_weights` does; ``source`` is what the error calls them."""
    own = network.state_dict()
    kept = {name: tensor for name, tensor in state.items() if name in own or name.split(".")[0] not in HEADS}
    # Files older than the counter, or of other libraries, lack it; statistics do not depend on it.
    missing = [n for n in own if n not in kept and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in kept if n not in own]
    shapes = [
        f"{n} {tuple(kept[n].shape)} for {tuple(own[n].shape)}"
        for n in own
        if n in kept and kept[n].shape != own[n].shape
    ]
    if missing or unexpected or shapes:
        raise TagmaskError(
            f"the weights in {source} do not fit {type(network).__name__}: {_first('missing', missing)}"
            f"{_first('unexpected', unexpected)}{_first('of another shape', shapes)}"
            "check that the file belongs to this very model, or set `weights: none` to start from random values."
        )
    network.load_state_dict({**own, **kept})


def _first(what: str, names: list[str]) -> str:
    """Sentence part on some names: how many and the first few."""
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more}); " if names else ""
