"""What worker processes do to one image: CRF labels for the affinity net, pseudo masks."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tagmask.config import AnyLabels, BackgroundConfig, CrfConfig, MasksConfig, WalkConfig
from tagmask.contracts import Dataset, ImageArray, Record
from tagmask.conventions import BACKGROUND
from tagmask.data.images import mask_bits, write_mask
from tagmask.masks import crf
from tagmask.masks.confident_labels import agreed_labels, label_scores
from tagmask.masks.grids import feature_grid, from_grid, long_side_factor, to_grid, to_image
from tagmask.masks.scores import (
    Maps,
    Mask,
    argmax_classes,
    background_scores,
    mask_from_scores,
    normalize_jointly,
    normalize_max,
    posterior,
    quality,
    resize_bilinear,
    stretched,
)
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, read_maps, write_bytes, write_posteriors, writing

NORMALIZED: dict[str, Callable[[Maps], Maps]] = {
    "each": normalize_max,
    "jointly": normalize_jointly,
    "unchanged": lambda maps: maps,
}


def has_background(classes: Int16[np.ndarray, " n"]) -> bool:
    """Whether the first map of an archive is the background's."""
    return len(classes) > 0 and int(classes[0]) == BACKGROUND


def label_posteriors(
    image: ImageArray, archive: MapArchive, config: AnyLabels
) -> tuple[Float32[np.ndarray, "k h w"], Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """CRF posteriors of the maps against a strong and a weak background, and the mask value of each channel.

    Both share the CRF's lattices.
    """
    maps = to_image(archive.maps, (image.shape[0], image.shape[1]))
    lattices = crf.Lattices(image)
    scores = label_scores(maps, has_background(archive.classes), config)
    strong, weak = (crf.refine(image, each, config.crf, lattices) for each in scores)
    return strong, weak, np.concatenate([np.zeros(1, np.int16), archive.classes[archive.classes != BACKGROUND]])


def confident_mask(image: ImageArray, archive: MapArchive, config: AnyLabels) -> Mask:
    """Labels at image size where the two posteriors agree, else ``IGNORE``."""
    strong, weak, classes = label_posteriors(image, archive, config)
    return agreed_labels(argmax_classes(strong, classes), argmax_classes(weak, classes))


@dataclass(frozen=True)
class AffinityLabelMaker:
    """Confident labels of one image for the affinity network.

    AffinityNet averages posteriors over the cells of its grid after cropping, so that both posteriors are kept; labels
    of the other kinds are decided per pixel and kept as an indexed PNG.
    """

    run: RunFolder
    dataset: Dataset
    config: AnyLabels

    def path(self, image_id: str) -> Path:
        """Where the labels of an image go."""
        return self.run.affinity_labels(image_id, self.config.kind)

    def __call__(self, record: Record) -> None:
        """Write the labels of one image."""
        image = self.dataset.read_image(record)
        archive = read_maps(self.run.maps(record.id))
        target = self.path(record.id)
        if self.config.kind == "powers":
            low, high, classes = label_posteriors(image, archive, self.config)
            write_posteriors(target, {"low": low, "high": high}, classes[1:])
        else:
            mask = confident_mask(image, archive, self.config)
            num_classes = len(self.dataset.classes)
            write_mask(target, mask, label_ignore_value(num_classes), num_classes)


def label_ignore_value(num_classes: int) -> int:
    """The number that means "no label" in confident labels: the largest their files can hold."""
    return int(2 ** mask_bits(num_classes) - 1)


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
        refined, classes, mask = self._refined(record, image)
        self._write_confidence(record, posterior(refined), quality(refined, classes))
        write_mask(self.run.mask(record.id), mask, self.config.ignore_value, len(self.dataset.classes))

    def _refined(
        self, record: Record, image: ImageArray
    ) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"], Mask]:
        """Scores behind the mask, the mask value of each channel, and the mask."""
        if self.config.confident is not None:
            strong, weak, classes = label_posteriors(image, read_maps(self.run.maps(record.id)), self.config.confident)
            return strong, classes, agreed_labels(argmax_classes(strong, classes), argmax_classes(weak, classes))
        scores, classes = self._scores(record, (image.shape[0], image.shape[1]))
        refined = scores if self.config.crf is None else refined_scores(image, scores, self.config.crf)
        return refined, classes, mask_from_scores(refined, classes, self.config.ignore_below)

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


def write_quality(run: RunFolder, records: Sequence[Record]) -> None:
    """One line per mask, the least trustworthy first: the order in which to review them."""
    rows = [(read_quality(run.confidence(record.id)), record.id) for record in records]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["image", "quality"])
    table.writerows([image_id, f"{value:.6f}"] for value, image_id in sorted(rows))
    write_bytes(run.quality, text.getvalue().encode())


def walked_at_image_size(archive: MapArchive, size: tuple[int, int], walk: WalkConfig, stride: int) -> MapArchive:
    """The walk's archive with its maps enlarged to the pixel grid of the image."""
    cell = stride / long_side_factor(size, walk.base_long_side)
    return MapArchive(archive.classes, from_grid(archive.maps, cell, size), size)


def walk_start(
    scores: Float32[np.ndarray, "k _ _"], size: tuple[int, int], stride: int, walk: WalkConfig
) -> Float32[np.ndarray, "k p q"]:
    """What walks: scores on the grid of an image of ``size`` pixels, stretched and to a power if the walk says so."""
    scores = stretched(scores) if walk.stretch else scores
    if walk.resizing == "mean":
        grid = to_grid(scores, size, stride)
    else:
        grid = resize_bilinear(scores, feature_grid(size, stride))
    return grid if walk.map_power == 1 else np.maximum(grid, 0) ** grid.dtype.type(walk.map_power)


def walked_scores(
    archive: MapArchive, background: BackgroundConfig
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """Scores of walked maps at image size, and the mask value of each channel.

    A background that walked along is kept. Else the maps, which the walk has flattened, are first brought back to
    [0, 1] unless they are to stay as they are, and the background is made from them.
    """
    if has_background(archive.classes) or background.rule == "none":
        return archive.maps, archive.classes
    walked = MapArchive(archive.classes, NORMALIZED[background.walked_maps](archive.maps), archive.size)
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
