"""A folder that appears whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagmask.errors import TagmaskError
from tagmask.inference.exported import SETTINGS, read_settings
from tagmask.system.storage import HOST


def refuse_foreign(folder: Path) -> None:
    """Refuse a place that holds anything but an earlier export.

    Raises:
        TagmaskError: it is a file, or a folder of something else.
    """
    if folder.is_dir() and (not any(folder.iterdir()) or _is_export(folder)):
        return
    if folder.exists() or folder.is_symlink():
        raise TagmaskError(f"{folder} is not empty and no export of tagmask; choose another --out folder")


def _is_export(folder: Path) -> bool:
    try:
        read_settings(folder / SETTINGS)
    except TagmaskError:
        return False
    return True


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder`` that takes its place when the block ends well, and vanishes else.

    Raises:
        TagmaskError: there is something else than an earlier export, or nothing may be written there.
    """
    refuse_foreign(folder)
    folder = folder.absolute()
    begun = folder.with_name(f".{HOST}-{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        begun.mkdir(parents=True)
    except OSError as error:
        raise TagmaskError(f"cannot write {folder}: {error.strerror}; choose another --out folder") from error
    try:
        yield begun
        _take_place(begun, folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def _take_place(begun: Path, folder: Path) -> None:
    """Rename a finished folder; what stood in its place is removed only then."""
    for path in (*begun.rglob("*"), begun):
        _flush(path)
    refuse_foreign(folder)  # once more: minutes have passed
    earlier = begun.with_suffix(".old")
    if folder.exists():
        folder.rename(earlier)
    begun.rename(folder)
    shutil.rmtree(earlier, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
