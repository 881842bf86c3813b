"""Versions, machine and memory behind a result."""

import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

PACKAGE = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """Versions and hardware behind a result."""
    names = ("tagmask", "torch", "timm", "numpy", "numba", "accelerate")
    return {
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": commit_of(PACKAGE),
        "when": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def peak_memory() -> int | None:
    """MiB that this process, or the largest of its finished loader processes, has held at most; None on Windows."""
    if resource is None:
        return None
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return max(resource.getrusage(user).ru_maxrss for user in users) // unit


def commit_of(folder: Path) -> str:
    """Commit of the repository that a folder of source files belongs to, with `+changes` where files in it differ.

    ``unknown`` where the folder is in no repository, or only lies inside one that does not hold it, such as that of a
    project whose virtual environment the package is installed in.
    """
    held = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "--short", "HEAD") if held else None
    if not commit:
        return "unknown"
    return f"{commit}+changes" if _git(folder, "status", "--porcelain", "--", ".") else commit


def _git(folder: Path, *words: str) -> str | None:
    """What git answers, or None where it refuses or is not there."""
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
