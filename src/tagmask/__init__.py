"""tagmask: image tags in, segmentation masks out.

``tagmask.load(run)(image)`` segments a new image with a finished run. ``begin_run``, ``run_all`` and ``evaluate`` make
one from Python, ``open_run`` goes on with one, and ``tagmask.Run(run)`` shows one. What methods of one's own need lies
in ``tagmask.config``, ``tagmask.contracts``, ``tagmask.methods``, ``tagmask.affinity``, ``tagmask.networks`` and
``tagmask.testing``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagmask.config.recipes import load_recipe
    from tagmask.errors import TagmaskError
    from tagmask.inference.predictor import Predictor, load
    from tagmask.scoring.evaluation import evaluate
    from tagmask.stages.pipeline import run_all
    from tagmask.stages.run import begin_run, open_run
    from tagmask.viewing.run import Run

__all__ = ["Predictor", "Run", "TagmaskError", "begin_run", "evaluate", "load", "load_recipe", "open_run", "run_all"]

_HOMES = {
    "Predictor": "tagmask.inference.predictor",
    "Run": "tagmask.viewing.run",
    "TagmaskError": "tagmask.errors",
    "begin_run": "tagmask.stages.run",
    "evaluate": "tagmask.scoring.evaluation",
    "load": "tagmask.inference.predictor",
    "load_recipe": "tagmask.config.recipes",
    "open_run": "tagmask.stages.run",
    "run_all": "tagmask.stages.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: the command line must not wait for torch to show its help."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tagmask' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
