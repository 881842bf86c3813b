"""One call at a time works in a run folder, or many shards of a stage side by side."""

import os
import platform
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from tagmask.errors import TagmaskError
from tagmask.system.shards.claims import claimed, living, told
from tagmask.system.storage import read_json, write_json

LOCKS = ("lock", "lock.json")
"""Files of a lock: what the system locks, and who holds it."""

CLAIMS = "claims"
"""The folder of what shards claim."""

PATIENCE = 1.0  # seconds: a shard that comes or goes holds the lock for an instant


class InUseError(TagmaskError):
    """Somebody else works in the folder."""


def lock_for(holder: object, folder: Path) -> None:
    """Keep other calls out of a folder for as long as an object lives, or its process.

    Where the file system knows no locks, nobody is kept out but by shards.

    Args:
        holder: the object, such as a run.
        folder: it is made if it is missing.

    Raises:
        InUseError: another process is at work there, or shards are; hosts and numbers are named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder)
    if shards := living(folder / CLAIMS):
        if lock is not None:
            lock.release()
        raise InUseError(
            f"shards are at work in {folder}: {'; '.join(map(told, shards))}. Wait for them, or stop them; of one that "
            f"was killed on another machine, remove the file in {folder / CLAIMS}."
        )
    with suppress(OSError):
        (folder / CLAIMS).rmdir()
    if lock is None:
        return
    facts = {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M")}
    write_json(folder / LOCKS[1], facts)
    weakref.finalize(holder, lock.release)


@contextmanager
def beside_others(folder: Path, name: str, work: str) -> Iterator[None]:
    """Work in a folder beside other shards, while calls that want it for themselves are kept out.

    The lock is held for an instant only, so that no such call can begin between the look and the claim.

    Args:
        folder: it is there.
        name: of the claim, which tells this shard from the others.
        work: what is done, for people.

    Raises:
        InUseError: another process has the folder for itself, or does the same shard.
    """
    claim = folder / CLAIMS / f"{name}.json"
    with ExitStack() as stack:
        with _for_an_instant(folder):
            is_mine = stack.enter_context(claimed(claim, work))
        if not is_mine:
            raise InUseError(
                f"this shard is being done: {told(claim)}. Wait for it, or stop it; if it was killed on another "
                f"machine, remove {claim}."
            )
        yield


@contextmanager
def _for_an_instant(folder: Path) -> Iterator[None]:
    lock = _locked(folder)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _locked(folder: Path) -> Any:
    """The lock of a folder, held; None where the file system knows none."""
    lock = FileLock(folder / LOCKS[0], is_singleton=True)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise InUseError(f"{folder} is in use by {_who(folder / LOCKS[1])}; wait for it, or stop it.") from error
    except (OSError, NotImplementedError):
        return None
    return lock


def _who(owner: Path) -> str:
    """Who holds a lock, as far as is known."""
    try:
        found = cast(dict[str, Any], read_json(owner))
        return f"process {found['process']} on {found['host']} since {found['since']}"
    except (TagmaskError, KeyError, TypeError):
        return "another call of tagmask"
