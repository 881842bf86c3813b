"""Image files below a folder, and which of them a path in somebody's table means."""

import os
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from tagmask.data.class_list import CLASSES, is_class_list
from tagmask.data.datasets.checks import Problem, read_lines

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def image_id(name: str) -> str:
    """The path of an image file without its extension; dots that begin no image extension stay.

    >>> image_id("cats/a.b.jpg"), image_id("cats/a.b")
    ('cats/a.b', 'cats/a.b')
    """
    stem, dot, suffix = name.rpartition(".")
    if dot and stem and stem[-1] != "/" and f".{suffix}".lower() in IMAGE_SUFFIXES and _is_plain(name):
        return stem
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def _is_image(name: str) -> bool:
    """Whether a file's name is that of an image that is not hidden."""
    return f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES and "." in name and not name.startswith(".")


def _is_plain(name: str) -> bool:
    """Whether a path is written as short as can be, so that nothing is to be settled but its ending."""
    return not ("//" in name or "./" in name or name[0] == ".")


def listed_ids(name: str | None, root: Path | None) -> frozenset[str] | None:
    """The ids in a text file relative to the data folder; None if there is no such list.

    Raises:
        TagmaskError: the list is missing or is not UTF-8 text.
    """
    return None if name is None else frozenset(map(image_id, read_lines((root or Path()) / name)))


def same_letters(text: str) -> str:
    """One spelling of a name whose accents may be letters of their own (as macOS writes them) or not."""
    return unicodedata.normalize("NFC", text)


def any_case(text: str) -> str:
    """One spelling of names that differ in nothing but case, accents as letters, and blanks at their ends."""
    return same_letters(same_letters(text).casefold()).strip()


@dataclass(frozen=True, slots=True)
class Found:
    """The file that a name means.

    Attributes:
        name: its path below the folder; the file may be missing.
        respelled: whether it is written in another case there.
    """

    name: str
    respelled: bool = False


@dataclass(frozen=True)
class Unclear:
    """A name that means no file, or several.

    Attributes:
        problem: what is wrong with it.
        text: the name, with what it fits.
    """

    problem: Problem
    text: str


def _written(folder: Path, names: Iterable[str]) -> str | None:
    """What of ours a folder is; None if it is somebody else's."""
    if {"recipe.json", "data.json"} <= set(names):
        return "a run folder"
    return "masks with their class list" if is_class_list(folder / CLASSES) else None


