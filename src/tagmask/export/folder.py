"""Which places an export may take."""

from pathlib import Path

from tagmask.errors import TagmaskError
from tagmask.inference.exported import SETTINGS, read_settings


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
