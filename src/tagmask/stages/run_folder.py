"""A run on disk: where each file lies, which recipe it belongs to, and what every stage did."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tagmask.config import Recipe, Role, settings_of
from tagmask.contracts import Dataset
from tagmask.data.datasets.contents import Contents, changed_contents, contents
from tagmask.errors import TagmaskError
from tagmask.stages.table import STAGES, Stage, following
from tagmask.system.environment import environment, peak_memory
from tagmask.system.lock import LOCKS
from tagmask.system.storage import is_temporary, read_json_as, remove_abandoned, write_json

_RESTORE = "restore the file, or run the recipe again into another folder"


class _Claim(BaseModel):
    """What ``recipe.json`` holds."""

    recipe: dict[str, Any]
    data: str | None = None


class _StageNote(BaseModel):
    """What ``manifest.json`` holds of a stage, beside facts for people."""

    model_config = ConfigDict(extra="allow")

    done: bool = False
    seconds: float = 0.0
    peak_memory: float | None = None


_MANIFEST = TypeAdapter(dict[str, _StageNote])


@dataclass(frozen=True)
class RunFolder:
    """The layout of a run.

    ``recipe.json`` the resolved recipe and where the data lie · ``data.json`` classes, images and tags ·
    ``manifest.json`` what each stage did · ``log.jsonl`` losses · ``background.json`` how strong the background is ·
    ``method|affinity|segmenter.safetensors`` weights ·
    ``maps/`` ``affinity_labels/`` ``walks/`` one archive an image ·
    ``saliency/`` ``masks/`` ``confidence/`` ``revised/`` ``predictions/`` one PNG per image · ``quality.csv`` ·
    ``tags.json`` predicted tags · ``instances/`` one JSON per image · ``instances.json`` all of them as COCO ·
    ``reviews/`` what a person has decided about masks · ``held_back.json`` images that judge an improvement ·
    ``scores.json`` · ``report.html``.
    """

    path: Path

    def maps(self, image_id: str) -> Path:
        """Activation maps of an image."""
        return self.path / "maps" / f"{image_id}.npz"

    def saliency(self, image_id: str) -> Path:
        """Saliency map of an image, 0..255, if it was not brought along."""
        return self.path / "saliency" / f"{image_id}.png"

    def affinity_labels(self, image_id: str, kind: str) -> Path:
        """Confident labels of a kind: two CRF posteriors (``powers``), or labels per pixel."""
        return self.path / "affinity_labels" / f"{image_id}.{'npz' if kind == 'powers' else 'png'}"

    def walks(self, image_id: str) -> Path:
        """Maps after the random walk."""
        return self.path / "walks" / f"{image_id}.npz"

    def mask(self, image_id: str) -> Path:
        """Pseudo mask of an image."""
        return self.path / "masks" / f"{image_id}.png"

    def revised(self, image_id: str) -> Path:
        """Pseudo mask that the segmentation network has revised."""
        return self.path / "revised" / f"{image_id}.png"

    def confidence(self, image_id: str) -> Path:
        """Posterior of the pseudo mask's class, 0..255."""
        return self.path / "confidence" / f"{image_id}.png"

    def image_instances(self, image_id: str) -> Path:
        """Instances of an image: size and annotations."""
        return self.path / "instances" / f"{image_id}.json"

    def prediction(self, image_id: str) -> Path:
        """The segmenter's mask."""
        return self.path / "predictions" / f"{image_id}.png"

    @property
    def reviews(self) -> Path:
        """Decisions of a person and the masks that they made, one JSON and at most one PNG an image."""
        return self.path / "reviews"

    @property
    def held_back(self) -> Path:
        """Ids of corrected images that are not learned from, in a run that improves another."""
        return self.path / "held_back.json"

    def weights(self, network: str) -> Path:
        """Weights of ``method``, ``affinity`` or ``segmenter``."""
        return self.path / f"{network}.safetensors"

    @property
    def quality(self) -> Path:
        """Table of one number per pseudo mask."""
        return self.path / "quality.csv"

    @property
    def background(self) -> Path:
        """How strong the background of the pseudo masks is, where it has been found and not set."""
        return self.path / "background.json"

    @property
    def instances(self) -> Path:
        """Instances of all training images, as COCO writes them."""
        return self.path / "instances.json"

    @property
    def predicted_tags(self) -> Path:
        """The classifier's probabilities on the validation images."""
        return self.path / "tags.json"

    @property
    def scores(self) -> Path:
        """All scores with their protocols."""
        return self.path / "scores.json"

    @property
    def choices(self) -> Path:
        """What was chosen for the data and the machine, with reasons, and the estimate; only where it was."""
        return self.path / "choices.json"

    @property
    def log(self) -> Path:
        """One JSON line per logged training step."""
        return self.path / "log.jsonl"

    # ── recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_begun(self) -> bool:
        """Whether a recipe has claimed the folder."""
        return (self.path / "recipe.json").exists()

    def claim(self, recipe: Recipe, data: Path | None, dataset: Dataset) -> None:
        """Write recipe and contents of the data into a new folder, or check that the folder belongs to both.

        What a killed process was still writing is removed.

        Raises:
            TagmaskError: as ``check``.
        """
        self.check(recipe, dataset)
        remove_abandoned(self.path)
        wanted = {"recipe": recipe.model_dump(mode="json"), "data": None if data is None else str(data.resolve())}
        if not self.is_begun or not self._has_results():
            write_json(self.path / "data.json", contents(dataset))
        elif settings_of(self.recipe(), Role.SCORING) != settings_of(recipe, Role.SCORING):
            self.scores.unlink(missing_ok=True)
        if not self.is_begun or self._claimed() != wanted:
            write_json(self.path / "recipe.json", wanted)

    def check_place(self) -> None:
        """Refuse a folder of something else.

        Raises:
            TagmaskError: it is no run, but not empty.
        """
        if not self.is_begun and not self._is_free():
            raise TagmaskError(f"{self.path} is not empty and not a run of tagmask; choose another --out folder.")

    def check(self, recipe: Recipe, dataset: Dataset, pixels: bool = True) -> None:
        """Refuse another recipe, other data, or a folder of something else.

        How a run is carried out or scored, and where its data lie, may change; what it has learned from may not.

        Args:
            recipe: what would be run.
            dataset: its data.
            pixels: whether every image is read, to see whether it is the same picture.

        Raises:
            TagmaskError: the folder holds another recipe's results or has other data, or is no run but not empty.
        """
        self.check_place()
        if not self.is_begun:
            return
        if not self._has_results():
            return  # a recipe that led to nothing may be replaced
        different = _differences(settings_of(self.recipe(), None), settings_of(recipe, None))
        if different:
            raise TagmaskError(
                f"{self.path} holds a run with other settings ({'; '.join(different[:5])}"
                f"{f'; and {len(different) - 5} more' if len(different) > 5 else ''}). Choose another --out folder, or "
                f"repeat the settings that the run was begun with: `tagmask resume {self.path}` knows them."
            )
        self.check_data(contents(dataset, pixels))

    def check_data(self, found: dict[str, Any]) -> None:
        """Refuse other data than those that the run learns from.

        Args:
            found: ``contents`` of the data.

        Raises:
            TagmaskError: classes, images, tags or, where they were read, pixels have changed.
        """
        changes = changed_contents(self.contents().model_dump(), found)
        if changes:
            raise TagmaskError(
                f"the data have changed since {self.path} was begun: {'; '.join(changes)}. Its results belong to the "
                "data as they were; restore them, or choose another --out folder to learn from them as they are now."
            )

    def _has_results(self) -> bool:
        """Whether any stage has written anything, or has begun to train."""
        results = {result for stage in STAGES for result in stage.writes}
        return any((self.path / result).exists() for result in (*results, "checkpoints"))

    def _is_free(self) -> bool:
        """Whether nothing is there but the lock of a call that begins, or what one was writing when it was killed."""
        if self.path.is_file():
            return False
        if not self.path.is_dir():
            return True
        return all(path.name in (*LOCKS, "data.json") or is_temporary(path) for path in self.path.iterdir())

    def recipe(self) -> Recipe:
        """The recipe of an existing run.

        Raises:
            TagmaskError: the folder is no run, or one of another version.
        """
        try:
            return Recipe.model_validate(self._claimed()["recipe"])
        except ValidationError as error:
            raise TagmaskError(
                f"{self.path / 'recipe.json'} was written by another version of tagmask: {error.error_count()} of its "
                "settings are unknown here. Use that version, or run the recipe again into another folder."
            ) from error

    def data(self) -> Path | None:
        """The data folder of an existing run; None for data that are drawn."""
        found = self._claimed()["data"]
        return None if found is None else Path(found)

    def _claimed(self) -> dict[str, Any]:
        file = self.path / "recipe.json"
        if not file.exists():
            raise TagmaskError(
                f"{self.path} is not a run of tagmask (no recipe.json); give a folder `tagmask run` wrote."
            )
        return read_json_as(file, _Claim.model_validate, _RESTORE).model_dump()

    def contents(self) -> Contents:
        """What an existing run learns from, in brief: its classes, images and tags.

        Raises:
            TagmaskError: the file is missing or holds something else.
        """
        return read_json_as(self.path / "data.json", Contents.model_validate, _RESTORE)

    # ── manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def manifest(self) -> dict[str, Any]:
        """What each stage did."""
        file = self.path / "manifest.json"
        found = read_json_as(file, _MANIFEST.validate_python, _RESTORE) if file.exists() else {}
        return {stage: note.model_dump(exclude_unset=True) for stage, note in found.items()}

    def is_done(self, stage: str) -> bool:
        """Whether a stage has finished."""
        return bool(self.manifest().get(stage, {}).get("done"))

    def note(self, stage: str, **facts: object) -> None:
        """Add facts to a stage's entry."""
        manifest = self.manifest()
        manifest[stage] = {**manifest.get(stage, {}), **facts}
        write_json(self.path / "manifest.json", manifest)

    def forget(self, stage: str) -> list[Stage]:
        """Forget a stage and all that builds on it, with their results and scores; returns those that had begun.

        Raises:
            TagmaskError: there is no such stage.
        """
        manifest, stages = self.manifest(), following(stage)
        forgotten = {each.name for each in stages}
        for result in [result for each in reversed(stages) for result in each.writes]:
            _remove(self.path / result)  # what is made of something else goes first: none outlives what it needs
        for each in stages:
            for checkpoint in (self.path / "checkpoints").glob(f"{each.network}-[0-9]*.pt"):
                checkpoint.unlink()
        self.scores.unlink(missing_ok=True)
        kept = {name: entry for name, entry in manifest.items() if name not in forgotten}
        write_json(self.path / "manifest.json", kept)  # last: what is missing until then would be made again
        return [each for each in stages if each.name in manifest]

    @contextmanager
    def stage(self, stage: str, is_main: bool, **facts: object) -> Iterator[None]:
        """Time a stage; its manifest entry is written last, by the first process.

        Seconds of resumed calls add up, and the largest of their memories is kept.
        """
        began = time.perf_counter()
        earlier = self.manifest().get(stage, {}) if is_main else {}
        finished = False
        try:
            yield
            finished = True
        finally:
            if is_main and self.path.exists():
                seconds = round(earlier.get("seconds", 0.0) + time.perf_counter() - began, 2)
                memory = max(earlier.get("peak_memory") or 0, peak_memory() or 0) or None
                self.note(stage, done=finished, seconds=seconds, peak_memory=memory, **environment(), **facts)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():  # of a link, what it leads to is not ours to remove
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Readable list of the leaves in which two JSON values differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(found.keys() | wanted.keys())
        return [d for k in keys for d in _differences(found.get(k), wanted.get(k), f"{name}.{k}".lstrip("."))]
    return [] if found == wanted else [f"{name}: {json.dumps(found)} there, {json.dumps(wanted)} asked for"]
