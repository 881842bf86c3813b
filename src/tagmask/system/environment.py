"""Versions, machine and memory behind a result."""

import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path


def environment() -> dict[str, str]:
    """Versions and hardware behind a result."""
    names = ("tagmask", "torch", "timm", "numpy", "numba", "accelerate")
    return {
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def peak_memory() -> int:
    """MiB that this process, or the largest of its finished loader processes, has held at most so far."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return max(resource.getrusage(user).ru_maxrss for user in users) // unit


def _commit() -> str:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
