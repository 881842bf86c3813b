"""Folders that appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagmask.errors import TagmaskError
from tagmask.system.storage import explained


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` when the block ends well, and vanishes when it does not.

    It lies beside ``path``, hidden, so that it can be renamed.

    Raises:
        TagmaskError: ``path`` is there and not empty, the disk is full, or the folder may not be written.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise TagmaskError(f"{path} is not empty; nothing in it is replaced: choose another folder, or remove it first")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:50]}-", suffix=".tmp", dir=path.parent))
        try:
            temporary.chmod(0o755)  # mkdtemp's own are private
            yield temporary
            if path.is_dir():
                path.rmdir()
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
