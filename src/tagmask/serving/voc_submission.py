"""Masks of test images as the evaluation server of PASCAL VOC takes them."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from tagmask.contracts import MaskArray
from tagmask.data.datasets.checks import NAMES_SHOWN, read_lines
from tagmask.data.datasets.voc import VOC_CLASSES
from tagmask.data.datasets.voc.layout import VocImages, voc_folder
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor, load
from tagmask.serving.photographs import photographs
from tagmask.serving.predict_folder import Outcome
from tagmask.system.progress import track
from tagmask.system.storage import writing

PLACE = Path("results/VOC2012/Segmentation/comp6_test_cls")
TEST_LIST = Path("ImageSets/Segmentation/test.txt")
NUM_TEST = 1456
TAR_SUFFIXES = (".tar", ".tgz", ".gz")


def predict_submission(images: Path, model: str | Path, out: Path, tar: Path | None = None) -> Outcome:
    """Segment the test images of VOC 2012 into ``results/VOC2012/Segmentation/comp6_test_cls/<id>.png``.

    Args:
        images: the test data's folder VOC2012, of which the images of ``ImageSets/Segmentation/test.txt`` are taken; or
            any folder of photographs, of which all are.
        model: a run folder with a trained segmenter of VOC's twenty classes, or what was exported of one.
        out: receives the folder ``results``: indexed PNG with VOC's palette, 0 background, no pixel without label.
        tar: receives that folder as one file, compressed unless its name ends in ``.tar``; written only when no image
            failed.

    Raises:
        TagmaskError: no images, no model, one of other classes, or a name of the tar that says no format.
    """
    if tar is not None and tar.suffix not in TAR_SUFFIXES:
        raise TagmaskError(f"--tar {tar} is no name of a tar; expected one that ends in .tgz, .tar.gz or .tar")
    files = images_to_test(images, out)
    predictor = load(model)
    if predictor.classes != VOC_CLASSES:
        raise TagmaskError(
            f"{model} knows other classes than VOC 2012 ({', '.join(predictor.classes[:NAMES_SHOWN])}, "
            f"{len(predictor.classes)} in all); the server takes masks of VOC's twenty, in their order: train on VOC"
        )
    failed = []
    for key, file in track(files.items(), "predict", len(files)):
        try:
            write_mask(out / PLACE / f"{key}.png", _labelled(predictor, file), None, len(VOC_CLASSES))
        except TagmaskError as error:
            failed.append(str(error))
    if tar is not None and not failed:
        write_tar(out, tar)
    return Outcome(len(files) - len(failed), tuple(failed), tuple(_notes(files, out)))


def images_to_test(folder: Path, out: Path) -> dict[str, Path]:
    """The images to be segmented, by the ids that their masks are named by.

    Raises:
        TagmaskError: there are none, the list of test images names one that is not there, or two have one id.
    """
    if any((below / "JPEGImages").is_dir() for below in (folder, folder / "VOC2012", folder / "VOCdevkit/VOC2012")):
        images = VocImages(voc_folder(folder))
        listed = images.folder.parent / TEST_LIST
        keys = [images.key(line) for line in read_lines(listed)]
        missing = [key for key in keys if key not in images.files]
        if missing:
            raise TagmaskError(f"{listed} names images that are not there: {_some(missing)}; fetch the test data again")
        return {key: images.files[key] for key in keys}
    found = photographs(folder, without=out)
    if found.broken:
        raise TagmaskError("\n".join(["photographs cannot be read:", *found.broken]))
    files = {file.stem: file for file in found.files}
    if len(files) < len(found.files):
        raise TagmaskError(f"{folder} has photographs of the same name, of which masks are named; leave one of each")
    return files


def _labelled(predictor: Predictor, file: Path) -> MaskArray:
    mask = predictor(file)
    assert mask.min(initial=0) >= 0, "a network names a class for every pixel"
    return mask


def _notes(files: dict[str, Path], out: Path) -> Iterator[str]:
    if len(files) != NUM_TEST:
        yield f"The server expects the masks of {NUM_TEST} test images; these are {len(files)}."
    others = sorted({path.stem for path in (out / PLACE).glob("*.png")} - files.keys())
    if others:
        yield f"{out / PLACE} also holds {len(others)} masks of other images ({_some(others)}); remove them."


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


# ── one file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_tar(out: Path, tar: Path) -> None:
    """Pack ``results`` of a folder into a tar, compressed unless its name ends in ``.tar``."""
    way = "w" if tar.suffix == ".tar" else "w:gz"
    with writing(tar) as temporary, tarfile.open(temporary, way) as content:
        for path in sorted((out / PLACE).glob("*.png")):
            content.add(path, path.relative_to(out).as_posix(), filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the names and the hours of whoever made it."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
