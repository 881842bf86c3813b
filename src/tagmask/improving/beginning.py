"""The second run begins: a copy of the first one as far as reviews change nothing, and the reviews."""

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from tagmask.conventions import BACKGROUND
from tagmask.errors import TagmaskError
from tagmask.improving.held_back import held_back
from tagmask.reviews.store import Review
from tagmask.stages.run import Run, open_run
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.table import following, stage_named
from tagmask.system.storage import read_maps, write_json
from tagmask.system.whole_folders import same_file, writing_folder

_COPIED = ("recipe.json", "data.json", "choices.json", "log.jsonl")
_SHARED = (".npz", ".safetensors")
"""Kinds of files that both runs may have in one place on the disk: nobody writes on in them or paints over them."""


def begin_improved(first: Run, out: Path, share: float, stage: str | None = None) -> Run:
    """Begin a run that learns from the reviews of another one, or go on with it.

    The new folder is there as a whole or not at all; the first run stays as it is. Maps and weights that both have are
    one file on the disk where the file system can do so.

    Args:
        first: a run with pseudo masks and reviews.
        out: folder of the new run.
        share: of the corrected images, which is held back to judge by.
        stage: the first one to be done again; None: as ``first_stage`` says.

    Raises:
        TagmaskError: the first run has no masks or no reviews, there is no such stage, or the folder holds something
            else.
    """
    if not RunFolder(out).is_begun:
        first.require("make-masks")
        reviews = first.reviews.all([record.id for record in first.given_records])
        if not reviews:
            raise TagmaskError(f"nobody has reviewed a mask of {first.folder.path}; `tagmask review` shows them")
        _begin(first, out, reviews, held_back(reviews, share), stage or first_stage(first, reviews.values()))
    if not RunFolder(out).held_back.exists():
        raise TagmaskError(f"{out} holds a run that improves no other; choose another --out folder")
    return open_run(out, first.data)


def first_stage(run: Run, reviews: Iterable[Review]) -> str:
    """The first stage that reviews change: the classifier where tags were wrong, else the affinities or the network."""
    if any(review.tags is not None for review in reviews):
        return "train-method"
    return "train-segmenter" if run.recipe.affinity is None else "train-affinity"


def _begin(first: Run, out: Path, reviews: Mapping[str, Review], held: tuple[str, ...], stage: str) -> None:
    again = {each.name for each in following(stage)}
    with writing_folder(out) as folder:
        draft = RunFolder(folder)
        copy_kept(first.folder, draft, again)
        _drop_stale_maps(first, draft, reviews)
        shutil.copytree(first.folder.reviews, draft.reviews)
        write_json(draft.held_back, list(held))


def copy_kept(first: RunFolder, draft: RunFolder, again: Collection[str]) -> None:
    """Settings, data and the results of all finished stages but those that are done again, into an empty folder."""
    kept = {name: note for name, note in first.manifest().items() if name not in again}
    results = {result for name in kept for result in stage_named(name).writes}
    for name in sorted({*_COPIED, *results}):
        _link(first.path / name, draft.path / name)
    write_json(draft.path / "manifest.json", kept)


def _link(source: Path, target: Path) -> None:
    """The same file or folder in two places; what is missing stays so."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_kept_file)
    elif source.exists():
        _kept_file(source, target)


def _kept_file(source: str | Path, target: str | Path) -> None:
    if Path(source).suffix in _SHARED:
        same_file(source, target)
    else:
        shutil.copy2(source, target)


def _drop_stale_maps(first: Run, draft: RunFolder, reviews: Mapping[str, Review]) -> None:
    """Leave out maps of classes that an image does not show, or without one that it does: they are made again."""
    for image_id, review in reviews.items():
        path = draft.maps(image_id)
        if review.tags is not None and path.exists():
            shown = set(read_maps(path).classes.tolist()) - {BACKGROUND}
            if shown != {first.dataset.classes.index(tag) + 1 for tag in review.tags}:
                path.unlink()
