"""What a data set holds, in brief, to be compared later: what has been learned belongs to it."""

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tagmask.contracts import Dataset
from tagmask.system.workers import several_at_once


class ImageContents(BaseModel):
    """What is remembered of an image; runs of earlier versions have no digest."""

    split: str
    tags: list[int]
    digest: int | None = None


class Contents(BaseModel):
    """What ``data.json`` holds, see ``contents``."""

    classes: list[str]
    images: dict[str, ImageContents]


def contents(dataset: Dataset, pixels: bool = True) -> dict[str, Any]:
    """What a run learns from, to be compared later: class names in order; tags, split and digest of every image.

    Args:
        dataset: what is learned from.
        pixels: whether images are read; without, there are no digests, and none are compared.
    """
    paths = [dataset.image_path(record) if pixels else None for record in dataset.records]
    digests = several_at_once(digest_of_file, paths)
    images = {
        record.id: {"split": record.split, "tags": list(record.tags), "digest": digest}
        for record, digest in zip(dataset.records, digests, strict=True)
    }
    return {"classes": list(dataset.classes), "images": images}


def digest_of_file(path: Path | None) -> int | None:
    """A number that hardly any other content of the file has; None if there is no file."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if path is None or found is None else _digest(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=2**17)
def _digest(path: Path, _time: int, _size: int) -> int | None:
    """As the file was at a time; a comparison asks once for each of its runs."""
    try:
        return zlib.crc32(path.read_bytes())
    except OSError:
        return None


def changed_contents(before: Any, now: dict[str, Any]) -> list[str]:
    """What differs between two ``contents``, in words; empty if nothing does.

    Example:
        >>> cat = {"split": "train", "tags": [0]}
        >>> changed_contents({"classes": ["cat"], "images": {"a": cat}}, {"classes": ["cat"], "images": {"b": cat}})
        ['1 image(s) are new: b', '1 image(s) are gone: a']
    """
    found = []
    if before["classes"] != now["classes"]:
        found.append(f"the classes were {', '.join(before['classes'])} and are {', '.join(now['classes'])}")
    earlier, later = before["images"], now["images"]
    if earlier.keys() == later.keys() and list(earlier) != list(later):
        found.append("the images come in another order, by which they are drawn for training")
    both = sorted(earlier.keys() & later.keys())
    groups = {
        "are new": sorted(later.keys() - earlier.keys()),
        "are gone": sorted(earlier.keys() - later.keys()),
        "have other tags or another split": [key for key in both if _said(earlier[key]) != _said(later[key])],
        "have other pixels": [key for key in both if _is_other(earlier[key], later[key])],
    }
    for what, ids in groups.items():
        if ids:
            more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
            found.append(f"{len(ids)} image(s) {what}: {', '.join(ids[:3])}{more}")
    return found


def _said(image: dict[str, Any]) -> tuple[str, list[int]]:
    return image["split"], image["tags"]


def _is_other(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    digests = earlier.get("digest"), later.get("digest")
    return None not in digests and digests[0] != digests[1]
