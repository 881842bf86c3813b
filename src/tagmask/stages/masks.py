"""The stage that makes pseudo masks: maps walk along the affinities, a dense CRF sharpens them, the best class wins."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import PositiveFloat, TypeAdapter

from tagmask.config import MasksConfig, WalkConfig
from tagmask.contracts import Dataset, ImageArray, Record
from tagmask.conventions import BACKGROUND
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError
from tagmask.masks.confident_labels import agreed_labels
from tagmask.masks.from_archives import (
    label_posteriors,
    refined_scores,
    scores_with_background,
    walked_at_image_size,
    walked_scores,
)
from tagmask.masks.outlines import FACTORS, best_factor, outline_contrast, steepness
from tagmask.masks.scores import Mask, against_background, argmax_classes, mask_from_scores, posterior, quality
from tagmask.stages.affinity import walk_maps
from tagmask.stages.run import Run, trained_affinity_net
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import files_of, is_finished, make_of_each, spread_evenly
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import is_whole, read_json_as, read_maps, write_bytes, write_json, writing
from tagmask.system.workers import in_order

SHOWN = 200  # images on which the strength of the background is found, evenly over the tagged ones
SHOWN_OF_EACH_CLASS = 40


def make_masks(run: Run) -> None:
    """Random walk and CRF; writes ``walks/``, ``masks/``, ``confidence/`` and ``quality.csv``."""
    config, records = run.recipe.affinity, run.training_records
    made = [run.folder.confidence, run.folder.mask]
    walks = [] if config is None else [run.folder.walks]
    if is_finished(run, "make-masks", [*files_of(records, *walks, *made), run.folder.quality]):
        return
    run.require("make-maps" if config is None else "train-affinity")
    with run.stage("make-masks", images=len(records)):
        if config is not None:
            walk_maps(run, trained_affinity_net(run, config), config)
        make_of_each(run, mask_maker(run), records, "pseudo masks (CRF)", *made)
        if this_process().is_main_process:
            write_quality(run.folder, records)
        this_process().wait_for_everyone()


def mask_maker(run: Run) -> "MaskMaker":
    """What makes the pseudo masks of a run whose maps, and walks if it has any, are there."""
    affinity = run.recipe.affinity
    walk, stride = (None, 1) if affinity is None else (run.recipe.walk, affinity.stride)
    maker = MaskMaker(run.folder, run.dataset, run.recipe.masks, walk, stride)
    return replace(maker, factors=background_factors(run, maker))


@dataclass(frozen=True)
class MaskMaker:
    """Scores to pseudo mask: background, dense CRF, argmax, ignore band, confidence, quality.

    Attributes:
        run: where maps or walks are read and masks are written.
        dataset: where images are read.
        config: background, CRF, ignore band.
        walk: settings of the walk whose results are used; None: the maps themselves.
        stride: cell of the walk's grid in pixels of the image that was walked on.
        factors: on the background's score, by mask value of the class it stands against; 1 where it is left out.
    """

    run: RunFolder
    dataset: Dataset
    config: MasksConfig
    walk: WalkConfig | None
    stride: int
    factors: Mapping[int, float] = field(default_factory=dict)

    def __call__(self, record: Record) -> None:
        """Write confidence (with the quality in its header) and mask of one image; a mask that is there stays.

        Confidence is written first: a mask without it has lost it later, and may be one that somebody corrected.
        """
        image = self.dataset.read_image(record)
        refined, classes, mask = self.scores_and_mask(record, image)
        self._write_confidence(record, posterior(refined), quality(refined, classes))
        if not is_whole(self.run.mask(record.id)):
            write_mask(self.run.mask(record.id), mask, self.config.ignore_value, len(self.dataset.classes))

    def scores_and_mask(
        self, record: Record, image: ImageArray
    ) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"], Mask]:
        """Scores behind the mask, the mask value of each channel, and the mask."""
        if self.config.confident is not None:
            strong, weak, classes = label_posteriors(image, read_maps(self.run.maps(record.id)), self.config.confident)
            return strong, classes, agreed_labels(argmax_classes(strong, classes), argmax_classes(weak, classes))
        scores, classes = self.scores(record, (image.shape[0], image.shape[1]))
        refined = self.refined(image, scores, classes, self.factors)
        return refined, classes, mask_from_scores(refined, classes, self.config.ignore_below)

    def refined(
        self,
        image: ImageArray,
        scores: Float32[np.ndarray, "k h w"],
        classes: Int16[np.ndarray, " k"],
        factors: Mapping[int, float],
    ) -> Float32[np.ndarray, "k h w"]:
        """Scores against a background as strong as ``factors`` say, refined by the CRF if there is one."""
        scores = against_background(scores, classes, factors)
        return scores if self.config.crf is None else refined_scores(image, scores, self.config.crf)

    def scores(
        self, record: Record, size: tuple[int, int]
    ) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
        """Scores of an image's maps or walks, background first, and the mask value of each channel."""
        if self.walk is None:
            return scores_with_background(read_maps(self.run.maps(record.id)), size, self.config.background)
        archive = walked_at_image_size(read_maps(self.run.walks(record.id)), size, self.walk, self.stride)
        return walked_scores(archive, self.config.background)

    def _write_confidence(self, record: Record, shares: Float32[np.ndarray, "k h w"], quality: float) -> None:
        header = PngInfo()
        header.add_text("quality", f"{quality:.6f}")
        best = (shares.max(axis=0, initial=0.0) * 255).round().astype(np.uint8)
        with writing(self.run.confidence(record.id)) as temporary:
            Image.fromarray(best).save(temporary, "PNG", pnginfo=header)


