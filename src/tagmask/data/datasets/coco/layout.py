"""Where the annotation files and the photographs of a COCO data set lie, however its tool has laid them out."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from tagmask.config import CocoData
from tagmask.data.datasets.checks import NAMES_SHOWN, existing_folder
from tagmask.data.datasets.folder import IMAGE_SUFFIXES
from tagmask.errors import TagmaskError

# ── annotation files ─────────────────────────────────────────────────────────────────────────────────────────────────


def annotation_files(config: CocoData, root: Path, notes: list[str]) -> dict[str, Path]:
    """The annotation file of the training split and, if there is one, of the validation split.

    Args:
        config: names them, or the year of the official ones.
        root: the data folder.
        notes: receives what has been guessed.

    Raises:
        TagmaskError: none is there, or a named one is missing.
    """
    official = {split: f"annotations/instances_{split}{config.year}.json" for split in _splits(config)}
    named = {config.train_split: config.annotations, config.val_split: config.val_annotations}
    found: dict[str, Path] = {}
    for split, usual in official.items():
        path = root / (named[split] or usual)
        if path.is_file():
            found[split] = path
        elif named[split] is not None:
            raise TagmaskError(_missing(path, root, "correct data.annotations and data.val_annotations"))
        elif split == config.train_split:
            found[split] = _only_file(path, root, {root / other for other in official.values()})
            notes.append(f"{_below(found[split], root)} is the only annotation file and is taken for all images.")
    if config.val_split in official and config.val_split not in found:
        notes.append(
            f"There is one annotation file: about {config.val_fraction:.0%} of its images (data.val_fraction) are held "
            "out for validation; data.val_annotations names a file of their own."
        )
    return found


def _splits(config: CocoData) -> tuple[str, ...]:
    return tuple(dict.fromkeys(split for split in (config.train_split, config.val_split) if split is not None))


def _json_files(root: Path) -> list[Path]:
    """Annotation files that a tool may have written: those of ``annotations/``, else of the folder or one below it."""
    for pattern in ("annotations/*.json", "*.json", "*/*.json"):
        found = sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.startswith("."))
        if found:
            return found
    return []


def _only_file(usual: Path, root: Path, official: set[Path]) -> Path:
    found = _json_files(existing_folder(root, "the COCO folder"))
    if len(found) == 1 and found[0] not in official:
        return found[0]
    raise TagmaskError(
        _missing(
            usual, root, "give the folder that holds annotations/, set data.year, or name the file in data.annotations"
        )
    )


def _missing(path: Path, root: Path, remedy: str) -> str:
    there = [_below(file, root) for file in _json_files(root)]
    more = f" (there are {', '.join(there[:NAMES_SHOWN])})" if there else ""
    return f"{path} does not exist; {remedy}{more}"


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def is_official(config: CocoData, root: Path, files: Iterable[Path]) -> bool:
    """Whether the annotation files are those of MS-COCO, by their names."""
    folder = root / "annotations"
    return all(path in {folder / f"instances_{split}{config.year}.json" for split in _splits(config)} for path in files)


# ── photographs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def image_folders(config: CocoData, root: Path, split: str, annotations: Path) -> list[Path]:
    """The folders in which the images of an annotation file may lie, the likeliest first.

    Raises:
        TagmaskError: none of them exists.
    """
    name = f"{split}{config.year}"
    if config.images is not None:
        base = existing_folder(root / config.images, "the folder of images (data.images)")
        choices = [base, base / name, base / split]
    else:
        subset = annotations.stem.removeprefix("instances_")
        bases = [root, root / "images"]
        choices = [base / below for below in (name, subset, split) for base in bases]
        choices += [annotations.parent, root / "images", root / "data", root]
    found = [path for path in dict.fromkeys(choices) if path.is_dir()]
    return found or [existing_folder(choices[0], "the COCO photographs")]


def located(names: Sequence[str], folders: Sequence[Path], notes: list[str]) -> list[Path]:
    """The file of each name, or where it should lie.

    A name is a path below one of the folders. Where the names of a file begin with folders that are not there, such as
    those of the machine it was written on, as many of them are left out, of all names alike, as finds most files. A
    file whose name differs in case alone is taken, if there is one only.

    Raises:
        TagmaskError: none of them is there.
    """
    parts = [_parts(name) for name in names]
    depths = range(max((len(each) for each in parts), default=1))
    tried = []
    for depth in depths:
        tried.append([_first(_cut(each, depth), folders) for each in parts])
        if None not in tried[-1]:
            break
    best = max(range(len(tried)), key=lambda depth: len({*tried[depth]} - {None}), default=0)
    if best:
        notes.append(f"The first {best} folders of the names of images, as in {names[0]!r}, are left out to find them.")
    found = tried[best] if tried else []
    alike = _Alike(folders) if None in found else None
    placed = []
    for each, path in zip(parts, found, strict=True):
        cut = _cut(each, best)
        other = alike.find(cut) if path is None and alike else None
        placed.append(path or other or folders[0].joinpath(*cut))
    if names and not any(map(_is_file, placed)):
        looked = ", ".join(map(str, folders[:NAMES_SHOWN]))
        raise TagmaskError(
            f"none of the {len(names)} images of the annotations is there, such as {names[0]!r}; looked for in "
            f"{looked}: put them there, or name their folder with data.images"
        )
    if alike and alike.taken:
        notes.append(f"{len(alike.taken)} images are found under names written otherwise: {_some(alike.taken)}.")
    return placed


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path as any system writes it; none that leads upwards or to a drive."""
    path = PurePosixPath(name.replace("\\", "/"))
    return tuple(part for part in path.parts if part not in ("/", "..", "//") and not part.endswith(":")) or ("?",)


def _cut(parts: tuple[str, ...], depth: int) -> tuple[str, ...]:
    return parts[min(depth, len(parts) - 1) :]


def _first(parts: tuple[str, ...], folders: Iterable[Path]) -> Path | None:
    return next((path for path in (folder.joinpath(*parts) for folder in folders) if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for the system, or with a zero byte
        return False


class _Alike:
    """Image files below some folders by their names without regard to case, composition, or a missing suffix."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._found: dict[str, set[Path]] = {}
        self.taken: list[str] = []
        for folder in folders:
            for path in folder.rglob("*"):
                if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                    for name in _spellings(path.relative_to(folder).as_posix()):
                        self._found.setdefault(name, set()).add(path)

    def find(self, parts: tuple[str, ...]) -> Path | None:
        """The one file that is called so."""
        name = "/".join(parts)
        found = self._found.get(_plain(name), set())
        if len(found) != 1:
            return None
        (path,) = found
        self.taken.append(f"{name} as {path.name}")
        return path


def _spellings(name: str) -> Iterator[str]:
    yield _plain(name)
    yield _plain(str(PurePosixPath(name).with_suffix("")))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
