"""How files of an exported folder are called, and which image each of them belongs to.

Ids may hold folders, blanks and any letters; other systems know fewer letters, and some take upper for lower case. So
every image gets a name that differs from all others in more than case, and ``tagmask.json`` tells whose it is.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tagmask.data.datasets.paths import any_case, same_letters
from tagmask.errors import TagmaskError
from tagmask.exchange.items import INDEX
from tagmask.exchange.options import FormatName
from tagmask.system.storage import read_json_as, write_json

LONGEST = 200  # bytes of a name: file systems take 255, and suffixes are to come
_UNSAFE = re.compile(r'[<>:"\\|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # are no files on Windows


class Index(BaseModel):
    """What ``tagmask.json`` holds."""

    model_config = ConfigDict(extra="forbid")

    tagmask: Literal[1] = 1
    format: FormatName
    classes: list[str]
    images: dict[str, str]


def write_index(folder: Path, index: Index) -> None:
    """Tell whose the files of a folder are."""
    write_json(folder / INDEX, index.model_dump())


def read_index(folder: Path, form: FormatName) -> Index | None:
    """What an exported folder tells of its files; None: it tells nothing.

    Raises:
        TagmaskError: it is damaged, or the folder was written in another format.
    """
    path = (folder if folder.is_dir() else folder.parent) / INDEX
    if not path.exists():
        return None
    found = read_json_as(path, Index.model_validate, "restore it, or delete it to have images found by their names")
    if found.format != form:
        raise TagmaskError(f"{path.parent} was written as {found.format}; read it with --from {found.format}")
    return found


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def file_names(image_ids: Iterable[str], flat: bool) -> dict[str, str]:
    """A name for the files of each image, all different whatever a system takes for the same.

    Args:
        image_ids: the ids, each once.
        flat: whether folders and blanks become part of a plain name; else folders stay folders.

    >>> file_names(["cats/1", "Cats/1", "cats__1", "a b"], flat=True)
    {'cats/1': 'cats__1', 'Cats/1': 'Cats__1-2', 'cats__1': 'cats__1-3', 'a b': 'a_b'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for image_id in image_ids:
        parts = [_safe(part) for part in same_letters(image_id).split("/")]
        plain = re.sub(r"\s", "_", "__".join(parts)) if flat else "/".join(parts)
        name = next(each for each in _numbered(plain) if any_case(each) not in taken)
        taken.add(any_case(name))
        names[image_id] = name
    return names


def _safe(part: str) -> str:
    """A part of a path as any system takes it.

    >>> _safe("a:b. "), _safe(".."), _safe("nul"), _safe("")
    ('a_b', '_', '_nul', '_')
    """
    clean = _UNSAFE.sub("_", "".join(each for each in part if unicodedata.category(each) != "Cs"))
    clean = clean.strip().strip(".").strip() or "_"
    return f"_{clean}" if _DEVICES.fullmatch(clean) or clean.startswith("-") else clean


def _numbered(name: str) -> Iterator[str]:
    """The name, then the name with a number."""
    short = name.encode()[:LONGEST].decode(errors="ignore")
    yield short
    for number in range(2, 1_000_000):
        yield f"{short}-{number}"


# ── the way back ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Names:
    """Finds the image that a name in a folder means.

    Args:
        known: ids of the run's images by the names that ``tagmask.json`` gives them; empty without one.
        image_ids: all ids of the run.
    """

    def __init__(self, known: Mapping[str, str], image_ids: Iterable[str]) -> None:
        ids = tuple(image_ids)
        self._known = {same_letters(name): {image_id} for name, image_id in known.items() if image_id in set(ids)}
        self._guessed: dict[str, set[str]] = {}
        flat = file_names(ids, flat=True)
        for image_id in ids:
            for spelling in {*_tails(same_letters(image_id)), flat[image_id]}:
                self._guessed.setdefault(spelling, set()).add(image_id)
        self._whole = {same_letters(image_id): {image_id} for image_id in ids}

    def find(self, name: str) -> str | None:
        """The id of the image; None: the run has none.

        The name itself goes before what is left of it without its first folders, and ``tagmask.json`` before names.

        Raises:
            ValueError: several images of the run are called so.
        """
        spellings = _tails(same_letters(name.replace("\\", "/")))
        for names in (self._known, self._whole, self._guessed):
            found = next((names[spelling] for spelling in spellings if spelling in names), set[str]())
            if len(found) > 1:
                raise ValueError(f"{name} may be {' or '.join(sorted(found)[:4])}; put tagmask.json beside it again")
            if found:
                return next(iter(found))
        return None


def _tails(name: str) -> list[str]:
    """A path without none, one, two ... of its first folders.

    >>> _tails("a/b/c")
    ['a/b/c', 'b/c', 'c']
    """
    parts = name.split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))]
