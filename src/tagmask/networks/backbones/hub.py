"""Pretrained weights of timm models: whether they are at hand or can be fetched, told at once with their address."""

import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import timm
from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache

from tagmask.errors import TagmaskError

_SECONDS = 5.0
_FILES = ("model.safetensors", "pytorch_model.bin")


def check_fetchable(model: str) -> None:
    """Say, within seconds and before anything is begun, if the weights of a timm model cannot be had.

    The hub's own client tries a minute long, in 25 lines, before it gives up.

    Args:
        model: timm's name.

    Raises:
        TagmaskError: they are not in the cache of this machine, and their address does not answer.
    """
    address = _address(model)
    if address is None or _answers(address):
        return
    raise TagmaskError(
        f"the weights of timm model {model!r} are not on this machine, and {address} does not answer. Fetch that file "
        "where there is a network and set `backbone.weights` to its path (the same for a second network of the recipe, "
        "`segmenter.backbone.weights`), or set it to none to start from random values."
    )


def _address(model: str) -> str | None:
    """Where the weights are fetched from; None if they are in the cache, or timm has none for the model."""
    settings = timm.get_pretrained_cfg(model) if ":" not in model else None
    if settings is None:
        return None
    if settings.hf_hub_id and not constants.HF_HUB_OFFLINE:
        names = [settings.hf_hub_filename] if settings.hf_hub_filename else list(_FILES)
        if any(isinstance(try_to_load_from_cache(settings.hf_hub_id, name), str) for name in names):
            return None
        return hf_hub_url(settings.hf_hub_id, names[0])
    return settings.url if isinstance(settings.url, str) and settings.url else None


def _answers(address: str) -> bool:
    """Whether anything answers there, be it to refuse: timm then says what."""
    if Path(address).exists():
        return True
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_SECONDS):
            return True
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False
