"""Copies of what URLs name, in a cache of this machine: all that reads or writes folders works in them."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock
from pydantic import TypeAdapter

from tagmask.errors import TagmaskError
from tagmask.system.cloud.places import Entry, LocalFolder, Storage, place_at
from tagmask.system.cloud.sync import Same, same_content, sync
from tagmask.system.storage import read_json_as, write_json

CACHE = "TAGMASK_CACHE"
"""The variable that names the folder of all copies."""

_VERSIONS = TypeAdapter(dict[str, str])

Tell = Callable[[str], None]


def cache_folder() -> Path:
    """Where copies lie: ``TAGMASK_CACHE``, else ``tagmask`` in the user's folder of caches."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tagmask"
    return Path(os.environ.get(CACHE) or usual)


def mirrored(url: str, tell: Tell = lambda _: None, shallow: bool = False) -> Path:
    """The copy of what a URL names, brought up to date: what is missing there or has changed is fetched.

    Processes that ask for the same wait for each other.

    Args:
        url: of a folder, or of one file.
        tell: receives a sentence on what was fetched.
        shallow: leave out folders in the folder; of one file, bring those beside it.

    Returns:
        The copy of the folder or the file.

    Raises:
        TagmaskError: nothing is there, or it cannot be fetched.
    """
    place = place_at(url)
    if isinstance(place, LocalFolder):
        return place.path
    name, is_file = PurePosixPath(place.root).name, place.is_file()
    home = _home("mirrors", place)
    folder = home / ("files" if is_file else name or "files")
    source = place.parent() if is_file else place
    with FileLock(home / "lock"):
        target = LocalFolder(folder)
        done = sync(
            source, target, delete=True, is_same=_unchanged(home, source, target), wants=_wants(name, is_file, shallow)
        )
        write_json(home / "versions.json", {name: entry.version for name, entry in done.files.items()})
    tell(f"{place}: {done}; copy in {folder}")
    return folder / name if is_file else folder


@contextmanager
def written_to(out: str | Path, tell: Tell = lambda _: None, part: str = "") -> Iterator[Path]:
    """A folder to write to, which is brought to its URL when the block ends well.

    What lies at the URL is fetched before, so that files which speak of others speak of all of them. When the block
    does not end well, the folder waits in the cache for the next call.

    Args:
        out: a folder of this machine, which is yielded as it is, or a URL.
        tell: receives a sentence on what was brought there.
        part: of the work, which other processes of this machine do not do.
    """
    place = place_at(out)
    if isinstance(place, LocalFolder):
        yield place.path
        return
    home = _home("outgoing", place, part)
    folder = LocalFolder(home / "files")
    with FileLock(home / "lock"):
        folder.path.mkdir(exist_ok=True)
        if place.listing().files:
            sync(place, folder)
        yield folder.path
        tell(f"{place}: {sync(folder, place)}")
        shutil.rmtree(folder.path)


def _home(kind: str, place: Storage, part: str = "") -> Path:
    home = cache_folder() / kind / hashlib.sha256(f"{place.url} {part}".encode()).hexdigest()[:16]
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        told = f"copies of {place} cannot be kept in {home}: {error.strerror}; set {CACHE} to another folder"
        raise TagmaskError(told) from error
    return home


def _wants(name: str, is_file: bool, shallow: bool) -> Callable[[str], bool]:
    if shallow:
        return lambda each: "/" not in each
    return (lambda each: each == name) if is_file else lambda _: True


def _unchanged(home: Path, source: Storage, target: LocalFolder) -> Same:
    """Whether a file is still the one that was fetched: by what storage told of it then, without reading the copy."""
    file = home / "versions.json"
    known = read_json_as(file, _VERSIONS.validate_python, "remove it") if file.exists() else {}
    by_content = same_content(source, target)

    def is_same(name: str, new: Entry, old: Entry) -> bool:
        return known[name] == new.version if new.version and name in known else by_content(name, new, old)

    return is_same
