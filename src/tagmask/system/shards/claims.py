"""Claims: small files that say who works on what, read by every process that sees the folder, on whatever machine.

A claim is made by creating a file that must not be there yet, which local disks and NFS alike grant to one process
only. It is touched while its owner finishes one image after the other. It is void when the owner is a process of this
machine that has ended, or when it was not touched for ``LASTS`` seconds by the clock of the disk.

Two processes may still think that they own the same, where one has slept for so long. That costs time and nothing else:
what is done under a claim gives the same files whoever does it, and files appear whole.
"""

import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tagmask.system.storage import HOST, explained, is_running

LASTS = 600.0
BEAT = 10.0
POLL = 1.0


class Owner(BaseModel):
    """What a claim holds.

    Attributes:
        work: what is claimed, for people.
        host: the machine.
        space: where its process numbers count: containers of one machine have their own.
        process: number of the process.
        since: when it was made.
    """

    work: str
    host: str
    space: int
    process: int
    since: str

    @property
    def is_here(self) -> bool:
        """Whether the owner is a process that this one could see."""
        return (self.host, self.space) == (platform.node(), _space())

    def __str__(self) -> str:
        return f"{self.work} (process {self.process} on {self.host}, since {self.since})"


_held: dict[Path, Owner] = {}
_beats = {"last": 0.0}


def _space() -> int:
    """Number of the space of process numbers; 0 where there is but one."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


@contextmanager
def claimed(path: Path, work: str) -> Iterator[bool]:
    """Claim something for the length of a block, which is told whether it got it.

    Args:
        path: file of the claim; its folder is made if it is missing.
        work: what is claimed, for people.
    """
    taken = _take(path, work)
    try:
        yield taken
    finally:
        if taken:
            _release(path)


@contextmanager
def waited_for(path: Path, work: str) -> Iterator[None]:
    """The same, once nobody else has it."""
    while not _take(path, work):
        beat()
        time.sleep(POLL)
    try:
        yield
    finally:
        _release(path)


def beat() -> None:
    """Touch the claims of this process, now and then: its work goes on."""
    if not _held or time.monotonic() - _beats["last"] < BEAT:
        return
    _beats["last"] = time.monotonic()
    for path in list(_held):
        with suppress(OSError):
            os.utime(path)


def living(folder: Path) -> list[Path]:
    """The claims in a folder that are not void; void ones are removed."""
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    for path in paths:
        if not _lives(path):
            path.unlink(missing_ok=True)
    return [path for path in paths if path.exists()]


def told(path: Path) -> str:
    """A claim in words, and until when it holds if nothing more is heard."""
    owner = _owner(path)
    with suppress(OSError):
        quiet = max(0.0, _now(path.parent) - path.stat().st_mtime)
        return f"{owner or path.stem}, last heard of {quiet:.0f} s ago"
    return str(owner or path.stem)


def _take(path: Path, work: str) -> bool:
    owner = Owner(
        work=work, host=platform.node(), space=_space(), process=os.getpid(), since=time.strftime("%Y-%m-%d %H:%M:%S")
    )
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _lives(path):
            path.unlink(missing_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(owner.model_dump_json())
        except FileExistsError:
            return False
    _held[path] = owner
    return True


def _release(path: Path) -> None:
    """Give a claim back, unless somebody has taken it for void and made it their own."""
    mine = _held.pop(path)
    if _owner(path) == mine:
        path.unlink(missing_ok=True)


def _lives(path: Path) -> bool:
    owner = _owner(path)
    if owner is not None and owner.is_here:
        return path in _held if owner.process == os.getpid() else is_running(owner.process)
    try:
        return _now(path.parent) - path.stat().st_mtime <= LASTS
    except FileNotFoundError:
        return False


def _owner(path: Path) -> Owner | None:
    """Who has a claim; None while its file is being written, or where it was written by something else."""
    try:
        return Owner.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def _now(folder: Path) -> float:
    """Time by the clock that files of a folder are stamped with, which may be that of another machine."""
    probe = folder / f".{HOST}-{os.getpid()}-{secrets.token_hex(6)}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
