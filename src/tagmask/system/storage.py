"""Files in and out: JSON, log lines, map archives; every file is written whole or not at all.

Nothing here needs torch, and nothing here ever unpickles. What cannot be read or written ends in a ``TagmaskError``
that names the file and the remedy.
"""

import errno
import hashlib
import io
import json
import os
import platform
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int16
from pydantic import ValidationError

from tagmask.conventions import BACKGROUND
from tagmask.errors import TagmaskError

# Whatever a damaged archive may raise.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, zlib.error, zipfile.BadZipFile)
_SPACE = "free some space and run the same command again; finished files are kept"
_RIGHTS = "make the folder writable or choose another output folder"
_REMEDIES = {
    errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EFBIG: _SPACE, errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS, errno.ENOTDIR: _RIGHTS, errno.EEXIST: _RIGHTS, errno.EISDIR: _RIGHTS,
    errno.ENAMETOOLONG: "choose a shorter output folder or shorter image names",
}  # fmt: skip

Form = TypeVar("Form")

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Tells the temporary files of this machine from those of others on a shared disk."""

# ── whole files ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system refuses while a path is written into words, with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise TagmaskError(f"cannot write {path}: {error.strerror}; {_REMEDIES[error.errno]}") from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well, and vanishes when it does not.

    The temporary file lies in the same folder (made if missing) and keeps the suffix; it is flushed to the disk before
    it is renamed, so that ``path`` either holds everything or is as it was.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    temporary = path.with_name(f".{HOST}-{os.getpid()}-{secrets.token_hex(6)}.tmp{path.suffix}")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_abandoned(folder: Path, below: bool = True) -> None:
    """Remove temporary files and folders of processes of this host that were killed, in a folder or anywhere below."""
    pattern = f".{HOST}-*-*.tmp*"
    for path in list(folder.rglob(pattern) if below else folder.glob(pattern)):
        process = path.name.removeprefix(f".{HOST}-").partition("-")[0]
        if process.isdecimal() and not is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that ``writing`` has begun, on whatever host."""
    return re.fullmatch(r"\.[0-9a-f]{8}-\d+-[0-9a-f]+\.tmp(\.\w+)?", path.name) is not None


def is_running(process: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):  # no process of ours, so no file of ours
        return True
    return True


def flush(path: Path) -> None:
    """Wait until a file, or the list of names of a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    with writing(path) as temporary:
        temporary.write_bytes(content)


def is_whole(path: Path) -> bool:
    """Whether a file is there and ends as files of its kind do; one that was emptied or cut off is not.

    Files appear only when they are whole, so what is wrong with one has happened since. Damage inside a picture or an
    archive is not looked for.
    """
    try:
        with path.open("rb") as file:
            return _KINDS.get(path.suffix, _has_content)(file)
    except (OSError, ValueError):
        return False


def _has_content(file: BinaryIO) -> bool:
    return len(file.read(1)) == 1


def _is_json(file: BinaryIO) -> bool:
    json.loads(file.read())
    return True


def _ending(file: BinaryIO, length: int) -> bytes:
    file.seek(-length, os.SEEK_END)
    return file.read()


def _is_png(file: BinaryIO) -> bool:
    return _ending(file, 8) == b"IEND\xaeB`\x82"


def _is_archive(file: BinaryIO) -> bool:
    return _ending(file, 22).startswith(b"PK\x05\x06")  # the last record of an archive without a comment


def _is_weights(file: BinaryIO) -> bool:
    """Whether weights are as long as their header says."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    size = int.from_bytes(file.read(8), "little")
    if size > length - 8:
        return False
    header = json.loads(file.read(size))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + size + max(ends, default=0) == length


_KINDS: dict[str, Callable[[BinaryIO], bool]] = {
    ".json": _is_json,
    ".png": _is_png,
    ".npz": _is_archive,
    ".safetensors": _is_weights,
}


def write_json(path: Path, value: object) -> None:
    """Write JSON, two spaces deep, UTF-8.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path}: JSON holds finite numbers only ({error}); write None instead") from error
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> object:
    """Read JSON.

    Raises:
        TagmaskError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TagmaskError(f"cannot read {path} as JSON: {error}") from error


