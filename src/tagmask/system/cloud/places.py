"""Places that hold files: a folder of this machine, or what a URL names in object storage.

Storage is spoken to by fsspec, which knows S3, Google Cloud Storage, Azure, SFTP and more, each by a package of its
own.
"""

import base64
import hashlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Any

from tagmask.errors import TagmaskError, first_line
from tagmask.system.cloud.urls import Url, is_url, shown
from tagmask.system.storage import is_temporary

_MD5 = re.compile(r"[0-9a-f]{32}")
_IN_EXTRA = ("s3fs", "gcsfs")


@dataclass(frozen=True)
class Entry:
    """What a place tells of a file without reading it.

    Attributes:
        size: bytes.
        modified: seconds since 1970; None where it is not told.
        md5: of its content, 32 hexadecimal digits; None where it is not told.
        version: changes whenever the file does; empty where nothing like it is told.
    """

    size: int
    modified: float | None = None
    md5: str | None = None
    version: str = ""


@dataclass(frozen=True)
class Listing:
    """What a place holds.

    Attributes:
        files: by their paths below it, with forward slashes.
        passed_over: what is there and is no file of it, such as linked folders.
    """

    files: dict[str, Entry] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()


class Place(ABC):
    """Where files lie."""

    @abstractmethod
    def listing(self) -> Listing:
        """All files below; none where nothing is there yet."""

    @abstractmethod
    def fetch(self, name: str, to: Path) -> None:
        """Copy a file of it to a path of this machine."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file of it."""


