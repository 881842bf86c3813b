"""Scores to pseudo mask, one image at a time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tagmask.config import MasksConfig, WalkConfig
from tagmask.contracts import Dataset, ImageArray, Record
from tagmask.data.images import write_mask
from tagmask.masks.confident_labels import agreed_labels
from tagmask.masks.from_archives import (
    label_posteriors,
    refined_scores,
    scores_with_background,
    walked_at_image_size,
    walked_scores,
)
from tagmask.masks.scores import Mask, against_background, argmax_classes, mask_from_scores, posterior, quality
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, is_whole, read_maps, writing


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
        """Write confidence (with the quality in its header) and mask of one image; a mask that is there stays."""
        self.make(record, self.dataset.read_image(record))

    def make(self, record: Record, image: ImageArray, walked: MapArchive | None = None) -> None:
        """The same of an image that has been read, and of maps that have walked, if they are not to be read.

        Confidence is written first: a mask without it has lost it later, and may be one that somebody corrected.
        """
        refined, classes, mask = self.scores_and_mask(record, image, walked)
        self._write_confidence(record, posterior(refined), quality(refined, classes))
        if not is_whole(self.run.mask(record.id)):
            write_mask(self.run.mask(record.id), mask, self.config.ignore_value, len(self.dataset.classes))

    def scores_and_mask(
        self, record: Record, image: ImageArray, walked: MapArchive | None = None
    ) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"], Mask]:
        """Scores behind the mask, the mask value of each channel, and the mask."""
        if self.config.confident is not None:
            archive = read_maps(self.run.maps(record.id))
            strong, weak, classes = label_posteriors(image, archive, self.config.confident, self.device)
            return strong, classes, agreed_labels(argmax_classes(strong, classes), argmax_classes(weak, classes))
        scores, classes = self.scores(record, (image.shape[0], image.shape[1]), walked)
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
        self, record: Record, size: tuple[int, int], walked: MapArchive | None = None
    ) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
        """Scores of an image's maps or walks, background first, and the mask value of each channel."""
        if self.walk is None:
            return scores_with_background(read_maps(self.run.maps(record.id)), size, self.config.background)
        archive = read_maps(self.run.walks(record.id)) if walked is None else walked
        return walked_scores(walked_at_image_size(archive, size, self.walk, self.stride), self.config.background)

    def _write_confidence(self, record: Record, shares: Float32[np.ndarray, "k h w"], quality: float) -> None:
        header = PngInfo()
        header.add_text("quality", f"{quality:.6f}")
        best = (shares.max(axis=0, initial=0.0) * 255).round().astype(np.uint8)
        with writing(self.run.confidence(record.id)) as temporary:
            Image.fromarray(best).save(temporary, "PNG", pnginfo=header)
