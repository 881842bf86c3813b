"""What lies in tar files: the files of each image, where their bytes are, and a way to read them in place.

Nothing is ever unpacked under a name that a tar file gives. Files of one image have one name up to its first dot.
"""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tagmask.errors import TagmaskError

_REMEDY = "expected a whole tar file that is not compressed: write or unpack it anew (gunzip)"
_BLOCK = 512
_AFTER_END = 1 << 16  # bytes in which a second tar file, joined by `cat`, would begin

Stamp = tuple[int, int]
"""Size and time of change of a tar file, by which it is known again."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file within a tar file.

    Attributes:
        key: of the image that it belongs to: its path up to the first dot of its name.
        ending: what follows that dot, in lower case, such as ``jpg`` or ``mask.png``.
        start: of its bytes in the tar file.
        size: in bytes.
        flaw: why its bytes cannot be read in place; empty if they can.
    """

    key: str
    ending: str
    start: int
    size: int
    flaw: str = ""

    @property
    def name(self) -> str:
        """Its path in the tar file, but for the case of the ending."""
        return f"{self.key}.{self.ending}"


def members_of(shard: Path) -> Iterator[Member]:
    """The files and links of a tar file in their order; what is hidden or has no ending is passed over.

    Raises:
        TagmaskError: it cannot be read, is compressed, damaged, cut off or two in one, or names files outside.
    """
    try:
        end = shard.stat().st_size
        with tarfile.open(shard, "r:") as file:
            while (each := file.next()) is not None:
                file.members = []  # pyright: ignore[reportAttributeAccessIssue] — of millions, none is asked for again
                if each.size < 0:
                    raise TagmaskError(f"{shard} is damaged at {each.name}, which has {each.size} bytes; {_REMEDY}")
                if (found := _member(each, shard)) is not None:
                    if not found.flaw and found.start + found.size > end:
                        raise TagmaskError(f"{shard} is cut off within {each.name}; {_REMEDY}")
                    yield found
            place = file.offset
        _check_end(shard, place)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise TagmaskError(f"cannot read {shard}: {error}; {_REMEDY}") from error


def _check_end(shard: Path, place: int) -> None:
    """Refuse a tar file that does not end where its last file was found: Python takes a damaged head for the end."""
    with shard.open("rb") as file:
        file.seek(place)
        mark, rest = file.read(_BLOCK), file.read(_AFTER_END)
    if any(mark):
        raise TagmaskError(f"{shard} is damaged at byte {place}; {_REMEDY}")
    if len(mark) < _BLOCK:
        raise TagmaskError(f"{shard} is cut off after {place} bytes, without the mark of its end; {_REMEDY}")
    if any(rest):
        raise TagmaskError(
            f"{shard} goes on after its end at byte {place}, as if two tar files had been joined by `cat`; expected "
            "one: keep them apart, or join them with tar --concatenate"
        )


def _member(each: tarfile.TarInfo, shard: Path) -> Member | None:
    name = each.name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name:
        raise TagmaskError(f"{shard} holds {name!r}; expected paths below the tar file, without `..`: rename it")
    stem, _, ending = parts[-1].partition(".") if parts else ("", "", "")
    if not ending or any(part.startswith(".") for part in parts):
        return None
    if not (each.isreg() or each.islnk() or each.issym()):
        return None
    return Member("/".join((*parts[:-1], stem)), ending.lower(), each.offset_data, each.size, _flaw(each))


def _flaw(each: tarfile.TarInfo) -> str:
    if each.issparse():
        return "it is a sparse file; write the tar file without --sparse"
    return "" if each.isreg() else "it is a link; write the tar file with --dereference --hard-dereference"


def stamp_of(shard: Path) -> Stamp:
    """What a tar file is known by.

    Raises:
        TagmaskError: it is missing.
    """
    try:
        found = shard.stat()
    except OSError as error:
        raise TagmaskError(f"cannot read {shard}: {error}") from error
    return found.st_size, found.st_mtime_ns


def content_of(shard: Path, member: Member, file: BinaryIO | None = None, stamp: Stamp | None = None) -> bytes:
    """The bytes of a file.

    Args:
        shard: the tar file.
        member: the file in it.
        file: the tar file, where somebody has opened it already.
        stamp: of the tar file when the member was found there; None: not known.

    Raises:
        TagmaskError: the tar file is missing or has changed, or the member is no plain file.
    """
    if member.flaw:
        raise TagmaskError(f"cannot read {shard}/{member.name}: {member.flaw}")
    if stamp is not None and stamp_of(shard) != stamp:
        raise TagmaskError(
            f"{shard} has changed since this command looked into it; expected the same file throughout: start the "
            "command again (tagmask resume)"
        )
    try:
        with nullcontext(file) if file is not None else shard.open("rb") as opened:
            opened.seek(member.start)
            content = opened.read(member.size)
    except OSError as error:
        raise TagmaskError(f"cannot read {shard}: {error}") from error
    if len(content) < member.size:
        raise TagmaskError(f"{shard} is cut off within {member.name}; {_REMEDY}")
    return content


@contextmanager
def as_file(shard: Path, member: Member, stamp: Stamp | None = None) -> Iterator[Path]:
    """A file of its own with the same bytes, for what reads paths; it goes with the block.

    Errors within the block that name its path name the tar file and the member in its place.

    Raises:
        TagmaskError: as ``content_of``; or there is no room for the file.
    """
    name = _written(content_of(shard, member, stamp=stamp), f".{member.ending.rpartition('.')[2]}")
    try:
        yield Path(name)
    except TagmaskError as error:
        raise TagmaskError(str(error).replace(name, f"{shard}/{member.name}")) from error.__cause__
    finally:
        Path(name).unlink(missing_ok=True)


def _written(content: bytes, suffix: str) -> str:
    """The name of a new temporary file."""
    name = None
    try:
        descriptor, name = tempfile.mkstemp(suffix=suffix)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise TagmaskError(
            f"cannot write a temporary file of {len(content)} bytes, through which images of tar files are read: "
            f"{error}; make room there, or name another folder with TMPDIR"
        ) from error
    return name
