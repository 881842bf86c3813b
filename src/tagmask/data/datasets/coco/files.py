"""COCO annotation files as tools write them: read with patience, and all that is odd about them said in words."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tagmask.data.datasets.checks import NAMES_SHOWN, check_classes
from tagmask.data.datasets.coco.regions import Outline, Parts
from tagmask.errors import TagmaskError
from tagmask.system.rle import region_parts

Entry = dict[str, Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Category:
    """A category of the file: its id, its name without blanks around it, and the category above it, if it names one."""

    key: str
    name: str
    above: str | None


@dataclass(frozen=True)
class ImageEntry:
    """An image of the file.

    Attributes:
        key: its id as text.
        file_name: as written; None: it has none.
        size: rows and columns as written; None: it has none.
    """

    key: str
    file_name: str | None
    size: Size | None


@dataclass(frozen=True)
class Instances:
    """One annotation file.

    Attributes:
        path: the file.
        categories: in the order of their ids, or of the file where the ids are words.
        pictures: in the file's order.
        outlines: the annotations of each image by its key; ``place`` is the category's place.
        has_outlines: whether any annotation can be drawn, or there is none at all.
        notes: what is odd about the file, one sentence each.
    """

    path: Path
    categories: tuple[Category, ...]
    pictures: tuple[ImageEntry, ...]
    outlines: dict[str, list[Outline]]
    has_outlines: bool
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the categories."""
        return tuple(category.name for category in self.categories)


def read_instances(path: Path) -> Instances:
    """Read an annotation file.

    Raises:
        TagmaskError: it is missing or no COCO file, or its images, categories and annotations do not fit together.
    """
    content = _parsed(path)
    notes: list[str] = []
    lists = {name: _entries(path, content, name) for name in ("images", "annotations", "categories")}
    categories = _categories(path, lists["categories"], notes)
    pictures = _pictures(path, lists["images"], notes)
    annotations = _of_listed_images(path, lists["annotations"], pictures, notes)
    outlines = _outlines(path, annotations, categories, pictures)
    outlines = _without_shares(path, outlines, notes)
    notes.extend(_outline_notes(path, outlines))
    drawn = [outline.parts is not None for each in outlines.values() for outline in each]
    return Instances(path, categories, tuple(pictures.values()), outlines, any(drawn) or not drawn, tuple(notes))


# ── what it holds ────────────────────────────────────────────────────────────────────────────────────────────────────


def _parsed(path: Path) -> Entry:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TagmaskError(f"cannot read the annotations {path}: {error}; expected a COCO file (JSON)") from error
    if not isinstance(content, dict):
        raise _no_coco(path, f"it holds a {type(content).__name__}")
    return content


def _no_coco(path: Path, found: str) -> TagmaskError:
    return TagmaskError(
        f"{path} is no COCO file of annotations: {found}; expected an object with the lists images, annotations and "
        "categories: export it again as COCO instances, or name another file with data.annotations"
    )


def _entries(path: Path, content: Entry, name: str) -> list[Entry]:
    entries = content.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        held = f"{name!r} is no list of objects" if name in content else f"it has no {name!r}"
        raise _no_coco(path, f"{held} (found: {', '.join(map(str, list(content)[:NAMES_SHOWN])) or 'nothing'})")
    return entries