def read_json_as(path: Path, parse: Callable[[Any], Form], remedy: str) -> Form:
    """Read JSON that must have a form.

    Args:
        path: the file.
        parse: pydantic's check of the form, such as ``TypeAdapter(dict[str, int]).validate_python``.
        remedy: what a person can do where the file holds something else.

    Raises:
        TagmaskError: the file is missing, is not JSON, or has another form.
    """
    content = read_json(path)
    try:
        return parse(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole file"
        raise TagmaskError(f"{path} does not hold what it should ({place}: {first['msg']}); {remedy}") from error


def append_line(path: Path, text: str) -> None:
    """Add one line to a log; a line that a killed process left half-written is closed first.

    Raises:
        ValueError: ``text`` is more than one line.
    """
    if "\n" in text:
        raise ValueError(f"expected one line for {path}, got a text with line breaks; append its lines one by one")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.write(_closing_break(file) + text.encode() + b"\n")


def _closing_break(file: io.BufferedRandom) -> bytes:
    if file.seek(0, os.SEEK_END) == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_HALF_MAX = 65504.0
_AGAIN = "delete it, and `tagmask resume` on its run makes it anew"


@dataclass(frozen=True)
class MapArchive:
    """Activation maps of one image, present classes only.

    Attributes:
        classes: mask id of each map, class i as i + 1; 0 is the background where a method has one.
        maps: the maps, on the image's grid or a coarser one.
        size: rows and columns of the image.
    """

    classes: Int16[np.ndarray, " n"]
    maps: Float32[np.ndarray, "n p q"]
    size: tuple[int, int]

    @property
    def has_background(self) -> bool:
        """Whether the first map is the background's."""
        return len(self.classes) > 0 and int(self.classes[0]) == BACKGROUND


def write_maps(path: Path, archive: MapArchive) -> None:
    """Store maps as float16 in an npz without pickle.

    Raises:
        TagmaskError: a value is NaN or infinite.
    """
    size = np.array(archive.size, np.int64)
    _write_arrays(path, {"classes": archive.classes, "maps": _half(path, archive.maps), "size": size})


def as_written(path: Path, archive: MapArchive) -> MapArchive:
    """What ``read_maps`` would read if ``write_maps`` had written it; raises as the latter does."""
    return replace(archive, maps=_half(path, archive.maps).astype(np.float32))


def read_maps(path: Path) -> MapArchive:
    """Read what ``write_maps`` wrote.

    Raises:
        TagmaskError: the file is missing, truncated or something else.
    """
    arrays = _read_arrays(path, ("classes", "maps", "size"))
    rows, columns = arrays["size"].tolist()
    return MapArchive(arrays["classes"], arrays["maps"].astype(np.float32), (rows, columns))


def write_posteriors(
    path: Path, posteriors: dict[str, Float[np.ndarray, "k h w"]], classes: Int16[np.ndarray, " n"]
) -> None:
    """Store named posteriors, background first, and the mask ids of the present classes, as ``write_maps`` does."""
    halves = {f"posterior_{name}": _half(path, values) for name, values in posteriors.items()}
    _write_arrays(path, {"classes": classes, **halves})


def read_posteriors(path: Path) -> tuple[dict[str, Float32[np.ndarray, "k h w"]], Int16[np.ndarray, " n"]]:
    """Read what ``write_posteriors`` wrote: the named posteriors and the mask ids."""
    arrays = _read_arrays(path, ("classes",))
    classes = arrays.pop("classes")
    return {name.removeprefix("posterior_"): values.astype(np.float32) for name, values in arrays.items()}, classes


def _half(path: Path, values: Float[np.ndarray, "..."]) -> np.ndarray:
    if not np.isfinite(values).all():
        raise TagmaskError(
            f"cannot write {path}: it would hold NaN or infinite values; the network behind it has diverged: train it "
            "again with a lower rate"
        )
    return values.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)
            # A fixed date makes equal arrays equal files.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=1)
    write_bytes(path, buffer.getvalue())


def _read_arrays(path: Path, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise TagmaskError(f"{path} is missing; `tagmask resume` on its run makes it anew") from error
    except _UNREADABLE as error:
        raise TagmaskError(f"cannot read {path}: {error}; {_AGAIN}") from error
    if missing := [name for name in required if name not in arrays]:
        raise TagmaskError(f"{path} holds no {', '.join(missing)}; {_AGAIN}")
    return arrays
