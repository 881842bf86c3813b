"""Masks for a folder of new images."""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tagmask.contracts import MaskArray
from tagmask.data.images import is_blank, write_mask
from tagmask.data.rasters import DamagedPartError, Placement, has_rasterio, is_placed, placement
from tagmask.data.windows import Source
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import LARGEST, Predictor, load
from tagmask.serving.class_shares import ClassShares
from tagmask.serving.mask_files import beside, known_strips, write_overlay, write_strips
from tagmask.serving.parts import Parts, is_shared, maker
from tagmask.serving.photographs import ENDINGS, OVERLAY, PNG, Photographs, photographs
from tagmask.system.lock import CLAIMS, beside_others, lock_for
from tagmask.system.progress import track
from tagmask.system.shards.shard import CHUNK, Shard

NAMES_SHOWN = 10


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


def predict_images(
    images: Path, model: str | Path, out: Path, overlays: bool, tiles: int | str = "auto", shard: Shard | None = None
) -> Outcome:
    """Segment an image or all images of a folder; one bad image does not stop the others.

    Args:
        images: an image or a folder.
        model: a run folder with a trained segmenter.
        out: receives the masks at the images' relative paths, ``a.jpg.png`` for ``a.jpg``, and, if asked,
            ``a.jpg_overlay.jpg``; ``a.tif_mask.tif`` for images that lie on a map; and ``classes.json`` and
            ``classes.csv``.
        overlays: whether to write overlays.
        tiles: ``auto``, ``none``, or the side of the tiles that images are taken in.
        shard: which photographs are done, beside other calls; None: all that no such call has done. The call that
            finds all of them done writes ``classes.csv``.

    Raises:
        TagmaskError: no images, no model, or tiles cannot have this side; or others are at work in ``out``, and this
            call would have it for itself.
    """
    found = photographs(images, without=out)  # masks of an earlier call are no photographs
    predictor = load(model, tiles=tiles)
    root = images if images.is_dir() else images.parent
    work = _Work(predictor, out, ClassShares(out, predictor.classes), overlays)
    _refuse_overwriting(found.files, out, root)
    files = {file.relative_to(root).as_posix(): file for file in found.files}
    parts = Parts(out, "" if shard is None and not is_shared(out) else maker(model, tiles, overlays))
    if shard is None:
        _do_the_rest(work, files, parts)
    elif left := _do_shard(work, files, parts, shard):
        notes = (*_notes(found, root), *work.notes(), *work.failed.values(), _unfinished(left, len(files)))
        return Outcome(len(work.shares.counts), (), notes)
    failed = (*found.broken, *work.failed.values())
    return Outcome(len(work.shares.counts), failed, (*_notes(found, root), *work.notes()))


def _do_the_rest(work: "_Work", files: Mapping[str, Path], parts: Parts) -> None:
    """Do what no shard has done, and write the table of all."""
    if is_shared(work.out):
        lock_for(work, work.out)
    _join(work, files, parts)
    parts.remove()


def _do_shard(work: "_Work", files: Mapping[str, Path], parts: Parts, shard: Shard) -> int:
    """Do a shard; when it was the last one, write the table of all. Returns how many photographs have no mask yet."""
    with beside_others(work.out, f"predict-{shard.name}", f"shard {shard} of predict"):
        for _ in track(_parts_done(work, files, parts, shard), f"predict, shard {shard}", len(files)):
            pass
    left = len(files.keys() - parts.read(files).keys())
    if not left:
        _join(work, files, parts)
    return left


def _parts_done(work: "_Work", files: Mapping[str, Path], parts: Parts, shard: Shard) -> Iterator[str]:
    """The photographs of a shard, each when it is done; those of parts that were there are passed over."""
    for names in shard.parts(list(files), work.out / CLAIMS, "predict"):
        for start in range(0, len(names), CHUNK):
            part = {name: files[name] for name in names[start : start + CHUNK]}
            if not parts.has(part):
                for name, file in part.items():
                    work.attempt(name, file)
                    yield name
                parts.write(part, work.shares.counts)


def _join(work: "_Work", files: Mapping[str, Path], parts: Parts) -> None:
    """Do what no part speaks of, and write the table, with the images in the order of one process."""
    known = parts.read(files)
    work.shares.counts.clear()
    work.failed.clear()
    try:
        for name, file in track(files.items(), "predict", len(files)):
            if counts := known.get(name):
                work.shares.counts[name] = counts
            else:
                work.attempt(name, file)
    finally:
        work.shares.write()


