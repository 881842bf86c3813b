"""What both data sets share: a folder that is made once, from archives or from folders, and what is wrong with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from tagmask.data.datasets.checks import NAMES_SHOWN
from tagmask.errors import TagmaskError
from tagmask.preparing.archives import Wanted, everything, unpack
from tagmask.system.storage import read_json_as, remove_abandoned, write_json
from tagmask.system.whole_folders import same_file

NOTE = "prepared.json"

Sources = dict[str, str]


@dataclass(frozen=True)
class Prepared:
    """A folder that the reader reads.

    Attributes:
        folder: what to give as ``--data``.
        is_new: whether it was made by this call.
        counts: how many images each list or split has, in words.
        notes: what else there is to know, one sentence each.
    """

    folder: Path
    is_new: bool
    counts: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Faults:
    """Collects what is wrong with a data set, then raises one error that names it all."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, what: str, name: str) -> None:
        """Note one case of a kind of fault, by the name of what it concerns."""
        self._names.setdefault(what, []).append(name)

    def raise_any(self, source: str) -> None:
        """Raise what was collected.

        Raises:
            TagmaskError: anything was noted: the number of each kind, and its first ten names.
        """
        if self._names:
            raise TagmaskError("\n  ".join([f"{source} is not as it was published:", *map(self._line, self._names)]))

    def _line(self, what: str) -> str:
        names = self._names[what]
        return f"{what} ({len(names)}): {', '.join(names[:NAMES_SHOWN])}{', ...' if len(names) > NAMES_SHOWN else ''}"


def check_count(found: int, published: int, what: str, faults: Faults) -> None:
    """Note a number that is not the published one."""
    if found != published:
        faults.add(
            "counts that differ; --counts any takes a part of the data", f"{found} {what}, published {published}"
        )


# ── made once ────────────────────────────────────────────────────────────────────────────────────────────────────────


def is_prepared(out: Path, sources: Sources) -> bool:
    """Whether the folder has been made from these sources.

    Raises:
        TagmaskError: it was made from others.
    """
    if not (out / NOTE).is_file():
        return False
    made = read_json_as(out / NOTE, TypeAdapter(Sources).validate_python, "remove the folder, and prepare it again")
    if made != sources:
        words = ", ".join(f"{name}={place}" for name, place in made.items())
        raise TagmaskError(f"{out} was prepared from something else ({words}); choose another --out folder")
    return True


def refuse_within(out: Path, sources: Iterable[Path]) -> None:
    """Refuse a folder in one of the folders that it is made from.

    Raises:
        TagmaskError: it lies there.
    """
    for source in sources:
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise TagmaskError(f"{out} lies in {source}, which is left as it is; choose another --out folder")


def sources_of(**places: Path | str | int | None) -> Sources:
    """What a folder is made from, by name; paths are made whole."""
    return {
        name: str(place.resolve()) if isinstance(place, Path) else str(place)
        for name, place in places.items()
        if place is not None
    }


def note_sources(folder: Path, sources: Sources) -> None:
    """Write, last of all, what a folder was made from."""
    write_json(folder / NOTE, sources)


def sweep(out: Path) -> None:
    """Remove what killed calls have left beside the folder."""
    if out.absolute().parent.is_dir():
        remove_abandoned(out.absolute().parent, below=False)


# ── putting together ─────────────────────────────────────────────────────────────────────────────────────────────────


def opened(source: Path, place: Path, wanted: Wanted = everything) -> Path:
    """The folder that a source is, or that those of its files that are wanted are unpacked to.

    Raises:
        TagmaskError: there is neither a folder nor a file, or the archive is refused.
    """
    if source.is_dir():
        return source
    if not source.is_file():
        raise TagmaskError(f"there is neither a folder nor an archive {source}; give what was downloaded")
    unpack(source, place, wanted)
    return place


def put(source: Path, target: Path, is_ours: bool) -> None:
    """Bring a folder into the new one: moved if it was unpacked by us, else linked file by file, or copied.

    Files that are linked are one file in two places. Nothing here changes a file in place, so that originals stay as
    they are.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_ours:
        source.rename(target)
        return
    for path in source.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            same_file(path, place)


def named_as(folder: Path, wanted: Path, error: TagmaskError) -> TagmaskError:
    """An error about a new folder, with the name that it would have had; or about one that was made before."""
    text = str(error).replace(str(folder), str(wanted))
    is_old = (wanted / NOTE).is_file()
    return TagmaskError(f"{text}\n  Or remove the folder, and prepare it again." if is_old else text)


def counted(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Counts in words.

    >>> counted({"train": 1464})
    ('1464 train',)
    """
    return tuple(f"{number} {name}" for name, number in counts.items())