class PathsBelow(Mapping[str, Path]):
    """Paths by id, of which no more than the names below a folder are kept: there may be a million.

    Args:
        root: the folder.
        names: below it, by id.
    """

    def __init__(self, root: Path, names: Mapping[str, str]) -> None:
        self._root, self._names = root, names

    def __getitem__(self, key: str) -> Path:
        return self._root / self._names[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class ImageFiles:
    """The image files below a folder, found by the names that tables give them.

    Args:
        root: the folder.
        without: folders below it that hold something else, such as masks.
        data: the data folder, which paths in a table may begin at as well.

    Attributes:
        root: the folder, links resolved.
        names: path below the folder of every image file, sorted.
        passed_over: what was not looked into or at, each with its reason: links to folders, names that are not UTF-8,
            folders of runs and of predicted masks.
    """

    def __init__(self, root: Path, without: Iterable[Path] = (), data: Path | None = None) -> None:
        self.root = root.resolve()
        self._homes = (self.root, root.absolute())
        self._bases = _with_parents(data or root)
        self.passed_over: list[str] = []
        self.names = tuple(sorted(self._walk({folder.resolve() for folder in without})))

    def _walk(self, without: set[Path]) -> Iterator[str]:
        for folder, subfolders, names in os.walk(self.root):
            here = Path(folder)
            if here != self.root and (what := _written(here, names)):
                self.passed_over.append(f"{readable(here.relative_to(self.root).as_posix())} ({what})")
                subfolders.clear()
                continue
            visible = [name for name in subfolders if not name.startswith(".") and here / name not in without]
            subfolders[:] = sorted(name for name in visible if not (here / name).is_symlink())
            for name in sorted(set(visible) - set(subfolders)):
                linked = readable((here / name).relative_to(self.root).as_posix())
                self.passed_over.append(f"{linked} (a linked folder)")
            below = "" if here == self.root else f"{here.relative_to(self.root).as_posix()}/"
            for name in names:
                if _is_image(name):
                    found = f"{below}{name}"
                    if found.isascii() or readable(found) == found:
                        yield found
                    else:
                        self.passed_over.append(f"{readable(found)} (a name that is not UTF-8)")

    def _holds(self, name: str) -> bool:
        """Whether there is a file of this very name; looked up in their order, as a set of a million takes 50 MB."""
        place = bisect_left(self.names, name)
        return place < len(self.names) and self.names[place] == name

    @cached_property
    def _exact(self) -> dict[str, list[str]]:
        return _index(self.names, str)

    @cached_property
    def _loose(self) -> tuple[tuple[dict[str, list[str]], bool], ...]:
        return (_index(self.names, same_letters), False), (_index(self.names, any_case), True)

    def find(self, name: str) -> Found | Unclear:
        """The file that a name means.

        A name is a path below the folder or below the data folder, or a whole path, with or without its extension;
        Windows' separators are understood. Accents may be written either way. Case may differ where one file only
        fits.
        """
        if self._holds(name) and not (self.root / name).is_symlink():
            return Found(name)
        spellings = [] if "\0" in name else self._spellings(name)
        if not spellings:
            return Unclear(Problem.OUTSIDE, name)
        exact = next(filter(self._holds, spellings), None)
        found = self._indexed(spellings) if exact is None else ([exact], False)
        if found is None:
            there = (spelling for spelling in spellings if (self.root / spelling).is_file())
            found = [next(there, spellings[-1])], False
        names, respelled = found
        if len(names) > 1:
            return Unclear(Problem.AMBIGUOUS, f"{name} (there are {', '.join(names)})")
        inside = (self.root / names[0]).resolve().is_relative_to(self.root)
        return Found(names[0], respelled) if inside else Unclear(Problem.OUTSIDE, name)

    def named(self, key: str) -> list[str]:
        """The files of an image's name; one in PNG goes before others, and one in the same case."""
        names, _ = self._indexed([key]) or ([], False)
        png = [name for name in names if name.endswith(".png")]
        return png if len(png) == 1 else names

    def _indexed(self, spellings: list[str]) -> tuple[list[str], bool] | None:
        for spelling in spellings:
            if spelling in self._exact:
                return self._exact[spelling], False
        for (index, respelled), spell in zip(self._loose, (same_letters, any_case), strict=True):
            for spelling in spellings:
                if spell(spelling) in index:
                    return index[spell(spelling)], respelled
        return None

    def _spellings(self, name: str) -> list[str]:
        """The paths below the folder that a name can mean, the plainest first; none if it lies outside."""
        windows = PureWindowsPath(name).as_posix() if "\\" in name else name
        written = [PurePosixPath(text) for text in dict.fromkeys((name, windows))]
        elsewhere = _DRIVE.match(name) and name not in self._exact and not Path(name).is_absolute()
        if elsewhere or any(".." in path.parts for path in written):
            return []
        found = [str(path) for path in written if not (path.is_absolute() or Path(path).is_absolute())]
        wholes = [base / path for path in written for base in self._bases]
        found += [whole.relative_to(home).as_posix() for home in self._homes for whole in wholes if _in(whole, home)]
        return list(dict.fromkeys(found))


def _with_parents(folder: Path) -> tuple[Path, ...]:
    here = (folder.resolve(), folder.absolute())
    return (*here, *(each.parent for each in here))


def _in(path: Path, folder: Path) -> bool:
    return path != folder and path.is_relative_to(folder)


def readable(name: str) -> str:
    """A name as it can be printed: bytes that are not UTF-8 as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _index(names: Iterable[str], spell: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        for key in (name, image_id(name)):
            found.setdefault(spell(key), []).append(name)
    return found