def _refuse_overwriting(files: Sequence[Path], out: Path, root: Path) -> None:
    """Refuse an output folder where a mask or an overlay would take the place of a photograph."""
    photographs = {file.resolve() for file in files}
    names = [out / file.relative_to(root) for file in files]
    taken = sorted(photographs & {beside(name, ending).resolve() for name in names for ending in ENDINGS})
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
    failed: dict[str, str] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)
    tiled: list[str] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)

    def attempt(self, name: str, file: Path) -> None:
        """Write the mask of a photograph, or note why there is none."""
        try:
            self.do(file, Path(name))
        except TagmaskError as error:
            if not _concerns_one(error):
                raise
            self.failed[name] = str(error)

    def do(self, file: Path, name: Path) -> None:
        """Write the mask of a photograph; large arrays are let go at the end, to make room for the next.

        Raises:
            TagmaskError: it cannot be read or written, or there is not enough memory for it.
        """
        side, place = self.predictor.tile_side(file), placement(file)
        with _memory_named(file):
            if side is not None:
                self._in_tiles(file, name, side, place)
            else:
                self._as_a_whole(file, name, place)
        self.unplaced += [name.as_posix()] if place is None and not has_rasterio() and is_placed(file) else []

    def _as_a_whole(self, file: Path, name: Path, place: Placement | None) -> None:
        with _photograph_named():
            pixels = self.predictor.reading.photograph(file)
        mask = self.predictor(pixels)
        if place is not None:
            with self.predictor.reading.windows(file) as source:
                self._write_strips(name, source, [mask], place)
        else:
            write_mask(beside(self.out / name, PNG), mask, None, len(self.predictor.classes))
            self.shares.add(name.as_posix(), mask)
            if self.overlays:
                write_overlay(beside(self.out / name, OVERLAY), pixels, mask)
        self.blank += [name.as_posix()] if is_blank(pixels) else []
        self.large += [name.as_posix()] if mask.size > LARGEST else []

    def _in_tiles(self, file: Path, name: Path, side: int, place: Placement | None) -> None:
        with ExitStack() as stack:
            with _photograph_named():
                source = stack.enter_context(self.predictor.reading.windows(file))
            self._write_strips(name, source, self.predictor.tiling(source, side).strips(), place)
        self.tiled += [name.as_posix()] if self.predictor.tiles == "auto" else []

    def _write_strips(self, name: Path, source: Source, strips: Iterable[MaskArray], place: Placement | None) -> None:
        known = known_strips(source, strips)
        counts = write_strips(self.out / name, source, known, place, len(self.predictor.classes), self.overlays)
        self.shares.add_counts(name.as_posix(), counts)

    def notes(self) -> Iterator[str]:
        """What was odd about photographs, and what else could have been done with them."""
        megapixels = f"{LARGEST / 1e6:.1f} megapixels"
        if self.blank:
            yield (
                f"{len(self.blank)} images have one colour throughout: {_some(self.blank)}; their masks mean nothing. "
                "A band may have been taken for transparency, or their numbers are very small."
            )
        if self.large:
            yield (
                f"{len(self.large)} images of more than {megapixels} were segmented at that size, and their masks "
                f"enlarged: {_some(self.large)}. If their objects have as many pixels as in training, take them in "
                f"tiles: --tiles {self.predictor.usual_side}."
            )
        if self.tiled:
            yield (
                f"{len(self.tiled)} georeferenced images of more than {megapixels} were segmented in tiles of "
                f"{self.predictor.usual_side} pixels at their own scale: {_some(self.tiled)}. With --tiles none they "
                "are scaled down instead."
            )
        if self.unplaced:
            yield (
                f"{len(self.unplaced)} images are georeferenced, and their masks are not, as rasterio is not installed "
                f"(pip install 'tagmask[geo]'): {_some(self.unplaced)}."
            )


@contextmanager
def _photograph_named() -> Iterator[None]:
    try:
        yield
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
    return isinstance(error, _PhotographError | DamagedPartError) or is_long_name


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _unfinished(left: int, total: int) -> str:
    return (
        f"{left} of {total} photographs have no mask yet. Who does the last of them writes the table of all; if nobody "
        "does, the same call without --shard makes what is missing and writes it."
    )


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


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
