"""One call at a time works in a run folder."""

import os
import platform
import time
import weakref
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from tagmask.errors import TagmaskError
from tagmask.system.storage import read_json, write_json

LOCKS = ("lock", "lock.json")
"""Files of a lock: what the system locks, and who holds it."""


def lock_for(holder: object, folder: Path) -> None:
    """Keep other calls out of a folder for as long as an object lives, or its process.

    Where the file system knows no locks, nobody is kept out.

    Args:
        holder: the object, such as a run.
        folder: it is made if it is missing.

    Raises:
        TagmaskError: another process is at work there; its host and number are named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / LOCKS[0], is_singleton=True), folder / LOCKS[1]
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise TagmaskError(f"{folder} is in use by {_who(owner)}; wait for it, or stop it.") from error
    except (OSError, NotImplementedError):
        return
    facts = {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M")}
    write_json(owner, facts)
    weakref.finalize(holder, lock.release)


def _who(owner: Path) -> str:
    """Who holds a lock, as far as is known."""
    try:
        found = cast(dict[str, Any], read_json(owner))
        return f"process {found['process']} on {found['host']} since {found['since']}"
    except (TagmaskError, KeyError, TypeError):
        return "another call of tagmask"
