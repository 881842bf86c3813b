"""A run on disk: where each file lies, which recipe it belongs to, and what every stage did."""

import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tagmask.config import Recipe
from tagmask.errors import TagmaskError
from tagmask.system.storage import read_json, remove_abandoned, write_json


@dataclass(frozen=True)
class RunFolder:
    """The layout of a run.

    ``recipe.json`` the resolved recipe · ``manifest.json`` what each stage did · ``log.jsonl`` losses ·
    ``method|affinity|segmenter.safetensors`` weights · ``maps/`` ``affinity_labels/`` ``walks/`` one archive an image ·
    ``saliency/`` ``masks/`` ``confidence/`` ``predictions/`` one PNG per image · ``quality.csv`` ·
    ``tags.json`` predicted tags · ``instances/`` one JSON per image · ``instances.json`` all of them as COCO ·
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

    def confidence(self, image_id: str) -> Path:
        """Posterior of the pseudo mask's class, 0..255."""
        return self.path / "confidence" / f"{image_id}.png"

    def image_instances(self, image_id: str) -> Path:
        """Instances of an image: size and annotations."""
        return self.path / "instances" / f"{image_id}.json"

    def prediction(self, image_id: str) -> Path:
        """The segmenter's mask."""
        return self.path / "predictions" / f"{image_id}.png"

    def weights(self, network: str) -> Path:
        """Weights of ``method``, ``affinity`` or ``segmenter``."""
        return self.path / f"{network}.safetensors"

    @property
    def quality(self) -> Path:
        """Table of one number per pseudo mask."""
        return self.path / "quality.csv"

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
    def log(self) -> Path:
        """One JSON line per logged training step."""
        return self.path / "log.jsonl"

    # ── recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_begun(self) -> bool:
        """Whether a recipe has claimed the folder."""
        return (self.path / "recipe.json").exists()

    def claim(self, recipe: Recipe, data: Path | None) -> None:
        """Write the recipe into a new folder, or check that the folder belongs to this recipe and this data.

        What a killed process was still writing is removed.

        Raises:
            TagmaskError: the folder holds another recipe's results, or is no run folder but not empty.
        """
        wanted = {"recipe": recipe.model_dump(mode="json"), "data": None if data is None else str(data.resolve())}
        file = self.path / "recipe.json"
        remove_abandoned(self.path)
        if not self.is_begun:
            if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
                raise TagmaskError(f"{self.path} is not empty and not a run of tagmask; choose another --out folder.")
            write_json(file, wanted)
            return
        found = read_json(file)
        different = _differences(found, wanted)
        if different:
            raise TagmaskError(
                f"{self.path} holds a run with other settings ({'; '.join(different[:5])}). "
                "Choose another --out folder, or repeat the settings that the run was begun with."
            )

    def recipe(self) -> Recipe:
        """The recipe of an existing run.

        Raises:
            TagmaskError: the folder is no run, or one of another version.
        """
        try:
            return Recipe.model_validate(self._claimed().get("recipe"))
        except ValidationError as error:
            raise TagmaskError(
                f"{self.path / 'recipe.json'} was written by another version of tagmask: {error.error_count()} of its "
                "settings are unknown here. Use that version, or run the recipe again into another folder."
            ) from error

    def data(self) -> Path | None:
        """The data folder of an existing run; None for data that are drawn."""
        found = self._claimed().get("data")
        return None if found is None else Path(found)

    def _claimed(self) -> dict[str, Any]:
        file = self.path / "recipe.json"
        if not file.exists():
            raise TagmaskError(
                f"{self.path} is not a run of tagmask (no recipe.json); give a folder `tagmask run` wrote."
            )
        found = read_json(file)
        return found if isinstance(found, dict) else {}

    # ── manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def manifest(self) -> dict[str, Any]:
        """What each stage did."""
        file = self.path / "manifest.json"
        found = read_json(file) if file.exists() else {}
        assert isinstance(found, dict)
        return found

    def is_done(self, stage: str) -> bool:
        """Whether a stage has finished."""
        return bool(self.manifest().get(stage, {}).get("done"))

    def note(self, stage: str, **facts: object) -> None:
        """Add facts to a stage's entry."""
        manifest = self.manifest()
        manifest[stage] = {**manifest.get(stage, {}), **facts}
        write_json(self.path / "manifest.json", manifest)

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
                memory = max(earlier.get("peak_memory", 0), peak_memory())
                self.note(stage, done=finished, seconds=seconds, peak_memory=memory, **environment(), **facts)


def environment() -> dict[str, str]:
    """Versions and hardware behind a result."""
    names = ("tagmask", "torch", "timm", "numpy", "numba", "accelerate")
    return {
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def peak_memory() -> int:
    """MiB that this process, or the largest of its finished loader processes, has held at most so far."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return max(resource.getrusage(user).ru_maxrss for user in users) // unit


def _commit() -> str:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Readable list of the leaves in which two JSON values differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(found.keys() | wanted.keys())
        return [d for k in keys for d in _differences(found.get(k), wanted.get(k), f"{name}.{k}".lstrip("."))]
    return [] if found == wanted else [f"{name}: {json.dumps(found)} there, {json.dumps(wanted)} asked for"]
