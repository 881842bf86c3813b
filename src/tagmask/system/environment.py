"""Versions, machine and memory behind a result."""

import ctypes
import os
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


# ── the C library's memory ───────────────────────────────────────────────────────────────────────────────────────────

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_NEVER, _LARGEST = 2**31 - 1, 32 * 2**20  # bytes; glibc allows no more for the second


def keep_freed_memory() -> bool:
    """Let this process keep what tensors have freed, for the next ones; returns whether it does.

    glibc gives blocks of more than 128 KiB back to the system at once. Every tensor of a training step then gets pages
    that the system must make and clear anew: two fifths of the time of a step. Blocks above 32 MiB still go back.

    Nothing is changed where the C library is another one, or where the environment says how its memory is to be kept.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_")) for name in os.environ):
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(*each) for each in ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _NEVER)))
