"""The stage that makes pseudo masks: maps walk along the affinities, a dense CRF sharpens them, the best class wins."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16, Int64
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel, PositiveFloat

from tagmask.config import MasksConfig, WalkConfig
from tagmask.contracts import Dataset, ImageArray, Record
from tagmask.conventions import BACKGROUND
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError
from tagmask.masks.agreement import count_agreement
from tagmask.masks.confident_labels import agreed_labels
from tagmask.masks.factor_on_masks import chosen_factor
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
from tagmask.stages.sharing import (
    EachImage,
    Make,
    crf_device,
    is_finished,
    make_of_each,
    side_by_side,
    spread_evenly,
)
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import is_whole, read_json_as, read_maps, write_bytes, write_json, writing

SHOWN = 200  # images on which the strength of the background is found, evenly over the tagged ones
FEWEST_FOR_CHOOSING = 4  # two choose, two judge


def make_masks(run: Run) -> None:
    """Random walk and CRF; writes ``walks/``, ``masks/``, ``confidence/`` and ``quality.csv``."""
    each = masks_of_each(run)
    if is_finished(run, "make-masks", [*each.files(), run.folder.quality]):
        return
    make = each.maker()
    with run.stage("make-masks", images=len(each.records)):
        make(each.records)
        if this_process().is_main_process:
            write_quality(run.folder, each.records)
        this_process().wait_for_everyone()


def masks_of_each(run: Run) -> EachImage:
    """Walk, confidence and mask; those first on which the strength of the background is found, if it is."""
    walks = [] if run.recipe.affinity is None else [run.folder.walks]
    is_set = isinstance(run.recipe.masks.background.factor, float)
    paths = (*walks, run.folder.confidence, run.folder.mask)
    return EachImage(run.training_records, paths, partial(_maker, run), () if is_set else background_images(run))


def _maker(run: Run) -> Make:
    config = run.recipe.affinity
    run.require("make-maps" if config is None else "train-affinity")
    net = None if config is None else trained_affinity_net(run, config)

    def make(records: Sequence[Record]) -> None:
        if config is not None and net is not None:
            walk_maps(run, net, config, records)
        made = run.folder.confidence, run.folder.mask
        maker = mask_maker(run)
        make_of_each(run, maker, records, "pseudo masks (CRF)", *made, device=maker.device)

    return make


def mask_maker(run: Run) -> "MaskMaker":
    """What makes the pseudo masks of a run whose maps, and walks if it has any, are there."""
    affinity, masks = run.recipe.affinity, run.recipe.masks
    walk, stride = (None, 1) if affinity is None else (run.recipe.walk, affinity.stride)
    device = crf_device(masks.crf, masks.confident and masks.confident.crf)
    maker = MaskMaker(run.folder, run.dataset, masks, walk, stride, device=device)
    return replace(maker, factor=background_factor(run, maker))


@dataclass(frozen=True)
class MaskMaker:
    """Scores to pseudo mask: background, dense CRF, argmax, ignore band, confidence, quality.

    Attributes:
        run: where maps or walks are read and masks are written.
        dataset: where images are read.
        config: background, CRF, ignore band.
        walk: settings of the walk whose results are used; None: the maps themselves.
        stride: cell of the walk's grid in pixels of the image that was walked on.
        factor: on the background's score.
        device: where the CRF computes.
    """

    run: RunFolder
    dataset: Dataset
    config: MasksConfig
    walk: WalkConfig | None
    stride: int
    factor: float = 1.0
    device: str = "cpu"

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
            archive = read_maps(self.run.maps(record.id))
            strong, weak, classes = label_posteriors(image, archive, self.config.confident, self.device)
            return strong, classes, agreed_labels(argmax_classes(strong, classes), argmax_classes(weak, classes))
        scores, classes = self.scores(record, (image.shape[0], image.shape[1]))
        refined = self.refined(image, scores, classes, self.factor)
        return refined, classes, mask_from_scores(refined, classes, self.config.ignore_below)

    def refined(
        self,
        image: ImageArray,
        scores: Float32[np.ndarray, "k h w"],
        classes: Int16[np.ndarray, " k"],
        factor: float,
    ) -> Float32[np.ndarray, "k h w"]:
        """Scores against a background ``factor`` times as strong, refined by the CRF if there is one."""
        scores = against_background(scores, classes, factor)
        return scores if self.config.crf is None else refined_scores(image, scores, self.config.crf, self.device)

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


class BackgroundStrength(BaseModel):
    """What ``background.json`` holds.

    Attributes:
        factor: on the background's score.
        chosen_on: ids of the images whose masks chose it, if any did.
        judged_on: ids of other images, on whose masks it was judged.
        mean_iou: on these, in [0, 1].
        between: 95 % interval of it over images drawn anew.
        mean_iou_of_one: on the same, with a factor of 1.
    """

    factor: PositiveFloat
    chosen_on: tuple[str, ...] = ()
    judged_on: tuple[str, ...] = ()
    mean_iou: float | None = None
    between: tuple[float, float] | None = None
    mean_iou_of_one: float | None = None

    @property
    def reason(self) -> str:
        """Why this factor, in a sentence."""
        if self.mean_iou is None or self.between is None or self.mean_iou_of_one is None:
            return "the outlines of masks lie best on edges of the images with it."
        low, high = (100 * end for end in self.between)
        return (
            f"it is the best on {len(self.chosen_on)} masks; on {len(self.judged_on)} others mean IoU is "
            f"{100 * self.mean_iou:.1f} % with it (95 % between {low:.1f} and {high:.1f}), and "
            f"{100 * self.mean_iou_of_one:.1f} % with 1."
        )


def background_factor(run: Run, maker: MaskMaker) -> float:
    """Factor on the background's score: as set, or found once on some training images.

    Raises:
        TagmaskError: the file of what was found holds something else, or there are too few masks to choose with.
    """
    config, file = run.recipe.masks.background, run.folder.background
    if isinstance(config.factor, float):
        return config.factor
    if this_process().is_main_process and not file.exists():
        found = factor_by_outlines(run, maker) if config.factor == "outlines" else factor_by_masks(run, maker)
        write_json(file, found.model_dump(mode="json", exclude_defaults=True))
    this_process().wait_for_everyone()
    return read_background(run).factor


def read_background(run: Run) -> BackgroundStrength:
    """What was found about the background of a run's pseudo masks.

    Raises:
        TagmaskError: the file is missing or holds something else.
    """
    remedy = f"delete {run.folder.background}, and `make-masks` finds it anew"
    return read_json_as(run.folder.background, BackgroundStrength.model_validate, remedy)


def chosen_on(run: Run) -> frozenset[str]:
    """Ids of the images whose masks have chosen how strong the background is."""
    return frozenset(read_background(run).chosen_on) if run.folder.background.exists() else frozenset()


def background_images(run: Run) -> list[Record]:
    """The images on which the strength of the background is found, spread over all that can be used."""
    background = run.recipe.masks.background
    if background.factor == "masks":
        return spread_evenly([r for r in run.records_with_truth if r.tags], background.masks_for_choosing)
    return spread_evenly([record for record in run.training_records if record.tags], SHOWN)


def factor_by_outlines(run: Run, maker: MaskMaker) -> BackgroundStrength:
    """The factor at which outlines lie best on edges; see ``masks.outlines``."""
    shown = background_images(run)
    work = side_by_side(partial(_contrasts, maker), shown, run.recipe.masks.workers, maker.device)
    contrasts = [*track(work, "strength of the background", len(shown))]
    return BackgroundStrength(factor=round(best_factor(contrasts), 4))


def factor_by_masks(run: Run, maker: MaskMaker) -> BackgroundStrength:
    """The best factor on every second of some images with masks, judged on the others; ``masks.factor_on_masks``."""
    tagged = [record for record in run.records_with_truth if record.tags]
    if len(tagged) < FEWEST_FOR_CHOOSING:
        raise TagmaskError(
            f"masks.background.factor=masks, and {len(tagged)} tagged training image(s) have a ground-truth mask; "
            f"{FEWEST_FOR_CHOOSING} are needed: name their folder (data.masks), or take factor=outlines"
        )
    shown = background_images(run)
    work = side_by_side(partial(_counts, maker), shown, run.recipe.masks.workers, maker.device)
    counts = np.stack([*track(work, "strength of the background", len(shown))])
    found = chosen_factor(counts[::2], counts[1::2])
    chosen_on, judged_on = (tuple(record.id for record in half) for half in (shown[::2], shown[1::2]))
    return BackgroundStrength(**vars(found), chosen_on=chosen_on, judged_on=judged_on)


def _contrasts(maker: MaskMaker, record: Record) -> list[float]:
    """Contrast of an image's outlines with each factor."""
    image = maker.dataset.read_image(record)
    steep = steepness(image)
    return [outline_contrast(steep, mask != BACKGROUND) for mask in _masks_of_factors(maker, record, image)]


def _counts(maker: MaskMaker, record: Record) -> Int64[np.ndarray, "f 3 k"]:
    """Right, true and predicted pixels of an image's mask with each factor."""
    image, truth = maker.dataset.read_image(record), maker.dataset.read_mask(record)
    assert truth is not None
    known = len(maker.dataset.classes)
    return np.stack([count_agreement(truth, mask, known) for mask in _masks_of_factors(maker, record, image)])


def _masks_of_factors(maker: MaskMaker, record: Record, image: ImageArray) -> Iterator[Mask]:
    scores, classes = maker.scores(record, (image.shape[0], image.shape[1]))
    for factor in FACTORS:
        yield argmax_classes(maker.refined(image, scores, classes, factor), classes)


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
