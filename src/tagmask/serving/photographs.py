"""The photographs in anybody's folder, and what lies there that is none."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tagmask.data.class_list import CLASSES, is_class_list
from tagmask.errors import TagmaskError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
PNG, GEOTIFF, OVERLAY = ".png", "_mask.tif", "_overlay.jpg"
ENDINGS = (PNG, GEOTIFF, OVERLAY)
INDEXED = b"\x03"  # the kind of colour that the 26th byte of a PNG tells
OTHER_KINDS = frozenset(
    {".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf"}
    | {".orf", ".psd", ".svg", ".pdf", ".ppm", ".pgm", ".tga", ".eps"}
)


@dataclass
class Photographs:
    """What a folder holds.

    Attributes:
        files: the photographs, sorted.
        broken: what looks like one and cannot be read, in words.
        others: pictures of kinds that are not read.
        linked: photographs that are links to files out of the folder.
        links: folders that are links, which are not entered.
        masks: how many masks and overlays of earlier calls were passed over.
    """

    files: list[Path] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    masks: int = 0


def photographs(path: Path, without: Path | None = None) -> Photographs:
    """The image itself, or every photograph anywhere below a folder.

    Files and folders that begin with a dot are passed over, and so are masks and overlays that an earlier call wrote.

    Args:
        path: an image or a folder.
        without: a folder to leave out if it lies below ``path``.

    Raises:
        TagmaskError: nothing there.
    """
    if path.is_file():
        return Photographs([path])
    if not path.is_dir():
        raise TagmaskError(f"no such image or folder: {path}")
    found = Photographs()
    left_out = without.resolve() if without is not None else None
    root, written = path.resolve(), set[Path]()
    for folder, subfolders, names in os.walk(path, onerror=lambda error: found.broken.append(str(error))):
        here = Path(folder)
        if here.parent in written or is_class_list(here / CLASSES):
            written.add(here)
        subfolders[:] = sorted(_entered(here, subfolders, left_out, found))
        for name in sorted(names):
            if not name.startswith("."):
                is_output = here in written or _has_both(name, names) or _is_mask_beside(here / name, names)
                _sort(here / name, root, is_output, found)
    found.files.sort()
    if not found.files and not found.broken:
        raise TagmaskError(_none_there(path, found))
    return found


def _entered(here: Path, names: list[str], left_out: Path | None, found: Photographs) -> Iterator[str]:
    for name in names:
        if name.startswith("."):
            continue
        if (here / name).is_symlink():
            found.links.append(here / name)
        elif left_out is None or (here / name).resolve() != left_out:
            yield name


def _sort(file: Path, root: Path, is_output: bool, found: Photographs) -> None:
    suffix = file.suffix.lower()
    if suffix in OTHER_KINDS:
        found.others.append(file)
    elif suffix in SUFFIXES and is_output and _is_written(file.name):
        found.masks += 1
    elif suffix in SUFFIXES and file.is_symlink() and not file.exists():
        found.broken.append(f"{file} is a link to {file.readlink()}, which is not there")
    elif suffix in SUFFIXES and file.is_file():
        found.files.append(file)
        if file.is_symlink() and not file.resolve().is_relative_to(root):
            found.linked.append(file)
    elif suffix in SUFFIXES:
        found.broken.append(f"{file} is no file that could be read (a pipe or a device)")


def _photograph(name: str) -> str:
    """The photograph of a mask or an overlay: of ``a.jpg.png`` and ``a.jpg_overlay.jpg`` it is ``a.jpg``."""
    ending = next((ending for ending in ENDINGS if name.endswith(ending)), "")
    return name.removesuffix(ending)


def _is_written(name: str) -> bool:
    return _photograph(name) != name and Path(_photograph(name)).suffix.lower() in SUFFIXES


def _has_both(name: str, names: list[str]) -> bool:
    """Whether a mask lies beside its overlay, which versions without a class list have left."""
    photograph = _photograph(name)
    return f"{photograph}.png" in names and f"{photograph}_overlay.jpg" in names


def _is_mask_beside(file: Path, names: list[str]) -> bool:
    """Whether a PNG is named after a photograph beside it and indexed, as ``predict.py`` of an export writes masks."""
    if not (file.name.endswith(PNG) and file.name.removesuffix(PNG) in names and file.is_file()):
        return False
    try:
        with file.open("rb") as opened:
            head = opened.read(26)
    except OSError:  # told when the photograph is read
        return False
    return head.startswith(b"\x89PNG") and head[25:] == INDEXED


def _none_there(path: Path, found: Photographs) -> str:
    there = (
        f"; {len(found.others)} of other kinds, such as {found.others[0].name}: convert them" if found.others else ""
    )
    if found.masks:
        there += f"; {found.masks} masks and overlays of an earlier call"
    return f"no images below {path}; expected files ending in {' '.join(sorted(SUFFIXES))}{there}."
