"""The stage that makes activation maps: all scales of an image through the method, summed, normalised, written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tagmask.config import MapsConfig
from tagmask.contracts import Method, Record
from tagmask.inference.passes import class_maps, load_pyramids, summed_activations
from tagmask.masks.grids import feature_grid
from tagmask.masks.scores import normalize_max, normalize_min_max
from tagmask.stages.run import Run, trained_method
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import files_of, is_finished, missing
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import MapArchive, write_json, write_maps


def make_maps(run: Run) -> None:
    """Multi-scale activation maps of the training images' tags; writes ``maps/`` and ``tags.json``."""
    shown = (*run.training_records, *(run.validation_records if run.recipe.maps.validation else ()))
    tables = [run.folder.predicted_tags] * bool(run.validation_records)
    if is_finished(run, "make-maps", [*files_of(shown, run.folder.maps), *tables]):
        return
    method = trained_method(run)
    with run.stage("make-maps", images=len(run.training_records)):
        _write_maps(run, method, run.training_records, tags_given=True)
        if run.recipe.maps.validation:
            _write_maps(run, method, run.validation_records, tags_given=False)
        if this_process().is_main_process and run.validation_records:
            write_json(run.folder.predicted_tags, _predicted_tags(run, method))
        this_process().wait_for_everyone()


def make_seed_maps(run: Run, records: Sequence[Record]) -> None:
    """The maps of some training images only, such as those with masks: enough to score the seeds of a method."""
    files = list(files_of(records, run.folder.maps))
    if is_finished(run, "make-maps", files) or is_finished(run, "make-seed-maps", files):
        return
    method = trained_method(run)
    with run.stage("make-seed-maps", images=len(records)):
        _write_maps(run, method, records, tags_given=True)
        this_process().wait_for_everyone()


def _write_maps(run: Run, method: Method, records: Sequence[Record], tags_given: bool) -> None:
    config = run.recipe.maps
    left = missing(records, run.folder.maps)
    pyramids = load_pyramids(
        run.dataset, left, config.scales, config.base_long_side, method.backbone.normalization, config.workers
    )
    maker = MapMaker(run.folder, config, method)
    for record, image, images in track(pyramids, "make-maps", len(records), len(records) - len(left)):
        maker(record, (image.shape[0], image.shape[1]), images, tags_given)


def _predicted_tags(run: Run, method: Method) -> dict[str, dict[str, float]]:
    """The classifier's probability of every class on every validation image, at scale 1."""
    config, records = run.recipe.maps, run.validation_records
    pyramids = load_pyramids(
        run.dataset, records, [1.0], config.base_long_side, method.backbone.normalization, config.workers
    )
    result: dict[str, dict[str, float]] = {}
    for record, _, images in track(pyramids, "predict tags", len(records)):
        _, logits = summed_activations(method, images, config.flip)
        result[record.id] = dict(zip(run.dataset.classes, logits.sigmoid().tolist(), strict=True))
    return result


@dataclass(frozen=True)
class MapMaker:
    """Writes the maps of an image.

    Attributes:
        folder: the run.
        config: scales and grid of the maps.
        method: a trained method in evaluation mode.
    """

    folder: RunFolder
    config: MapsConfig
    method: Method

    def __call__(
        self, record: Record, size: tuple[int, int], images: Sequence[Float[Tensor, "3 _ _"]], tags_given: bool
    ) -> None:
        """Write the maps of an image's tags, or of those that are predicted.

        Args:
            record: the image.
            size: its rows and columns.
            images: the normalised image at each scale.
            tags_given: whether its own tags are used.
        """
        activations, logits = summed_activations(self.method, images, self.config.flip)
        predicted = (logits.sigmoid() >= self.config.tag_threshold).nonzero().flatten().tolist()
        tags = torch.tensor(list(record.tags) if tags_given else predicted, dtype=torch.long)
        known = torch.zeros_like(logits).index_fill_(0, tags.to(logits.device), 1.0)[None]
        finished = [self.method.finish(activation, known) for activation in activations]
        grid = size if self.config.size == "image" else feature_grid(size, self.method.backbone.stride)
        maps = class_maps(finished, tags.to(logits.device), grid).cpu().numpy()
        normalize = normalize_max if self.method.map_normalization == "max" else normalize_min_max
        has_background = len(maps) > len(tags)
        classes = np.array([0] * has_background + [tag + 1 for tag in tags.tolist()], np.int16)
        write_maps(self.folder.maps(record.id), MapArchive(classes, normalize(maps) if len(maps) else maps, size))
