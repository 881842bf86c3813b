"""A run as people look at it from Python: ``tagmask.Run("runs/x")``."""

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tagmask.contracts import MaskArray
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor, load
from tagmask.inference.reading import AnyImage, pixels_of, reading_of
from tagmask.reviews.store import Reviews
from tagmask.scoring.scores_file import read_scores
from tagmask.scoring.table import WORDS, in_order, mean_of
from tagmask.stages.results import read_ranking
from tagmask.stages.run import Run as OpenedRun
from tagmask.stages.table import STAGES
from tagmask.viewing.detections import detections
from tagmask.viewing.images import MaskedImage, MaskedImages, MaskKind, masks_of
from tagmask.viewing.markup import rendered
from tagmask.viewing.opening import found_run, opened
from tagmask.viewing.overlay import Overlay, overlaid

if TYPE_CHECKING:
    from supervision import Detections  # pyright: ignore[reportMissingImports] (optional)

_WORST = 6


class Run:
    """A light view of a run, finished or not: nothing in its folder is changed, and photographs are opened when needed.

    Args:
        folder: that ``tagmask run`` or ``tagmask begin`` wrote.
        data: where its photographs lie now; None: where they lay before.

    Attributes:
        folder: where each file of the run lies.
        recipe: every setting.
        data: the folder of the photographs; None where they are drawn.

    Raises:
        TagmaskError: there is no run, or one of another version.

    Example:
        ``tagmask.Run("runs/photos").show(0)``
    """

    def __init__(self, folder: str | Path, data: str | Path | None = None) -> None:
        self.folder = found_run(Path(folder))
        self.recipe = self.folder.recipe()
        self.data: Path | None = self.folder.data() if data is None else Path(data)
        self._models: dict[str | None, Predictor] = {}

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names without background; class i is mask value i + 1."""
        return tuple(self.folder.contents().classes)

    @property
    def stages_done(self) -> tuple[str, ...]:
        """Names of the stages that have finished, in order."""
        manifest = self.folder.manifest()
        return tuple(stage.name for stage in STAGES if manifest.get(stage.name, {}).get("done"))

    def scores(self) -> dict[str, dict[str, Any]]:
        """What ``scores.json`` holds: each score with its protocol; empty if nothing has been scored.

        Raises:
            TagmaskError: the file holds something else.
        """
        return read_scores(self.folder)

    def quality(self) -> dict[str, float]:
        """How far to trust each pseudo mask, in [0, 1], by the id of its image, the worst first; empty without any.

        Raises:
            TagmaskError: as ``masks``, or the file holds something else.
        """
        return dict(read_ranking(self._opened()))

    # ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def masks(self, kind: MaskKind | None = None) -> MaskedImages:
        """Masks with their photographs, each read when it is asked for.

        Args:
            kind: ``pseudo`` of all training images, ``predicted`` of the validation images, ``reviewed`` for those that
                a person has accepted or corrected; None: reviewed ones where there are any, else pseudo masks, without
                the rejected, as ``tagmask export-masks`` takes them.

        Raises:
            TagmaskError: the run has no such masks yet, or its photographs are gone or have changed.
        """
        return masks_of(self._opened(), kind)

    def show(self, which: int | str, kind: MaskKind | None = None, ax: Any = None) -> Overlay:
        """A mask over its photograph, by its place in ``masks(kind)`` or the id of its image.

        Args:
            which: place or id.
            kind: as for ``masks``.
            ax: axes of matplotlib to draw into as well.
        """
        return self.masks(kind)[which].show(ax)

    @property
    def reviews(self) -> Reviews:
        """What a person has decided; ``reviews.write`` keeps a decision as the page of ``tagmask review`` does."""
        return self._opened().reviews

    def _opened(self) -> OpenedRun:
        """With the reviews as they are now."""
        return OpenedRun(self.recipe, self.folder, self._with_photographs.dataset, self.data)

    @cached_property
    def _with_photographs(self) -> OpenedRun:
        return opened(self.folder, self.recipe, self.data)

    # ── new photographs ──────────────────────────────────────────────────────────────────────────────────────────────

    def model(self, device: str | None = None) -> Predictor:
        """The trained network as ``tagmask.load`` opens it; it is kept for the next call.

        Raises:
            TagmaskError: it has not been trained, or there is no such device.
        """
        if device not in self._models:
            self._models[device] = load(self.folder.path, device)
        return self._models[device]

    def predict(self, image: AnyImage) -> MaskArray:
        """Mask of a new photograph: ``int32``, rows x columns, 0 background, class i as i + 1.

        Args:
            image: a path, a Pillow image, or RGB pixels ``uint8``, rows x columns x 3.
        """
        return self.model()(image)

    def overlay(self, image: AnyImage, mask: np.ndarray | Image.Image, ax: Any = None) -> Overlay:
        """Any mask over the photograph that it was made from, in the colours of this run.

        Args:
            image: the photograph.
            mask: class numbers, rows x columns, as an array or an indexed Pillow image.
            ax: axes of matplotlib to draw into as well.

        Raises:
            TagmaskError: the photograph cannot be read, their sizes differ, or the mask holds no class numbers.
        """
        title = Path(image).name if isinstance(image, str | Path) else "mask"
        pixels = pixels_of(image, reading_of(self.recipe.data))
        return overlaid(pixels, np.asarray(mask, np.int32), self.classes, title).drawn(ax)

    def to_detections(self, mask: MaskArray) -> "Detections":
        """A mask as ``supervision.Detections``, see ``viewing.detections``."""
        return detections(mask, self.classes)

    # ── how it shows itself ──────────────────────────────────────────────────────────────────────────────────────────

    def __repr__(self) -> str:
        scores = "; ".join(f"{words} {value:.1f} %" for words, value, _ in self._score_rows())
        lines = (
            f"tagmask.Run({str(self.folder.path)!r}): {'; '.join(self._facts())}",
            f"stages done: {', '.join(self.stages_done) or 'none'}",
            f"scores: {scores or 'none'}",
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        pictures, without = self._pictures()
        return rendered(
            "run.html",
            run=self,
            facts=self._facts(),
            stages=self.stages_done,
            scores=self._score_rows(),
            pictures=pictures,
            more=0,
            without=without,
        )

    def _facts(self) -> tuple[str, ...]:
        splits = Counter(image.split for image in self.folder.contents().images.values())
        data, recipe = self.recipe.data, self.recipe
        return (
            f"recipe {recipe.name} on {'drawn scenes' if self.data is None else self.data.name}",
            f"{len(self.classes)} classes ({', '.join(self.classes[:8])}{', ...' if len(self.classes) > 8 else ''})",
            f"{splits[data.train_split]} training and {splits[data.val_split or '']} validation images",
        )

    def _score_rows(self) -> list[tuple[str, float, str]]:
        """Words, percent and protocol of each score that has one number."""
        scores = self.scores()
        means = {key: mean_of(scores[key]) for key in in_order(scores)}
        return [(WORDS[key], 100 * mean, scores[key]["protocol"]) for key, mean in means.items() if mean is not None]

    def _pictures(self) -> tuple[list[tuple[str, MaskedImage]], str]:
        """The least trustworthy masks with thumbnails; or none, and in a sentence why."""
        try:
            masks = self.masks("pseudo")
            worst = [masks[image_id] for image_id in list(self.quality())[:_WORST]]
            return [(image.thumbnail(), image) for image in worst], ""
        except TagmaskError as error:
            return [], f"No pictures: {error}."
