"""A recipe's data from whatever somebody has: a folder that it can read, or what was downloaded, prepared first."""

from pathlib import Path

from tagmask.config import CocoData, DataConfig, VocData
from tagmask.conventions import Counts
from tagmask.data.datasets.voc.layout import list_path
from tagmask.preparing.coco import packed_parts, prepare_coco
from tagmask.preparing.tree import Prepared
from tagmask.preparing.voc import ALL_MASKS, prepare_voc

VOC_ARCHIVES = "VOCtrainval*.tar*"
SBD_NAMES = ("benchmark.tgz", "benchmark_RELEASE")


def ready(config: DataConfig, data: Path, place: Path, counts: Counts = "published") -> Prepared:
    """The folder that a recipe can be given as data.

    Args:
        config: the recipe's data.
        data: a folder that is ready, or one with what was downloaded: for VOC its archive or VOCdevkit, beside SBD's
            benchmark.tgz or benchmark_RELEASE; for COCO its archives.
        place: the new folder, if one is made; a second call finds it there.
        counts: whether what is made must have as many images as were published.

    Returns:
        ``data`` itself if it is ready or of another kind, else the new folder.

    Raises:
        TagmaskError: what was downloaded is not complete or not as it was published.
    """
    if isinstance(config, VocData) and _is_unprepared(data):
        sbd = [path for path in (_beside(data) / name for name in SBD_NAMES) if path.exists()]
        return prepare_voc(_voc_archive(data) or data, sbd[0] if sbd else None, place, counts)
    if isinstance(config, CocoData) and config.annotations is None and packed_parts(data, config.year):
        return prepare_coco(data, place, config.year, counts)
    return Prepared(data, False, ())


def _is_unprepared(data: Path) -> bool:
    """Whether a folder of VOC lacks what SBD has, and holds an archive of VOC or SBD beside it."""
    if _voc_archive(data) is not None:
        return True
    has_sbd = any((_beside(data) / name).exists() for name in SBD_NAMES)
    folders = [
        path.parent for path in (*data.glob("JPEGImages"), *data.glob("*/JPEGImages"), *data.glob("*/*/JPEGImages"))
    ]
    return has_sbd and not any(list_path(f, "train_aug", None) and (f / ALL_MASKS).is_dir() for f in folders)


def _voc_archive(data: Path) -> Path | None:
    """The archive of VOC: what is given, or the first in the folder."""
    return data if data.is_file() else next(iter(sorted(data.glob(VOC_ARCHIVES))), None)


def _beside(data: Path) -> Path:
    return data.parent if data.is_file() else data
