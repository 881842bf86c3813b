"""Folders that appear whole or not at all, and which names lie in them."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tagmask.errors import TagmaskError
from tagmask.system.storage import HOST, explained, flush


def refuse_filled(path: Path) -> None:
    """Refuse a place that holds anything.

    Raises:
        TagmaskError: it is a file, or a folder that is not empty.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise TagmaskError(f"{path} is not empty; nothing in it is replaced: choose another folder, or remove it first")


@contextmanager
def writing_folder(path: Path, refuse: Callable[[Path], None] = refuse_filled) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` when the block ends well, and vanishes when it does not.

    It lies beside ``path``, hidden, and is flushed to the disk before it is renamed. What ``refuse`` lets be replaced
    is removed only then.

    Args:
        path: the new folder.
        refuse: raises for a place that must stay as it is; asked before the block, and once more after it.

    Raises:
        TagmaskError: ``path`` is refused, the disk is full, or the folder may not be written.
    """
    refuse(path)
    path = path.absolute()
    begun = path.with_name(f".{HOST}-{os.getpid()}-{secrets.token_hex(6)}.tmp")
    with explained(path):
        begun.mkdir(parents=True)
        try:
            yield begun
            for each in (*begun.rglob("*"), begun):
                flush(each)
            refuse(path)  # minutes may have passed
            _take_place(begun, path)
        finally:
            shutil.rmtree(begun, ignore_errors=True)


def fault_of_name(name: str) -> str | None:
    """Why a name in an archive or a bucket is no place below a folder, in words; None if it is.

    >>> fault_of_name("VOCdevkit/VOC2012/a.jpg"), fault_of_name("a/../../b")
    (None, 'leads upwards')
    """
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "leads upwards"
    if "\\" in name or not name.isprintable():
        return "has a backslash or a character that cannot be printed in its name"
    return None


def same_file(source: str | Path, target: str | Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy where the disk knows no such links."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(source, target)


def _take_place(begun: Path, path: Path) -> None:
    earlier = begun.with_suffix(".old")
    if path.exists():
        path.rename(earlier)
    begun.rename(path)
    shutil.rmtree(earlier, ignore_errors=True)
