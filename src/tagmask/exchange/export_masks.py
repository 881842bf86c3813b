"""Masks of a run, written as a folder that another tool reads."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tagmask.contracts import Record
from tagmask.errors import TagmaskError
from tagmask.exchange.formats import FORMATS
from tagmask.exchange.index import Index, file_names, write_index
from tagmask.exchange.items import Item, Parcel
from tagmask.exchange.options import FormatName, Photographs, Segmentation, Which
from tagmask.exchange.selection import Kind, Selection, StoredMask, plain_file, select
from tagmask.stages.run import Run
from tagmask.system.progress import track
from tagmask.system.whole_folders import writing_folder

_KINDS = {"masks": "pseudo", "revised": "revised pseudo", "predictions": "predicted", "reviews": "reviewed"}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        masks: how many masks of each kind.
        notes: what was left out, lost or changed, a sentence each.
    """

    masks: Counter[Kind]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return " and ".join(f"{count} {_KINDS[kind]} masks" for kind, count in self.masks.items())


def export_masks(
    run: Run,
    form: FormatName,
    out: Path,
    which: Which | None = None,
    photographs: Photographs | None = None,
    segmentation: Segmentation = "rle",
) -> Exported:
    """Write masks of a run as another tool reads them; the folder appears whole or not at all.

    Args:
        run: whose masks; it is not changed.
        form: the format.
        out: a new or empty folder.
        which: masks; None: reviewed ones where there are any, else the best pseudo masks, without the rejected.
        photographs: what becomes of them; None: as the format needs.
        segmentation: how COCO holds regions; other formats have one way.

    Raises:
        TagmaskError: the run has no such masks, the folder is not empty, or the format cannot hold the classes.
    """
    if segmentation != "rle" and form != "coco":
        raise TagmaskError(f"--segmentation {segmentation} goes with --to coco; leave it out for {form}")
    chosen, way = select(run, which), photographs or FORMATS[form].photographs
    with writing_folder(out) as folder:
        items, written = _items(run, form, chosen, folder, way)
        parcel = Parcel(folder, run.dataset.classes, items, segmentation, run.recipe.name)
        notes = FORMATS[form].write(parcel)
        images = {item.name: item.id for item in items}
        write_index(folder, Index(format=form, classes=list(run.dataset.classes), images=images))
    kinds: Counter[Kind] = Counter(kind for _, kind in chosen.masks)
    return Exported(kinds, (*_selection_notes(chosen), *_photograph_notes(written, way), *notes))


def _items(
    run: Run, form: FormatName, chosen: Selection, folder: Path, way: Photographs
) -> tuple[tuple[Item, ...], int]:
    """The images with their photographs in place, and how many of these had to be written anew."""
    known = {record.id for record in run.training_records}
    ids = [record.id for record, _ in chosen.masks]
    has_files = FORMATS[form].file_each or way != "none"
    names = file_names(ids, FORMATS[form].flat) if has_files else dict(zip(ids, ids, strict=True))
    items, written = [], 0
    for record, kind in track(chosen.masks, "gather images", len(chosen.masks)):
        split = "train" if record.id in known else "val"
        stem = f"{FORMATS[form].image_folder.format(split=split)}/{names[record.id]}"
        path = run.dataset.image_path(record)
        plain = plain_file(run, record)
        image = None if way == "none" else f"{stem}{plain.suffix if plain else '.png'}"
        if image is not None:
            _place(run, record, plain, folder / image, way)
        written += plain is None
        file = f"{record.id}{path.suffix if path else '.png'}"
        items.append(
            Item(record.id, names[record.id], split, kind == "reviews", image, file, StoredMask(run, record, kind))
        )
    return tuple(items), written


def _place(run: Run, record: Record, plain: Path | None, target: Path, way: Photographs) -> None:
    """Copy or link a photograph; one that programs would see otherwise than the run is written as the run sees it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if plain is None:
        Image.fromarray(run.dataset.read_image(record)).save(target, "PNG")
    elif way == "link":
        target.symlink_to(plain.resolve())
    else:
        shutil.copyfile(plain, target)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _selection_notes(chosen: Selection) -> Iterator[str]:
    if chosen.rejected:
        yield f"left out, because their masks have been rejected: {chosen.rejected} of the images."


def _photograph_notes(written: int, way: Photographs) -> Iterator[str]:
    if written and way == "none":
        yield (
            f"{written} masks have another size or turn than the photographs' files, as the run reads these scaled, "
            "turned or by chosen bands: give the tool the photographs of --images copy."
        )
    elif written:
        yield f"{written} photographs were written anew as PNG, as the run reads their files scaled, turned or drawn."
