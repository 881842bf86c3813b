"""MS-COCO 2014 and 2017 as they are downloaded: whether all is there, and the archives unpacked where there are any."""

import shutil
from pathlib import Path

from tagmask.config import CocoData
from tagmask.conventions import COCO_IMAGES, CocoYear, Counts
from tagmask.data.datasets.coco import Coco
from tagmask.errors import TagmaskError
from tagmask.preparing.tree import (
    Faults,
    Prepared,
    check_count,
    is_prepared,
    named_as,
    note_sources,
    opened,
    put,
    refuse_within,
    sources_of,
    sweep,
)
from tagmask.system.whole_folders import writing_folder

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
NO_MASKS = "No class masks are written: the reader paints them from the annotations, crowds without label."


def prepare_coco(source: Path, out: Path | None, year: CocoYear = 2014, counts: Counts = "published") -> Prepared:
    """Make the folder that recipes for COCO ask for, or say that the one given is one already.

    Args:
        source: the folder with the archives train2014.zip, val2014.zip and annotations_trainval2014.zip, or with what
            came out of them, or some of each.
        out: the new folder, in which what is unpacked already is the same files where the disk allows it; a second call
            with the same source does nothing. None: nothing is made.
        year: which of the two.
        counts: whether the splits must have as many images, and images with a tag, as were published.

    Raises:
        TagmaskError: anything is missing or not as it was published; there are archives and no ``out``; or ``out``
            holds something else.
    """
    if out is None:
        _parts(source, year)
        packed = packed_parts(source, year)
        if packed:
            raise TagmaskError(f"{', '.join(packed)} must be unpacked; name a new folder for all with --out")
        return Prepared(source, False, _checked(source, source, year, counts), (NO_MASKS,))
    sources = sources_of(coco=source, year=year, counts=counts)
    is_new = not is_prepared(out, sources)
    if is_new:
        parts = _parts(source, year)
        refuse_within(out, parts.values())
        sweep(out)
        with writing_folder(out) as folder:
            for name, place in parts.items():
                _bring(name, place, folder)
            numbers = _checked(folder, out, year, counts)
            note_sources(folder, sources)
    else:
        numbers = _checked(out, out, year, counts)
    return Prepared(out, is_new, numbers, (NO_MASKS,))


def packed_parts(source: Path, year: CocoYear) -> tuple[str, ...]:
    """Names of the archives of a folder that are not unpacked beside themselves."""
    found = (_part(source, name, archive, _splits(year)) for name, archive in _archives(year).items())
    return tuple(place.name for place in found if place is not None and place.is_file())


def _splits(year: CocoYear) -> tuple[str, str]:
    return (f"train{year}", f"val{year}")


def _archives(year: CocoYear) -> dict[str, str]:
    """The archive of each part, without ending, by the name of its folder."""
    return {**{split: split for split in _splits(year)}, "annotations": f"annotations_trainval{year}"}


def _parts(source: Path, year: CocoYear) -> dict[str, Path]:
    """Folder or archive of each part, by the name of its folder.

    Raises:
        TagmaskError: a part is missing; all that are missing are named.
    """
    archives = _archives(year)
    found = {name: _part(source, name, archive, _splits(year)) for name, archive in archives.items()}
    missing = [f"{name}/ or {archives[name]}.zip" for name, place in found.items() if place is None]
    if missing:
        raise TagmaskError(f"{source} has no {', no '.join(missing)}; put there what was downloaded, and call again")
    return {name: place for name, place in found.items() if place is not None}


def _part(source: Path, name: str, archive: str, splits: tuple[str, ...]) -> Path | None:
    for folder in (source / name, source / "images" / name):
        needed = [folder / f"instances_{split}.json" for split in splits] if name == "annotations" else [folder]
        if all(path.exists() for path in needed):
            return folder
    files = [source / f"{archive}{ending}" for ending in ENDINGS]
    return next((path for path in files if path.is_file()), None)


def _bring(name: str, place: Path, folder: Path) -> None:
    """Put a part into the new folder.

    Raises:
        TagmaskError: its archive is refused, or holds something else.
    """
    given = opened(place, folder / ".unpacked")
    part = given if given == place else given / name
    if not part.is_dir():
        there = ", ".join(sorted(path.name for path in given.iterdir())) or "nothing"
        raise TagmaskError(f"{place} holds no folder {name} (it holds {there}); fetch it again")
    put(part, folder / name, is_ours=given != place)
    shutil.rmtree(folder / ".unpacked", ignore_errors=True)


def _checked(folder: Path, name: Path, year: CocoYear, counts: Counts) -> tuple[str, ...]:
    """How many images the reader finds.

    Raises:
        TagmaskError: it cannot read the folder, under the name that it has or will have, or the numbers are others than
            those that were published.
    """
    try:
        data = Coco(CocoData(year=year), folder, verify=False)
    except TagmaskError as error:
        raise named_as(folder, name, error) from error
    faults, words = Faults(), []
    for split, published in COCO_IMAGES[year].items():
        tagged = [bool(record.tags) for record in data.split(split)]
        found = (len(tagged), sum(tagged))
        words.append(f"{found[0]} {split} ({found[1]} with a tag)")
        if counts == "published":
            check_count(found[0], published[0], f"images in {split}{year}", faults)
            check_count(found[1], published[1], f"images with a tag in {split}{year}", faults)
    faults.raise_any(f"COCO {year} in {name}")
    return tuple(words)
