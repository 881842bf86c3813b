"""Scores, labels and masks of the map archives that a run keeps.

Archives hold maps on the image's grid or a coarser one, with or without a background; what leaves is at image size.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int16

from tagmask.config import AnyLabels, BackgroundConfig, CrfConfig, WalkConfig
from tagmask.contracts import ImageArray
from tagmask.conventions import BACKGROUND
from tagmask.masks import crf
from tagmask.masks.confident_labels import agreed_labels, label_scores
from tagmask.masks.grids import feature_grid, from_grid, long_side_factor, resized, to_grid
from tagmask.masks.scores import (
    Maps,
    Mask,
    argmax_classes,
    background_scores,
    normalize_jointly,
    normalize_max,
    stretched,
)
from tagmask.system.storage import MapArchive

NORMALIZED: dict[str, Callable[[Maps], Maps]] = {
    "each": normalize_max,
    "jointly": normalize_jointly,
    "unchanged": lambda maps: maps,
}


def label_posteriors(
    image: ImageArray, archive: MapArchive, config: AnyLabels, device: str = "cpu"
) -> tuple[Float32[np.ndarray, "k h w"], Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """CRF posteriors of the maps against a strong and a weak background, and the mask value of each channel.

    Both share the CRF's lattices, which are on ``device``.
    """
    maps = resized(archive.maps, (image.shape[0], image.shape[1]))
    refine = crf.refiner(image, device)
    scores = label_scores(maps, archive.has_background, config)
    strong, weak = (refine(each, config.crf) for each in scores)
    return strong, weak, np.concatenate([np.zeros(1, np.int16), archive.classes[archive.classes != BACKGROUND]])


def confident_mask(image: ImageArray, archive: MapArchive, config: AnyLabels, device: str = "cpu") -> Mask:
    """Labels at image size where the two posteriors agree, else ``IGNORE``."""
    strong, weak, classes = label_posteriors(image, archive, config, device)
    return agreed_labels(argmax_classes(strong, classes), argmax_classes(weak, classes))


def walked_at_image_size(archive: MapArchive, size: tuple[int, int], walk: WalkConfig, stride: int) -> MapArchive:
    """The walk's archive with its maps enlarged to the pixel grid of the image."""
    cell = stride / long_side_factor(size, walk.base_long_side)
    return MapArchive(archive.classes, from_grid(archive.maps, cell, size), size)


def walk_start(
    scores: Float32[np.ndarray, "k _ _"], size: tuple[int, int], stride: int, walk: WalkConfig
) -> Float32[np.ndarray, "k p q"]:
    """What walks: scores on the grid of an image of ``size`` pixels, stretched and to a power if the walk says so."""
    scores = stretched(scores) if walk.stretch else scores
    grid = to_grid(scores, size, stride) if walk.resizing == "mean" else resized(scores, feature_grid(size, stride))
    return grid if walk.map_power == 1 else np.maximum(grid, 0) ** grid.dtype.type(walk.map_power)


def walked_scores(
    archive: MapArchive, background: BackgroundConfig
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """Scores of walked maps at image size, and the mask value of each channel.

    A background that walked along is kept. Else the maps, which the walk has flattened, are first brought back to
    [0, 1] unless they are to stay as they are, and the background is made from them.
    """
    if archive.has_background or background.rule == "none":
        return archive.maps, archive.classes
    walked = MapArchive(archive.classes, NORMALIZED[background.walked_maps](archive.maps), archive.size)
    return scores_with_background(walked, archive.size, background)


def scores_with_background(
    archive: MapArchive, size: tuple[int, int], config: BackgroundConfig
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """Scores of an archive at image size with the configured background, and the mask value of each channel.

    A background that is in the archive already (learnt, or walked along with the maps) is kept.
    """
    maps = resized(archive.maps, size)
    if archive.has_background or config.rule == "none":
        return maps, archive.classes
    classes = np.concatenate([np.zeros(1, np.int16), archive.classes])
    return background_scores(config, maps).astype(np.float32), classes


def refined_scores(
    image: ImageArray, scores: Float32[np.ndarray, "k h w"], config: CrfConfig, device: str = "cpu"
) -> Float32[np.ndarray, "k h w"]:
    """Posterior of the dense CRF on a device; without any channel the scores themselves."""
    return crf.refiner(image, device)(scores, config) if len(scores) else scores
