"""tagmask: image tags in, segmentation masks out.

``tagmask.load(run)(image)`` segments a new image with a finished run; everything else is in the modules.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagmask.config.recipes import load_recipe
    from tagmask.errors import TagmaskError
    from tagmask.inference.predictor import Predictor, load

__all__ = ["Predictor", "TagmaskError", "load", "load_recipe"]

_HOMES = {
    "Predictor": "tagmask.inference.predictor",
    "TagmaskError": "tagmask.errors",
    "load": "tagmask.inference.predictor",
    "load_recipe": "tagmask.config.recipes",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: the command line must not wait for torch to show its help."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tagmask' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
