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


@dataclass(frozen=True, slots=True)
class Member:
    """A file within a tar file.

    Attributes:
        key: of the image that it belongs to: its path up to the first dot of its name.
        ending: what follows that dot, in lower case, such as ``jpg`` or ``mask.png``.
        start: of its bytes in the tar file.
        size: in bytes.
    """

    key: str
    ending: str
    start: int
    size: int

    @property
    def name(self) -> str:
        """Its path in the tar file, but for the case of the ending."""
        return f"{self.key}.{self.ending}"


def members_of(shard: Path) -> Iterator[Member]:
    """The files of a tar file in their order; what is hidden or has no ending is passed over.

    Raises:
        TagmaskError: it cannot be read, is compressed or cut off, or names files outside of itself.
    """
    try:
        end = shard.stat().st_size
        with tarfile.open(shard, "r:") as file:
            while (each := file.next()) is not None:
                file.members = []  # pyright: ignore[reportAttributeAccessIssue] — of millions, none is asked for again
                if each.isreg() and not each.issparse() and (found := _member(each, shard)) is not None:
                    if found.start + found.size > end:
                        raise TagmaskError(f"{shard} is cut off within {each.name}; {_REMEDY}")
                    yield found
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise TagmaskError(f"cannot read {shard}: {error}; {_REMEDY}") from error


def _member(each: tarfile.TarInfo, shard: Path) -> Member | None:
    name = each.name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name:
        raise TagmaskError(f"{shard} holds {name!r}; expected paths below the tar file, without `..`: rename it")
    stem, _, ending = parts[-1].partition(".") if parts else ("", "", "")
    if not stem or not ending:
        return None
    return Member("/".join((*parts[:-1], stem)), ending.lower(), each.offset_data, each.size)


def content_of(shard: Path, member: Member, file: BinaryIO | None = None) -> bytes:
    """The bytes of a file.

    Args:
        shard: the tar file.
        member: the file in it.
        file: the tar file, where somebody has opened it already.

    Raises:
        TagmaskError: the tar file is missing, or has become shorter.
    """
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
def as_file(shard: Path, member: Member) -> Iterator[Path]:
    """A file of its own with the same bytes, for what reads paths; it goes with the block.

    Errors within the block that name its path name the tar file and the member in its place.
    """
    descriptor, name = tempfile.mkstemp(suffix=f".{member.ending.rpartition('.')[2]}")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content_of(shard, member))
        yield Path(name)
    except TagmaskError as error:
        raise TagmaskError(str(error).replace(name, f"{shard}/{member.name}")) from error.__cause__
    finally:
        Path(name).unlink(missing_ok=True)
