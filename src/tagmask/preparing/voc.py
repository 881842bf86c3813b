"""PASCAL VOC 2012 and SBD in one folder: lists of 1 464, 1 449 and 10 582 images, and a mask for each of them."""

import shutil
from pathlib import Path

from tagmask.config import VocData
from tagmask.conventions import VOC_IMAGES, Counts
from tagmask.data.datasets.checks import read_lines
from tagmask.data.datasets.voc import Voc
from tagmask.data.datasets.voc.layout import VocImages, list_path, voc_folder
from tagmask.errors import TagmaskError
from tagmask.preparing.sbd import is_needed, mask_file, sbd_folder, sbd_ids
from tagmask.preparing.tree import (
    Faults,
    Prepared,
    check_count,
    counted,
    is_prepared,
    named_as,
    note_sources,
    opened,
    put,
    refuse_within,
    sources_of,
    sweep,
)
from tagmask.preparing.voc_masks import Converted, from_mat, from_png
from tagmask.system.storage import write_bytes
from tagmask.system.whole_folders import writing_folder
from tagmask.system.workers import several_at_once

LISTS = Path("ImageSets/Segmentation")
OWN_MASKS, ALL_MASKS = "SegmentationClass", "SegmentationClassAug"
FOLDERS = ("JPEGImages", "Annotations", "ImageSets", OWN_MASKS, ALL_MASKS, "SegmentationObject")

NO_PHOTOGRAPH = "images without a photograph in JPEGImages"
NO_ANNOTATION = "images without an annotation in Annotations"
NO_MASK = "images without a mask in SegmentationClassAug; name SBD (benchmark.tgz), which has them"

Lists = dict[str, tuple[str, ...]]


def prepare_voc(voc: Path, sbd: Path | None, out: Path, counts: Counts = "published") -> Prepared:
    """Make the folder VOC2012 that recipes for VOC ask for: with ``train_aug.txt`` and ``SegmentationClassAug``.

    The masks of ``SegmentationClassAug`` are VOC's own where VOC has one, else those that lie there already, else
    SBD's. Photographs and whatever else is taken as it is are the same files in both places where the disk allows it.

    Args:
        voc: VOCtrainval_11-May-2012.tar, or the folder that came out of it.
        sbd: benchmark.tgz, or the folder that came out of it; None: the list of VOC's folder and the masks of its
            ``SegmentationClassAug`` are taken.
        out: the new folder; a second call with the same sources does nothing.
        counts: whether the lists must be as long as those that were published.

    Raises:
        TagmaskError: anything is missing or not as it was published, all of it named; or ``out`` holds something else.
    """
    sources = sources_of(voc=voc, sbd=sbd, counts=counts)
    if is_prepared(out, sources):
        return Prepared(out, False, _read_back(out, out))
    refuse_within(out, [source for source in (voc, sbd) if source is not None])
    sweep(out)
    with writing_folder(out) as folder:
        _bring(voc, folder)
        faults = Faults()
        if sbd is None:
            _complete(folder, None, counts, faults)
        else:
            _complete(folder, sbd_folder(opened(sbd, folder / ".sbd", is_needed)), counts, faults)
            shutil.rmtree(folder / ".sbd", ignore_errors=True)
        faults.raise_any(f"VOC 2012 in {voc}" + (f" with SBD in {sbd}" if sbd else ""))
        found = _read_back(folder, out)
        note_sources(folder, sources)
    return Prepared(out, True, found)


def _bring(voc: Path, folder: Path) -> None:
    """Put the parts of VOC2012 into the new folder."""
    given = opened(voc, folder / ".voc")
    source = voc_folder(given)
    for name in FOLDERS:
        if (source / name).is_dir():
            put(source / name, folder / name, is_ours=given != voc)
    shutil.rmtree(folder / ".voc", ignore_errors=True)


