"""One place made to hold what another does: what is missing or differs is copied, and nothing else.

Files arrive whole or not at all, several at a time; called again, it goes on where it was stopped. What tells that
somebody works in a run folder is never copied, and a folder in which somebody does is refused.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from tagmask.errors import TagmaskError
from tagmask.system.cloud.places import Entry, LocalFolder, Storage
from tagmask.system.lock import CLAIMS, LOCKS, lock_for
from tagmask.system.progress import track
from tagmask.system.storage import writing
from tagmask.system.whole_folders import fault_of_name

AT_ONCE = 16
LAST = ("manifest.json", "recipe.json")
"""Files of a run that say what the others are: they arrive when those are there."""

_QUEUED = 1000  # files that threads are given at once: a million of them would fill the memory with plans

Same = Callable[[str, Entry, Entry], bool]


@dataclass(frozen=True)
class Synced:
    """What a call has done.

    Attributes:
        copied: number of files.
        size: their bytes.
        same: number of files that were there already.
        removed: number of files that were removed.
        passed_over: what the source holds that is no file of it, such as linked folders.
        files: what the source told of every file.
    """

    copied: int
    size: int
    same: int
    removed: int
    passed_over: tuple[str, ...]
    files: dict[str, Entry]

    def __str__(self) -> str:
        removed = f", {self.removed} removed" if self.removed else ""
        return f"{self.copied} files ({self.size / 2**20:.1f} MiB) copied, {self.same} were there{removed}"


def sync(
    source: LocalFolder | Storage,
    target: LocalFolder | Storage,
    delete: bool = False,
    by_time: bool = False,
    is_same: Same | None = None,
    wants: Callable[[str], bool] = lambda _: True,
) -> Synced:
    """Copy the files of a place that another lacks, or holds with other content.

    A file is the same if it has as many bytes and the digest that storage tells of it; where none is told, if it is not
    older than that of the source.

    Args:
        source: what is copied; one of both lies on this machine.
        target: where to.
        delete: remove from the target what the source does not hold.
        by_time: compare sizes and times even where a digest is told.
        is_same: decides in place of these rules, by the file's name and what source and target tell of it.
        wants: tells by its name whether a file of the source counts.

    Raises:
        TagmaskError: the source holds nothing, a name of it leads out of the folder, somebody works in a run folder of
            it or of the target, or a file cannot be read or written.
    """
    _refuse_same_place(source, target)
    there, here = source.listing(), target.listing()
    homes = _homes(there.files) | _homes(here.files)
    wanted = {name: entry for name, entry in there.files.items() if wants(name) and not _tells_of_work(name, homes)}
    if not wanted:
        raise TagmaskError(f"there are no files below {source}; is it spelt right? Nothing was copied or removed")
    _refuse_names(source, wanted)
    same = is_same or same_content(source, target, by_time)
    extra = sorted(name for name in here.files.keys() - wanted.keys() if not _tells_of_work(name, homes))
    with _nobody_at_work(source, target, homes):
        sizes = list(_brought(source, target, wanted, here.files, same))
        for name in extra if delete else ():
            target.remove(name)
    copied = [size for size in sizes if size is not None]
    removed = len(extra) if delete else 0
    return Synced(len(copied), sum(copied), len(sizes) - len(copied), removed, there.passed_over, wanted)


# ── what is copied ───────────────────────────────────────────────────────────────────────────────────────────────────


def _brought(
    source: LocalFolder | Storage,
    target: LocalFolder | Storage,
    wanted: dict[str, Entry],
    there: dict[str, Entry],
    is_same: Same,
) -> Iterator[int | None]:
    """Bytes of every file that was copied, None for those that were there."""

    def bring(name: str) -> int | None:
        entry = wanted[name]
        if name in there and entry.size == there[name].size and is_same(name, entry, there[name]):
            return None
        _copy(source, target, name, entry)
        return entry.size

    yield from track(_in_threads(bring, _in_order(wanted)), f"sync to {target}", len(wanted))


def _in_order(names: Collection[str]) -> list[Sequence[str]]:
    """Names in parts; a part begins when the one before is there."""
    late = sorted(name for name in names if PurePosixPath(name).name in LAST)
    early = sorted(set(names) - set(late))
    parts: list[Sequence[str]] = [early[start : start + _QUEUED] for start in range(0, len(early), _QUEUED)]
    return [*parts, *([name for name in late if PurePosixPath(name).name == last] for last in LAST)]


def _in_threads(bring: Callable[[str], int | None], parts: Sequence[Sequence[str]]) -> Iterator[int | None]:
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for part in parts:
            yield from pool.map(bring, part)
    finally:
        pool.shutdown(cancel_futures=True)  # what is being copied is finished, what is not is left


def _copy(source: LocalFolder | Storage, target: LocalFolder | Storage, name: str, entry: Entry) -> None:
    if isinstance(target, LocalFolder):
        with writing(target.path / name) as temporary:
            source.fetch(name, temporary)
            if temporary.stat().st_size != entry.size:
                raise TagmaskError(f"{source}/{name} changed while it was read; call the same command again")
    else:
        assert isinstance(source, LocalFolder), "one of both places lies on this machine"
        target.put(source.path / name, name)


def same_content(source: LocalFolder | Storage, target: LocalFolder | Storage, by_time: bool = False) -> Same:
    """Whether files of equal size are the same: by the digest that storage tells of one, else by times."""

    def is_same(name: str, new: Entry, old: Entry) -> bool:
        md5 = None if by_time else new.md5 or old.md5
        if md5 is None:
            return new.modified is not None and old.modified is not None and new.modified <= old.modified
        local = next(place for place in (target, source) if isinstance(place, LocalFolder))
        return md5 == local.md5(name)

    return is_same


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def _refuse_same_place(source: LocalFolder | Storage, target: LocalFolder | Storage) -> None:
    if isinstance(source, Storage) and isinstance(target, Storage):
        raise TagmaskError(
            f"{source} and {target} are both in storage; bring the files to a folder of this machine first, and from "
            "there to the other place"
        )
    if isinstance(source, LocalFolder) and isinstance(target, LocalFolder):
        one, other = source.path.resolve(), target.path.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise TagmaskError(f"{source} and {target} lie in each other; name two folders apart")


def _refuse_names(source: LocalFolder | Storage, names: Collection[str]) -> None:
    for name in names:
        fault = fault_of_name(name)
        if fault is None and PurePosixPath(name).as_posix() != name:
            fault = "has an empty name or a dot between its slashes"
        if fault is None and any(parent.as_posix() in names for parent in PurePosixPath(name).parents):
            fault = "lies below a name that is a file as well"
        if fault is not None:
            raise TagmaskError(f"{source} is not copied: {name!r} {fault}; rename it there")


def _homes(names: Collection[str]) -> set[PurePosixPath]:
    """Folders that calls of tagmask work in: runs, and masks that several calls have made."""
    marked = {PurePosixPath(name).parent for name in names if PurePosixPath(name).name in ("recipe.json", LOCKS[0])}
    return {home for home in marked if {str(home / "recipe.json"), str(home / "classes.json")} & set(names)}


def _tells_of_work(name: str, homes: Collection[PurePosixPath]) -> bool:
    """Whether a file says who works in a folder: of no use elsewhere, and in the way there."""
    path = PurePosixPath(name)
    is_claim = path.parent.name == CLAIMS and path.suffix == ".json" and path.parent.parent in homes
    return is_claim or (path.name in LOCKS and path.parent in homes)


class _Holder:
    """Holds locks for as long as it lives."""


@contextmanager
def _nobody_at_work(
    source: LocalFolder | Storage, target: LocalFolder | Storage, homes: Collection[PurePosixPath]
) -> Iterator[None]:
    """Keep calls of tagmask out of the folders of this machine that they may work in.

    Raises:
        InUseError: somebody is at work there.
    """
    holder = _Holder()
    for place in (source, target):
        for home in sorted(homes):
            if isinstance(place, LocalFolder) and (place is target or (place.path / home).is_dir()):
                lock_for(holder, place.path / home)
    try:
        yield
    finally:
        del holder