@dataclass(frozen=True)
class LocalFolder(Place):
    """A folder of this machine, or of a disk that it sees."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def listing(self) -> Listing:
        """Folders that are links are not entered, and files that are still being written are left out.

        Raises:
            TagmaskError: it is a file, or a folder of it cannot be read.
        """
        if not self.path.exists():
            return Listing()
        if not self.path.is_dir():
            raise TagmaskError(f"{self.path} is a file; expected a folder")
        files: dict[str, Entry] = {}
        passed_over: list[str] = []
        for folder, subfolders, names in os.walk(self.path, onerror=_refuse_unread):
            here = Path(folder)
            passed_over += [self._name(here / name) for name in subfolders if (here / name).is_symlink()]
            subfolders[:] = sorted(name for name in subfolders if not is_temporary(here / name))
            for path in (here / name for name in names):
                if not path.is_file():
                    passed_over.append(self._name(path))
                elif not is_temporary(path):
                    known = path.stat()
                    files[self._name(path)] = Entry(known.st_size, known.st_mtime)
        return Listing(files, tuple(sorted(passed_over)))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file of it."""
        with _opened(self.path / name) as file, to.open("wb") as copy:
            shutil.copyfileobj(file, copy)

    def remove(self, name: str) -> None:
        """Remove a file of it, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def md5(self, name: str) -> str:
        """Digest of a file, 32 hexadecimal digits."""
        with _opened(self.path / name) as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise TagmaskError(f"{path} cannot be read: {error.strerror}") from error


def _refuse_unread(error: OSError) -> None:
    raise TagmaskError(f"{error.filename} cannot be read: {error.strerror}; nothing was copied") from error


@dataclass(frozen=True)
class Storage(Place):
    """What a URL names.

    Attributes:
        url: the address.
        system: fsspec's.
        root: the path in it.
    """

    url: Url
    system: Any
    root: str

    def __str__(self) -> str:
        return shown(self.url)

    def listing(self) -> Listing:
        """Names of files, as storage tells them; those that end in a slash stand for folders."""
        with _told(self):
            self.system.invalidate_cache()
            found = self._found()
        files = {
            path[len(self.root) :].removeprefix("/"): _entry(facts)
            for path, facts in found.items()
            if facts["type"] == "file" and not path.endswith("/") and path != self.root
        }
        return Listing(files)

    def _found(self) -> dict[str, dict[str, Any]]:
        try:
            return self.system.find(self.root, detail=True)
        except FileNotFoundError:
            return {}

    def is_file(self) -> bool:
        """Whether the address is that of a single file."""
        with _told(self):
            return bool(self.system.isfile(self.root))

    def parent(self) -> "Storage":
        """The place that the file of this address lies in."""
        root, _, name = self.root.rpartition("/")
        return Storage(Url(self.url.removesuffix(name).rstrip("/")), self.system, root)

    def fetch(self, name: str, to: Path) -> None:
        """Download a file."""
        with _told(f"{self}/{name}"):
            self.system.get_file(f"{self.root}/{name}", str(to))

    def put(self, path: Path, name: str) -> None:
        """Upload a file; object storage shows it when it is whole, and not before."""
        with _told(f"{self}/{name}"):
            self.system.put_file(str(path), f"{self.root}/{name}")

    def remove(self, name: str) -> None:
        """Remove a file."""
        with _told(f"{self}/{name}"):
            self.system.rm_file(f"{self.root}/{name}")


def place_at(where: str | Path) -> LocalFolder | Storage:
    """The place of a path or a URL; ``file://`` is a path of this machine.

    Raises:
        TagmaskError: no such kind of storage is known, or its package is not installed.
    """
    if not is_url(where):
        return LocalFolder(Path(where))
    from fsspec.core import url_to_fs  # noqa: PLC0415 (rarely needed)

    url = Url(str(where).rstrip("/"))
    with _packages_named(url):
        system, root = url_to_fs(url)
    kinds = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    return LocalFolder(Path(root)) if "file" in kinds else Storage(url, system, root.rstrip("/"))


@contextmanager
def _packages_named(url: Url) -> Iterator[None]:
    from fsspec.registry import known_implementations  # noqa: PLC0415

    scheme = url.partition("://")[0]
    try:
        yield
    except ImportError as error:
        package = known_implementations.get(scheme, {}).get("class", scheme).partition(".")[0]
        named = "'tagmask[cloud]'" if package in _IN_EXTRA else package
        raise TagmaskError(f"{shown(url)}: {package} is not installed: pip install {named}") from error
    except ValueError as error:
        expected = "expected s3://, gs://, az:// or another address of fsspec"
        raise TagmaskError(f"{shown(url)}: {first_line(error)}; {expected}") from error


@contextmanager
def _told(where: object) -> Iterator[None]:
    """Turn what a package of storage raises, each errors of its own, into words."""
    try:
        yield
    except Exception as error:
        raise TagmaskError(
            f"{where}: {first_line(error)}; is the address right, and may you read and write there? Call the same "
            "command again to go on: what has been copied stays"
        ) from error


# ── what kinds of storage tell of a file ─────────────────────────────────────────────────────────────────────────────


def _entry(facts: dict[str, Any]) -> Entry:
    time = next((facts[key] for key in ("LastModified", "updated", "last_modified", "mtime") if facts.get(key)), None)
    modified, md5 = _seconds(time if time is not None else facts.get("created")), _md5_of(facts)
    version = next((str(facts[key]) for key in ("ETag", "etag", "generation") if facts.get(key)), "")
    return Entry(int(facts["size"]), modified, md5, version or md5 or ("" if modified is None else str(modified)))


def _seconds(time: object) -> float | None:
    told = datetime.fromisoformat(time) if isinstance(time, str) else time
    if isinstance(told, datetime):
        return told.timestamp()
    return float(told) if isinstance(told, float | int) else None


def _md5_of(facts: dict[str, Any]) -> str | None:
    """The digest that a store tells: the ETag of S3 where a file was put in one part, Google's and Azure's MD5."""
    etag = str(facts.get("ETag", "")).strip('"')
    if _MD5.fullmatch(etag):
        return etag
    settings = facts.get("content_settings") or {}
    told = facts.get("md5Hash") or settings.get("content_md5")
    if told:
        return (base64.b64decode(told) if isinstance(told, str) else bytes(told)).hex()
    return None
