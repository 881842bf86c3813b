"""The stage that makes saliency maps without labels, and how they are read from wherever they lie."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image

from tagmask.config import AnyBackbone, Recipe
from tagmask.contracts import Backbone, Dataset, ImageArray, Record
from tagmask.data.datasets.saliency_files import BUILT_IN, read_saliency_map
from tagmask.errors import TagmaskError
from tagmask.inference.passes import padded_to, resize_image
from tagmask.masks.grids import long_side_factor
from tagmask.masks.saliency import saliency_of_colours, saliency_of_features
from tagmask.networks.backbones import build_backbone
from tagmask.networks.levels import is_plain, main_levels
from tagmask.networks.memory_format import channels_last
from tagmask.stages.checks import makes_saliency
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import EachImage, Make, is_finished, make_of_each
from tagmask.system.storage import write_bytes

LONG_SIDE = 320


def require_something_to_make(recipe: Recipe) -> None:
    """Say why there are no saliency maps to compute.

    Raises:
        TagmaskError: the method does not learn from saliency, or reads maps that somebody brought.
    """
    if not recipe.method.learns_from_saliency:
        raise TagmaskError(f"nothing to make: method {recipe.method.kind!r} does not learn from saliency maps.")
    if recipe.data.saliency != BUILT_IN:
        raise TagmaskError(
            f"nothing to make: the saliency maps in the folder {recipe.data.saliency!r} of the data are used as they "
            f"are; set data.saliency={BUILT_IN} to compute others."
        )


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SaliencyReader:
    """Reads the saliency map of an image: the one the run has made if it makes them, else the data set's own."""

    folder: RunFolder
    dataset: Dataset
    made: bool

    def __call__(self, record: Record) -> Float[np.ndarray, "h w"]:
        """Object-ness in [0, 1], at the resolution of the file.

        Raises:
            TagmaskError: the map is missing or unreadable.
        """
        if self.made:
            return read_saliency_map(self.folder.saliency(record.id))
        found = self.dataset.read_saliency(record)
        if found is None:
            raise TagmaskError(f"{record.id} has no saliency map; put it where the others are and run again.")
        return found


def reader(recipe: Recipe, folder: RunFolder, dataset: Dataset) -> Callable[[Record], Float[np.ndarray, "h w"]] | None:
    """What training samples read saliency with; None if the method needs none."""
    needed = recipe.method.learns_from_saliency
    return SaliencyReader(folder, dataset, makes_saliency(recipe)) if needed else None


# ── making ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_saliency(run: Run) -> None:
    """Saliency maps of the training images, for methods that learn from them; writes ``saliency/``.

    Raises:
        TagmaskError: the recipe asks for none, or for those of a folder.
    """
    each = saliency_of_each(run)
    if is_finished(run, "make-saliency", each.files()):
        return
    with run.stage("make-saliency", images=len(each.records)):
        each.maker()(each.records)


def saliency_of_each(run: Run) -> EachImage:
    """The saliency map of each image; raises as ``make_saliency``."""
    require_something_to_make(run.recipe)

    def prepared() -> Make:
        maker = SaliencyMaker(run.folder, run.dataset, initial_backbone(run.recipe.backbone))
        return lambda records: make_of_each(run, maker, records, "saliency", run.folder.saliency)

    return EachImage(run.training_records, (run.folder.saliency,), prepared)


def initial_backbone(config: AnyBackbone) -> Backbone | None:
    """The run's backbone with its initial weights, in evaluation mode; None if it starts from random numbers."""
    return None if config.weights == "none" else build_backbone(config).eval()


@dataclass(frozen=True)
class SaliencyMaker:
    """Computes the saliency map of one image.

    Attributes:
        folder: the run the map is written to.
        dataset: where the image is read.
        backbone: with ImageNet weights, in evaluation mode; None: the map is found by colour alone.
    """

    folder: RunFolder
    dataset: Dataset
    backbone: Backbone | None

    def __call__(self, record: Record) -> None:
        """Write the map, 0..255."""
        saliency = built_in_saliency(self.dataset.read_image(record), self.backbone)
        buffer = io.BytesIO()
        Image.fromarray((saliency * 255).round().astype(np.uint8)).save(buffer, "PNG")
        write_bytes(self.folder.saliency(record.id), buffer.getvalue())


def built_in_saliency(image: ImageArray, backbone: Backbone | None) -> Float32[np.ndarray, "h w"]:
    """Object-ness in [0, 1] of an image, from the backbone's features or, without a backbone, from its colours."""
    if backbone is None:
        return saliency_of_colours(image)
    factor = long_side_factor((image.shape[0], image.shape[1]), LONG_SIDE)
    features, stride = _features(resize_image(image, factor), backbone)
    return saliency_of_features(image, features, stride / factor)


@torch.inference_mode()
def _features(image: ImageArray, backbone: Backbone) -> tuple[Float32[np.ndarray, "d p q"], int]:
    """One level and its stride: the first that is as coarse as the deepest one, as the last ones know no places.

    All levels of a plain transformer are as coarse: there it is the main level before the deepest.
    """
    pixels = channels_last(padded_to(backbone.normalization.apply(image), backbone.multiple)[None])
    levels = backbone.levels
    place = main_levels(levels)[-2:][0] if is_plain(levels) else [s for _, s in levels].index(backbone.stride)
    return backbone.forward_levels(pixels)[place][0].numpy(), backbone.stride
