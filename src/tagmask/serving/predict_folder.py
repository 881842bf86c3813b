"""Masks for a folder of new images."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from tagmask.contracts import ImageArray, MaskArray
from tagmask.data.images import is_blank, write_mask
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import LARGEST, Predictor, largest_factor, load
from tagmask.masks.grids import scaled_size
from tagmask.masks.overlays import overlay_mask, shrink_image, shrink_mask
from tagmask.serving.class_shares import ClassShares
from tagmask.serving.photographs import Photographs, photographs
from tagmask.system.progress import track
from tagmask.system.storage import writing

NAMES_SHOWN = 10
LONGEST_JPEG = 65_500  # pixels of a side


@dataclass(frozen=True)
class Outcome:
    """What became of a folder.

    Attributes:
        done: how many masks were written.
        failed: one line for each image that failed.
        notes: what else there is to know, one sentence each.
    """

    done: int
    failed: tuple[str, ...]
    notes: tuple[str, ...]


def predict_images(images: Path, model: str | Path, out: Path, overlays: bool) -> Outcome:
    """Segment an image or all images of a folder; one bad image does not stop the others.

    Args:
        images: an image or a folder.
        model: a run folder with a trained segmenter.
        out: receives the masks at the images' relative paths, ``a.jpg.png`` for ``a.jpg``, and, if asked,
            ``a.jpg_overlay.jpg``; and ``classes.json`` and ``classes.csv``.
        overlays: whether to write overlays.

    Raises:
        TagmaskError: no images, or no model.
    """
    found = photographs(images, without=out)  # masks of an earlier call are no photographs
    predictor = load(model)
    root = images if images.is_dir() else images.parent
    work = _Work(predictor, out, ClassShares(out, predictor.classes), overlays)
    failed = list(found.broken)
    _refuse_overwriting(found.files, out, root)
    try:
        for file in track(found.files, "predict", len(found.files)):
            try:
                work.do(file, file.relative_to(root))
            except TagmaskError as error:
                if not _concerns_one(error):
                    raise
                failed.append(str(error))
    finally:
        work.shares.write()
    done = len(found.files) + len(found.broken) - len(failed)
    notes = (*_notes(found, root), *_picture_notes(work.blank, work.large))
    return Outcome(done, tuple(failed), notes)


def _refuse_overwriting(files: Sequence[Path], out: Path, root: Path) -> None:
    """Refuse an output folder where a mask or an overlay would take the place of a photograph."""
    photographs = {file.resolve() for file in files}
    names = [out / file.relative_to(root) for file in files]
    ends = (".png", "_overlay.jpg")
    taken = sorted(photographs & {name.with_name(f"{name.name}{end}").resolve() for name in names for end in ends})
    if taken:
        raise TagmaskError(
            f"masks in {out} would overwrite {len(taken)} photograph(s), such as {taken[0]}; choose another --out "
            "folder."
        )


class _PhotographError(TagmaskError):
    """One photograph cannot be done; the others can."""


@dataclass
class _Work:
    """What is done to every photograph, and what was odd about them."""

    predictor: Predictor
    out: Path
    shares: ClassShares
    overlays: bool
    blank: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)

    def do(self, file: Path, name: Path) -> None:
        """Write the mask of a photograph; large arrays are let go at the end, to make room for the next.

        Raises:
            TagmaskError: it cannot be read or written, or there is not enough memory for it.
        """
        with _memory_named(file):
            pixels = _read(file, self.predictor)
            mask = self.predictor(pixels)
            _write(self.out / name, pixels, mask, self.predictor, self.overlays)
            self.shares.add(name.as_posix(), mask)
            self.blank += [name.as_posix()] if is_blank(pixels) else []
            self.large += [name.as_posix()] if mask.size > LARGEST else []


def _read(file: Path, predictor: Predictor) -> ImageArray:
    try:
        return predictor.read(file)
    except TagmaskError as error:
        raise _PhotographError(str(error)) from error


@contextmanager
def _memory_named(file: Path) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise _PhotographError(
            f"there is not enough memory to segment {file}; make the image smaller, or train with "
            "segmenter.base_long_side set"
        ) from None  # what it holds on to would be lost memory


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, in whatever words of whatever device."""
    words = ("out of memory", "alloc", "could not create a memory", "could not create a primitive")
    is_told = any(word in str(error).lower() for word in words)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or is_told


def _concerns_one(error: TagmaskError) -> bool:
    """Whether an error is one photograph's alone, as a full disk is not."""
    cause = error.__cause__
    is_long_name = isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG
    return isinstance(error, _PhotographError) or is_long_name


def _write(target: Path, pixels: ImageArray, mask: MaskArray, predictor: Predictor, overlays: bool) -> None:
    # The suffix stays in the name: a.jpg and a.png are two images.
    write_mask(target.with_name(f"{target.name}.png"), mask, None, len(predictor.classes))
    if not overlays:
        return
    size = (mask.shape[0], mask.shape[1])
    smaller = scaled_size(size, min(largest_factor(size), LONGEST_JPEG / max(size)))
    if smaller != size:
        pixels, mask = shrink_image(pixels, smaller), shrink_mask(mask, smaller)
    with writing(target.with_name(f"{target.name}_overlay.jpg")) as temporary:
        Image.fromarray(overlay_mask(pixels, mask)).save(temporary, "JPEG", quality=90)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _notes(found: Photographs, root: Path) -> Iterator[str]:
    if found.masks:
        yield f"{found.masks} masks and overlays of an earlier call are passed over."
    others = {
        "images are of kinds that are not read": found.others,
        "images are links to files out of the folder": found.linked,
        "folders are links and are not entered": found.links,
    }
    for what, paths in others.items():
        if paths:
            yield f"{len(paths)} {what}: {_some([path.relative_to(root).as_posix() for path in paths])}."


def _picture_notes(blank: list[str], large: list[str]) -> Iterator[str]:
    if blank:
        yield (
            f"{len(blank)} images have one colour throughout: {_some(blank)}; their masks mean nothing. A band may "
            "have been taken for transparency, or their numbers are very small."
        )
    if large:
        yield (
            f"{len(large)} images of more than {LARGEST / 1e6:.1f} megapixels were segmented at that size, and their "
            f"masks enlarged: {_some(large)}."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