# ── how strong the background is ─────────────────────────────────────────────────────────────────────────────────────


def background_factors(run: Run, maker: MaskMaker) -> dict[int, float]:
    """Factor on the background's score, by mask value: as set, or found once on some training images.

    Raises:
        TagmaskError: the file of what was found holds something else.
    """
    config, classes, file = run.recipe.masks.background, run.dataset.classes, run.folder.background_factors
    if config.factor != "outlines":
        return {} if config.factor == 1 else dict.fromkeys(range(1, len(classes) + 1), config.factor)
    if this_process().is_main_process and not file.exists():
        found = outline_factors(run, maker)
        write_json(file, {name: round(found[number], 4) for number, name in enumerate(classes, 1)})
    this_process().wait_for_everyone()
    remedy = f"delete {file}, and `make-masks` finds it anew"
    stored = read_json_as(file, TypeAdapter(dict[str, PositiveFloat]).validate_python, remedy)
    return {number: stored.get(name, 1.0) for number, name in enumerate(classes, 1)}


def outline_factors(run: Run, maker: MaskMaker) -> dict[int, float]:
    """The factor of each class, by mask value, at which outlines lie best on edges; see ``masks.outlines``."""
    each = run.recipe.masks.background.factor_of == "each_class"
    tagged = [record for record in run.training_records if record.tags]
    of_class = [[record for record in tagged if number in record.tags] for number in range(len(run.dataset.classes))]
    groups = [spread_evenly(of, SHOWN_OF_EACH_CLASS) for of in of_class] if each else [spread_evenly(tagged, SHOWN)]
    shown = [(record, number + 1 if each else None) for number, group in enumerate(groups) for record in group]
    contrasts: dict[int | None, list[list[float]]] = {}
    work = in_order(partial(_contrasts, maker), shown, run.recipe.masks.workers)
    for (_, value), found in zip(shown, track(work, "strength of the background", len(shown)), strict=True):
        contrasts.setdefault(value, []).append(found)
    values = range(1, len(run.dataset.classes) + 1)
    return {value: best_factor(contrasts.get(value if each else None, [])) for value in values}


def _contrasts(maker: MaskMaker, shown: tuple[Record, int | None]) -> list[float]:
    """Contrast of an image's outlines with each factor: of one class against the background, or of all together."""
    record, value = shown
    image = maker.dataset.read_image(record)
    scores, classes = maker.scores(record, (image.shape[0], image.shape[1]))
    if value is not None:
        chosen = (classes == BACKGROUND) | (classes == value)
        scores, classes = scores[chosen], classes[chosen]
    steep, found = steepness(image), []
    for factor in FACTORS:
        refined = maker.refined(image, scores, classes, dict.fromkeys(range(1, int(classes.max()) + 1), factor))
        found.append(outline_contrast(steep, classes[refined.argmax(axis=0)] != BACKGROUND))
    return found


# ── quality ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_quality(confidence: Path) -> float:
    """The quality number in the header of a confidence map.

    Raises:
        TagmaskError: another program has written the file anew, without it.
    """
    with Image.open(confidence, formats=["PNG"]) as image:
        quality = image.info.get("quality")
    if quality is None:
        raise TagmaskError(f"{confidence} has lost its quality number; delete it, and `make-masks` writes it anew")
    return float(quality)


def write_quality(run: RunFolder, records: Sequence[Record]) -> None:
    """One line per mask, the least trustworthy first: the order in which to review them."""
    rows = [(read_quality(run.confidence(record.id)), record.id) for record in records]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["image", "quality"])
    table.writerows([image_id, f"{value:.6f}"] for value, image_id in sorted(rows))
    write_bytes(run.quality, text.getvalue().encode())
