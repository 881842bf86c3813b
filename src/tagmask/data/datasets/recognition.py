"""How the data of a folder lie, where nobody says so: a table, folders that are classes, VOC, COCO, or tar files."""

from collections.abc import Iterable
from pathlib import Path

from tagmask.config import FolderData, TarData
from tagmask.config.choice import Choice
from tagmask.data.datasets.paths import IMAGE_SUFFIXES
from tagmask.data.datasets.tables import find_table
from tagmask.data.datasets.tables.sheets import image_column, read_sheet
from tagmask.data.datasets.tar import holds_samples
from tagmask.errors import TagmaskError

_VOC = ("JPEGImages", "VOC2012/JPEGImages", "VOCdevkit/VOC2012/JPEGImages")
_SHARDS = (TarData.model_fields["shards"].default, "*/*.tar")
_YEARS = (2014, 2017)  # of the official annotation files of MS-COCO, the usual one first
_SAID = frozenset({"data", "data.kind", "data.tags"})  # settings that leave nothing to recognise
_SHEETS = (".csv", ".tsv")  # a JSON file may be anything
_BEGINNING = 4096  # bytes of a JSON file in which COCO's first keys stand


def recognised(root: Path | None, settings: Iterable[str] = ()) -> Choice | None:
    """The setting that a data folder's layout calls for; none if it is the usual one, or if ``settings`` name it."""
    said = {setting.partition("=")[0].strip() for setting in settings}
    if root is None or not root.is_dir() or said & _SAID:
        return None
    if any((root / place).is_dir() for place in _VOC):
        return Choice("data", {"kind": "voc"}, "there is a folder JPEGImages, as PASCAL VOC has it.")
    if any((root / "annotations").glob("*.json")):
        return Choice("data", {"kind": "coco"} | _year(root), "there are annotations in JSON, as MS-COCO has them.")
    return None if _has_table(root) else _without_table(root)


def _has_table(root: Path) -> bool:
    try:
        find_table(root, FolderData())
    except TagmaskError:
        return False
    return True


def _without_table(root: Path) -> Choice | None:
    if any(map(_is_coco, root.glob("*.json"))):
        return Choice("data", {"kind": "coco"}, "there is a JSON file of images and annotations, as MS-COCO has it.")
    for pattern in _SHARDS:
        visible = (path for path in root.glob(pattern) if not path.name.startswith("."))
        if any(holds_samples(path, TarData()) for path in sorted(visible)[:1]):
            where = {} if pattern == _SHARDS[0] else {"shards": pattern}
            words = "there are tar files of photographs with their tags beside them."
            return Choice("data", {"kind": "tar"} | where, words)
    if any(entry.is_dir() and entry.name != "images" for entry in root.iterdir()):
        return Choice("data.tags", None, "there is no table of tags: the folders are the classes.")
    if (table := _only_table(root)) is not None:
        return Choice("data.tags", table.name, "it is the only table, and one of its columns names images.")
    return Choice("data", {"kind": "tar"}, "there are tar files and no image files.") if _has_tar_files(root) else None


def _only_table(root: Path) -> Path | None:
    """The one CSV or TSV file of a folder, if it has a column for images.

    Raises:
        TagmaskError: it cannot be read, and no tar files might be the data in its place.
    """
    visible = (entry for entry in root.iterdir() if entry.is_file() and not entry.name.startswith("."))
    tables = [entry for entry in visible if entry.suffix.lower() in _SHEETS]
    if len(tables) != 1 or tables[0].stem.lower() == "tags":  # which is no usual one only where there are several
        return None
    try:
        columns = read_sheet(tables[0], FolderData()).columns
    except TagmaskError:
        if _has_tar_files(root):
            return None
        raise
    return tables[0] if image_column(columns, FolderData()) else None


def _has_tar_files(root: Path) -> bool:
    """Whether a folder has tar files and no images, so that what is wrong with them is what there is to be told."""
    files = [entry.name.lower() for entry in root.iterdir() if not entry.name.startswith(".")]
    if any(name.endswith(tuple(IMAGE_SUFFIXES)) or name == "images" for name in files):
        return False
    return any(name.endswith((".tar", ".tgz")) or ".tar." in name for name in files)


def _year(root: Path) -> dict[str, int]:
    """The year of the official annotation files, where it is not the usual one."""
    usual, *others = (root / "annotations" / f"instances_train{year}.json" for year in _YEARS)
    found = [year for year, path in zip(_YEARS[1:], others, strict=True) if path.is_file()]
    return {"year": found[0]} if found and not usual.is_file() else {}


def _is_coco(path: Path) -> bool:
    """Whether a JSON file begins as annotations of COCO do: an object that has one of its lists."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError:
        return False
    keys = (b'"images"', b'"annotations"', b'"categories"')
    return beginning.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and any(key in beginning for key in keys)