def _key(value: object) -> str | None:
    """An id as text, whether it was written as a number or as text; None: there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value).strip() or None


def _some(names: Iterable[object]) -> str:
    shown = list(map(str, names))
    return ", ".join(shown[:NAMES_SHOWN]) + (", ..." if len(shown) > NAMES_SHOWN else "")


def _categories(path: Path, entries: list[Entry], notes: list[str]) -> tuple[Category, ...]:
    found: dict[str, Category] = {}
    for entry in entries:
        key, written = _key(entry.get("id")), entry.get("name")
        name = str(written).strip() if isinstance(written, str | int) else ""
        if key is None or not name:
            raise _no_coco(path, f"the category {json.dumps(entry)[:80]} has no id or no name")
        if name != written:
            notes.append(f"The category {written!r} of {path.name} is read as {name!r}.")
        if key in found and found[key].name != name:
            raise TagmaskError(f"{path} gives the category id {key} to {found[key].name!r} and to {name!r}; correct it")
        found[key] = Category(key, name, _key(entry.get("supercategory")))
    by_number = all(key.lstrip("-").isdecimal() for key in found)
    ordered = sorted(found.values(), key=lambda each: int(each.key)) if by_number else list(found.values())
    names = check_classes(tuple(category.name for category in ordered), f"the categories of {path}")
    alike = [name for name in names if sum(name.casefold() == other.casefold() for other in names) > 1]
    if alike:
        notes.append(f"Categories of {path.name} that differ only in case are classes of their own: {_some(alike)}.")
    return tuple(ordered)


def _pictures(path: Path, entries: list[Entry], notes: list[str]) -> dict[str, ImageEntry]:
    found: dict[str, ImageEntry] = {}
    twice = 0
    for place, entry in enumerate(entries):
        key, name = _key(entry.get("id")), entry.get("file_name")
        if key is None:
            raise _no_coco(path, f"entry {place} of its images has no id")
        picture = ImageEntry(key, name.strip() if isinstance(name, str) and name.strip() else None, _size(entry))
        if key in found and found[key].file_name != picture.file_name:
            raise TagmaskError(
                f"{path} gives the image id {key} to {found[key].file_name} and to {picture.file_name}, so that nobody "
                "knows whose its annotations are; give every image an id of its own"
            )
        twice += key in found
        found.setdefault(key, picture)
    if twice:
        notes.append(f"{path.name} lists {twice} images twice, with the same id and file; they are taken once.")
    return found


def _size(entry: Entry) -> Size | None:
    try:
        rows, columns = int(entry["height"]), int(entry["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (rows, columns) if rows > 0 and columns > 0 else None


# ── annotations ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_listed_images(
    path: Path, entries: list[Entry], pictures: dict[str, ImageEntry], notes: list[str]
) -> list[tuple[str, Entry]]:
    """The annotations with the keys of their images; those of images that are not listed are left out and counted."""
    keyed = [(_key(entry.get("image_id")), entry) for entry in entries]
    kept = [(key, entry) for key, entry in keyed if key is not None and key in pictures]
    if keyed and not kept:
        raise TagmaskError(
            f"none of the {len(keyed)} annotations of {path} belongs to one of its {len(pictures)} images (image_id: "
            f"{_some(dict.fromkeys(key for key, _ in keyed))}; images: {_some(pictures)}); correct the ids"
        )
    if len(kept) < len(keyed):
        gone = dict.fromkeys(key or "none" for key, _ in keyed if key is None or key not in pictures)
        notes.append(
            f"{len(keyed) - len(kept)} annotations of {path.name} belong to images that it does not list "
            f"(image_id {_some(gone)}); they are left out."
        )
    return kept


def _outlines(
    path: Path, annotations: list[tuple[str, Entry]], categories: tuple[Category, ...], pictures: dict[str, ImageEntry]
) -> dict[str, list[Outline]]:
    places = {category.key: place for place, category in enumerate(categories)}
    found: dict[str, list[Outline]] = {key: [] for key in pictures}
    unknown: Counter[str] = Counter()
    for number, (key, entry) in enumerate(annotations):
        place = places.get(_key(entry.get("category_id")) or "")
        if place is None:
            unknown[str(entry.get("category_id"))] += 1
            continue
        found[key].append(_outline(entry, str(entry.get("id", f"number {number}")), place, pictures[key].size))
    if unknown:
        named = (f"{key} ({count} annotations)" for key, count in unknown.items())
        raise TagmaskError(
            f"{path} has annotations of categories that it does not list: category_id {_some(named)}; its categories "
            f"are {_some(f'{category.key} {category.name}' for category in categories)}: add them, or delete the "
            "annotations"
        )
    return found


def _outline(entry: Entry, name: str, place: int, size: Size | None) -> Outline:
    is_crowd = entry.get("iscrowd") in (1, "1", "true", "True")
    region = entry.get("segmentation")
    parts: Parts | None = None
    fault = None
    if region:
        try:
            parts = _parts(region, size or _own_size(region))
        except ValueError as error:
            fault = str(error)
    return Outline(name, place, is_crowd, _area(entry, parts), parts, fault)


def _own_size(region: object) -> Size | None:
    """The size that run lengths bring along, for an image without one."""
    size = region.get("size") if isinstance(region, dict) else None
    return _size(dict(zip(("height", "width"), size, strict=False))) if isinstance(size, list) else None


def _parts(region: object, size: Size | None) -> Parts | None:
    """What can be drawn of a region; None: it covers nothing.

    Raises:
        ValueError: it is damaged, is that of another image, or lies outside of its image.
    """
    rows, columns = size or (0, 0)
    parts = region_parts(region, rows, columns)
    if isinstance(parts, list) and parts and size is not None:
        inside = [p for p in parts if (p.max(axis=0) > 0).all() and (p.min(axis=0) < (columns, rows)).all()]
        if not inside:
            raise ValueError(f"its outline lies outside of the image of {rows} x {columns} pixels")
    return parts if len(parts) else None


def _area(entry: Entry, parts: Parts | None) -> float:
    """The area as written, or that of the outline where none is."""
    written = entry.get("area")
    if isinstance(written, int | float) and not isinstance(written, bool) and math.isfinite(written) and written > 0:
        return float(written)
    if isinstance(parts, np.ndarray):
        return float(parts[1::2].sum())
    return sum(map(_polygon_area, parts or []))


def _polygon_area(corners: np.ndarray) -> float:
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _without_shares(path: Path, outlines: dict[str, list[Outline]], notes: list[str]) -> dict[str, list[Outline]]:
    """Outlines in shares of the image instead of pixels would cover nothing: none of them is drawn."""
    polygons = [part for each in outlines.values() for outline in each for part in _polygons_of(outline)]
    if not polygons or max(float(part.max()) for part in polygons) > 1:
        return outlines
    notes.append(
        f"The coordinates in {path.name} are not larger than 1, as if they were shares of the image; expected pixels. "
        "Tags are read from the annotations; masks are not."
    )
    return {
        key: [replace(outline, parts=None) if _polygons_of(outline) else outline for outline in each]
        for key, each in outlines.items()
    }


def _polygons_of(outline: Outline) -> list[np.ndarray]:
    return outline.parts if isinstance(outline.parts, list) else []


def _outline_notes(path: Path, outlines: dict[str, list[Outline]]) -> Iterator[str]:
    every = [outline for each in outlines.values() for outline in each]
    damaged = [outline for outline in every if outline.fault]
    empty = [outline for outline in every if outline.parts is None and not outline.fault]
    if every and len(empty) == len(every):
        yield f"The annotations of {path.name} have no outlines: they give tags, and there are no masks to score on."
        return
    images = sum(any(outline.parts is None for outline in each) for each in outlines.values())
    if empty:
        yield (
            f"{len(empty)} annotations of {path.name} have no outline, or one of fewer than three corners (id "
            f"{_some(outline.name for outline in empty)}); they are tags, and no masks."
        )
    if damaged:
        yield (
            f"{len(damaged)} annotations of {path.name} have an outline that cannot be drawn (id {damaged[0].name}: "
            f"{damaged[0].fault}); they are tags, and no masks."
        )
    if images:
        yield f"{images} images of {path.name} with such annotations are not scored."
