"""Archives unpacked with care: tar, also compressed, and zip; whole or not at all.

An archive can name places outside of its folder, hold links and devices, or swell without end. Plain files and folders
below the new folder are all that is made of it, in bounds that are checked before each file is written.
"""

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

from tagmask.errors import TagmaskError
from tagmask.system.whole_folders import fault_of_name, writing_folder

Wanted = Callable[[PurePosixPath], bool]

MIB = 2**20
_HEADS = 4 * MIB  # what may stand between two files of a tar: their heads, and the block that is read ahead
_SLACK = 256 * MIB  # small archives may swell so far whatever their ratio
_BEGINNINGS = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ": lzma.LZMAFile}
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError,
    NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How far an archive may go.

    Attributes:
        members: how many files and folders it may hold.
        size: MiB that its files may take in all.
        ratio: how many times its own size that may be.
    """

    members: int = 500_000
    size: int = 64 * 1024
    ratio: int = 50


@dataclass(frozen=True)
class _Member:
    """An entry of an archive: its name, what it is if no plain file (``folder``, ``link`` ...), its size in bytes."""

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes] | BufferedIOBase]


def everything(name: PurePosixPath) -> bool:  # noqa: ARG001 — others look at the name
    """Take every file."""
    return True


def unpack(archive: Path, to: Path, wanted: Wanted = everything, limits: Limits = Limits()) -> None:
    """Unpack an archive into a new folder, which appears whole or not at all; the archive stays as it is.

    What macOS adds (``__MACOSX``, ``._name``) is passed over. Rights and dates in the archive do not count.

    Args:
        archive: a tar, plain or compressed by gzip, bzip2 or xz, or a zip; its content decides, not its name.
        to: the new folder.
        wanted: which files to write, by their names in the archive; all are looked at.
        limits: how far it may go.

    Raises:
        TagmaskError: it is damaged or no such archive, goes beyond the limits, or holds a link, a device, or a name
            that is absolute, leads upwards or comes twice; or the folder is not empty.
    """
    with writing_folder(to) as folder, _damage_named(archive):
        gate = _Gate(archive, limits)
        for member in _members(archive):
            name = gate.admit(member)
            if name is not None and wanted(name):
                _write(member, folder / name, archive)


def _write(member: _Member, target: Path, archive: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, MIB)
        if file.tell() != member.size:
            raise TagmaskError(f"{member.name} is cut off in {archive}; fetch the archive again")


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise TagmaskError(f"there is no file {error.filename}; give the archive as it was downloaded") from error
    except _DAMAGED as error:
        raise TagmaskError(
            f"cannot unpack {archive}: {error}; expected a whole tar or zip archive: fetch it again"
        ) from error


# ── what is let through ──────────────────────────────────────────────────────────────────────────────────────────────


class _Gate:
    """Lets plain files and folders with harmless names through, within limits."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self._size_of_archive = archive.stat().st_size
        self._number = self._size = 0
        self._files: set[PurePosixPath] = set()

    def admit(self, member: _Member) -> PurePosixPath | None:
        """Where a file belongs, below the new folder; None: it is no file, or is left out.

        Raises:
            TagmaskError: it must not be unpacked.
        """
        self._count(member)
        fault = fault_of_name(member.name)
        if fault:
            raise self._refused(member, fault)
        name = PurePosixPath(member.name)
        if _is_hidden(name):
            return None
        if member.kind not in ("file", "folder"):
            raise self._refused(member, f"is a {member.kind}; plain files and folders are unpacked alone")
        if name in self._files or not self._files.isdisjoint(name.parents):
            raise self._refused(member, "comes twice")
        if member.kind == "folder":
            return None
        self._files.add(name)
        return name

    def _count(self, member: _Member) -> None:
        self._number, self._size = self._number + 1, self._size + member.size
        limits = self._limits
        if self._number > limits.members:
            raise TagmaskError(
                f"{self._archive} holds more than {limits.members} files and folders; it is not unpacked: is it what "
                "it should be?"
            )
        if self._size > limits.size * MIB or member.size < 0:
            raise TagmaskError(
                f"{self._archive} would take more than {limits.size} MiB; it is not unpacked: is it what it should be?"
            )
        if self._size > max(limits.ratio * self._size_of_archive, _SLACK):
            raise TagmaskError(
                f"{self._archive} would take more than {limits.ratio} times its own {self._size_of_archive} bytes; it "
                "is not unpacked: is it what it should be?"
            )

    def _refused(self, member: _Member, fault: str) -> TagmaskError:
        return TagmaskError(f"{self._archive} is not unpacked: {member.name!r} {fault}; fetch the archive again")


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part == "__MACOSX" or part.startswith("._") or part == ".DS_Store" for part in name.parts)


# ── what archives hold ───────────────────────────────────────────────────────────────────────────────────────────────


def _members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PK"):
        yield from _zip_members(archive)
        return
    opened = next((way for beginning, way in _BEGINNINGS.items() if head.startswith(beginning)), None)
    with opened(archive) if opened else archive.open("rb") as stream:
        yield from _tar_members(_Metered(stream))


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            mode = stat.S_IFMT(entry.external_attr >> 16)
            plain = "folder" if entry.is_dir() else "file"
            kind = plain if mode in (0, stat.S_IFREG, stat.S_IFDIR) else "link or a device"
            kind = "secret" if entry.flag_bits & 1 else kind
            yield _Member(entry.filename, kind, entry.file_size, lambda entry=entry: content.open(entry))


class _Metered:
    """Hands on what a stream holds, no more of it than is allowed: the head of a tar's file can be a trap as well."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream, self._left = stream, _HEADS

    def allow(self, size: int) -> None:
        """Let so many bytes be read from here on, and the heads around them."""
        self._left = size + _HEADS

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes.

        Raises:
            TarError: they are more than allowed.
        """
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(f"more than {_HEADS // MIB} MiB stand between two files")
        return self._stream.read(size)


def _tar_members(stream: _Metered) -> Iterator[_Member]:
    with tarfile.open(fileobj=stream, mode="r|") as content:  # pyright: ignore[reportCallIssue, reportArgumentType] — it asks for no more than `read`
        while (entry := content.next()) is not None:
            stream.allow(max(entry.size, 0))
            yield _Member(entry.name, _kind(entry), entry.size, lambda entry=entry: _opened(content, entry))


def _kind(entry: tarfile.TarInfo) -> str:
    if entry.isdir():
        return "folder"
    is_plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
    return "file" if is_plain else "link, a device or a file with holes"


def _opened(content: tarfile.TarFile, entry: tarfile.TarInfo) -> BufferedIOBase:
    opened = content.extractfile(entry)
    assert isinstance(opened, BufferedIOBase)
    return opened