def _complete(folder: Path, sbd: Path | None, counts: Counts, faults: Faults) -> None:
    """Write the list ``train_aug`` and the masks that are not there, and note what is wrong."""
    images = VocImages(folder)
    lists = _lists(folder, images, sbd)
    if counts == "published":
        for name, number in VOC_IMAGES.items():
            check_count(len(lists[name]), number, f"images in {name}", faults)
    for key in sorted({*lists["train"], *lists["train_aug"]} & {*lists["val"]}):
        faults.add("images to be learned from that are validation images", key)
    write_bytes(folder / LISTS / "train_aug.txt", "".join(f"{key}\n" for key in lists["train_aug"]).encode())
    own = {*lists["train"], *lists["val"]}
    wanted = sorted(own | {*lists["train_aug"]})
    found = several_at_once(lambda key: _image_faults(folder, key, key in own, images, sbd), wanted)
    for key, faulty in zip(wanted, found, strict=True):
        for what, words in faulty:
            faults.add(what, f"{key}{words}")


def _image_faults(folder: Path, key: str, is_own: bool, images: VocImages, sbd: Path | None) -> list[tuple[str, str]]:
    """Put the mask of an image into ``SegmentationClassAug``; returns what is wrong with the image."""
    if key not in images.files:
        return [(NO_PHOTOGRAPH, "")]
    has_annotation = (folder / "Annotations" / f"{key}.xml").is_file()
    return [*(() if has_annotation else [(NO_ANNOTATION, "")]), *_mask_faults(folder, key, is_own, images, sbd)]


def _lists(folder: Path, images: VocImages, sbd: Path | None) -> Lists:
    """The ids of the three lists.

    Raises:
        TagmaskError: one is missing.
    """
    found: Lists = {}
    for name in ("train", "val"):
        if not (folder / LISTS / f"{name}.txt").is_file():
            raise TagmaskError(f"VOC 2012 has no list {LISTS / name}.txt; give all of VOCtrainval_11-May-2012.tar")
        found[name] = tuple(map(images.key, read_lines(folder / LISTS / f"{name}.txt")))
    if sbd is not None:
        found["train_aug"] = tuple(sorted((sbd_ids(sbd) | set(found["train"])) - set(found["val"])))
        return found
    path = list_path(folder, "train_aug", None)
    if path is None:
        raise TagmaskError(
            f"VOC 2012 has no list {LISTS}/train_aug.txt; name SBD (benchmark.tgz), from which it is made"
        )
    return found | {"train_aug": tuple(map(images.key, read_lines(path)))}


def _mask_faults(
    folder: Path, key: str, is_own: bool, images: VocImages, sbd: Path | None
) -> tuple[tuple[str, str], ...]:
    own, target, photograph = folder / OWN_MASKS / f"{key}.png", folder / ALL_MASKS / f"{key}.png", images.files[key]
    if is_own:
        source, found = own, from_png(own, photograph)
    elif target.is_file():
        source, found = target, from_png(target, photograph)
    elif sbd is not None:
        source, found = target, from_mat(mask_file(sbd, key), photograph)
    else:
        return ((NO_MASK, ""),)
    if not found.faults:
        _keep(found, source, target)
    return found.faults


def _keep(found: Converted, source: Path, target: Path) -> None:
    content = source.read_bytes() if found.content is None else found.content
    if found.content is not None or source != target:
        write_bytes(target, content)


def _read_back(folder: Path, name: Path) -> tuple[str, ...]:
    """What the reader finds in the folder.

    Raises:
        TagmaskError: it cannot be read, under the name that it has or will have.
    """
    try:
        data = Voc(VocData(masks=ALL_MASKS), folder, verify=False)
    except TagmaskError as error:
        raise named_as(folder, name, error) from error
    found = {
        "train_aug": len(data.split("train_aug")),
        "val": len(data.split("val")),
        "train": len(data.score_ids or ()),
    }
    return (*counted({name: found[name] for name in ("train", "val", "train_aug")}), f"{_masks(data)} masks")


def _masks(data: Voc) -> int:
    return sum(record.has_mask for record in data.records)
