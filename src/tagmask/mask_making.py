"""What worker processes do to one image: CRF labels for the affinity net, pseudo masks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tagmask import crf
from tagmask.config import AffinityNetConfig, BackgroundConfig, CrfConfig, MasksConfig, WalkConfig
from tagmask.contracts import Dataset, ImageArray, Record
from tagmask.conventions import BACKGROUND
from tagmask.grids import from_grid, long_side_factor, to_image
from tagmask.images import write_mask
from tagmask.pseudo_masks import (
    add_background,
    background_scores,
    mask_from_scores,
    normalize_jointly,
    normalize_max,
    posterior,
    quality,
)
from tagmask.run_folder import RunFolder
from tagmask.storage import MapArchive, read_maps, write_posteriors, writing


def has_background(classes: Int16[np.ndarray, " n"]) -> bool:
    """Whether the first map of an archive is the background's."""
    return len(classes) > 0 and int(classes[0]) == BACKGROUND


@dataclass(frozen=True)
class AffinityLabelMaker:
    """Dense CRF on the maps with a low and with a high background power (AffinityNet, section 3.2.1)."""

    run: RunFolder
    dataset: Dataset
    config: AffinityNetConfig

    def __call__(self, record: Record) -> None:
        """Write the two posteriors of one image; both share the CRF's lattices."""
        image = self.dataset.read_image(record)
        archive = read_maps(self.run.maps(record.id))
        maps = to_image(archive.maps, (image.shape[0], image.shape[1]))
        maps = maps[1:] if has_background(archive.classes) else maps
        lattices = crf.Lattices(image)
        powers = {"low": self.config.low_power, "high": self.config.high_power}
        posteriors = {
            name: crf.refine(image, add_background(maps, power), self.config.label_crf, lattices)
            for name, power in powers.items()
        }
        classes = archive.classes[archive.classes != BACKGROUND]
        write_posteriors(self.run.affinity_labels(record.id), posteriors, classes)


@dataclass(frozen=True)
class MaskMaker:
    """Scores to pseudo mask: background, dense CRF, argmax, ignore band, confidence, quality.

    Attributes:
        run: where maps or walks are read and masks are written.
        dataset: where images are read.
        config: background, CRF, ignore band.
        walk: settings of the walk whose results are used; None: the maps themselves.
        stride: cell of the walk's grid in pixels of the image that was walked on.
    """

    run: RunFolder
    dataset: Dataset
    config: MasksConfig
    walk: WalkConfig | None
    stride: int

    def __call__(self, record: Record) -> None:
        """Write confidence (with the quality in its header) and mask of one image."""
        image = self.dataset.read_image(record)
        scores, classes = self._scores(record, (image.shape[0], image.shape[1]))
        refined = scores if self.config.crf is None else refined_scores(image, scores, self.config.crf)
        mask = mask_from_scores(refined, classes, self.config.ignore_below)
        self._write_confidence(record, posterior(refined), quality(refined, classes))
        write_mask(self.run.mask(record.id), mask, self.config.ignore_value, len(self.dataset.classes))

    def _scores(
        self, record: Record, size: tuple[int, int]
    ) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
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


def read_quality(confidence: Path) -> float:
    """The quality number in the header of a confidence map."""
    with Image.open(confidence, formats=["PNG"]) as image:
        return float(image.info["quality"])


def walked_at_image_size(archive: MapArchive, size: tuple[int, int], walk: WalkConfig, stride: int) -> MapArchive:
    """The walk's archive with its maps enlarged to the pixel grid of the image."""
    cell = stride / long_side_factor(size, walk.base_long_side)
    return MapArchive(archive.classes, from_grid(archive.maps, cell, size), size)


def walked_scores(
    archive: MapArchive, background: BackgroundConfig
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """Scores of walked maps at image size, and the mask value of each channel.

    A background that walked along is kept. Else the maps, which the walk has flattened, are first brought back to
    [0, 1], and the background is made from them.
    """
    if has_background(archive.classes) or background.rule == "none":
        return archive.maps, archive.classes
    normalize = normalize_max if background.walked_maps == "each" else normalize_jointly
    walked = MapArchive(archive.classes, normalize(archive.maps), archive.size)
    return scores_with_background(walked, archive.size, background)


def scores_with_background(
    archive: MapArchive, size: tuple[int, int], config: BackgroundConfig
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """Scores of an archive at image size with the configured background, and the mask value of each channel.

    A background that is in the archive already (learnt, or walked along with the maps) is kept.
    """
    maps = to_image(archive.maps, size)
    if has_background(archive.classes) or config.rule == "none":
        return maps, archive.classes
    classes = np.concatenate([np.zeros(1, np.int16), archive.classes])
    return background_scores(config, maps).astype(np.float32), classes


def refined_scores(
    image: ImageArray, scores: Float32[np.ndarray, "k h w"], config: CrfConfig
) -> Float32[np.ndarray, "k h w"]:
    """Posterior of the dense CRF; without any channel the scores themselves."""
    return crf.refine(image, scores, config) if len(scores) else scores
