"""How strong the background of the pseudo masks is, where it is found and not set: once, on some training images."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Int64
from pydantic import BaseModel, PositiveFloat

from tagmask.contracts import ImageArray, Record
from tagmask.conventions import BACKGROUND
from tagmask.errors import TagmaskError
from tagmask.masks.agreement import count_agreement
from tagmask.masks.factor_on_masks import chosen_factor
from tagmask.masks.outlines import FACTORS, best_factor, outline_contrast, steepness
from tagmask.masks.scores import Mask, argmax_classes
from tagmask.stages.keeping import background_images
from tagmask.stages.masks.maker import MaskMaker
from tagmask.stages.run import Run
from tagmask.stages.sharing import side_by_side
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import read_json_as, write_json

FEWEST_FOR_CHOOSING = 4  # two choose, two judge


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


def is_to_be_found(run: Run) -> bool:
    """Whether the strength of the background is neither set nor found yet."""
    return not isinstance(run.recipe.masks.background.factor, float) and not run.folder.background.exists()


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
