"""The stages of the classifier: it learns from tags, then all scales of an image pass through it as its maps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tagmask.config import MapsConfig
from tagmask.contracts import Method, Record
from tagmask.inference.passes import class_maps, load_pyramids, summed_activations
from tagmask.masks.grids import feature_grid
from tagmask.masks.scores import normalize_max, normalize_min_max
from tagmask.networks.folding import folded
from tagmask.stages import saliency
from tagmask.stages.checks import makes_saliency
from tagmask.stages.keeping import keeping
from tagmask.stages.run import Run, new_method, trained_method
from tagmask.stages.sharing import EachImage, files_of, is_finished, missing, train
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import MapArchive, is_whole, write_json, write_maps
from tagmask.system.workers import behind
from tagmask.training.batches import collate
from tagmask.training.samples import Samples, TagSamples

NUM_CALIBRATION_IMAGES = 128  # enough for a quantile over all their pixels
NUM_OF_EACH_CLASS = 16
NUM_NEGATIVES = 64


def train_method(run: Run) -> None:
    """Train the classifier on tags; writes ``method.safetensors``."""
    if is_finished(run, "train-method", [run.folder.weights("method")]):
        return
    if makes_saliency(run.recipe):
        saliency.make_saliency(run)
    with run.stage("train-method", images=len(run.training_records), left_out=list(run.dataset.skipped)):
        method = new_method(run)
        config = run.recipe.training
        reader = saliency.reader(run.recipe, run.folder, run.dataset)
        samples = TagSamples(run.dataset, run.training_records, config.augment, method.backbone.normalization, reader)
        train(run, "train-method", method, samples, config, lambda: calibrate(run, method, samples))


def calibrate(run: Run, method: Method, samples: Samples) -> None:
    """Show a trained method some training views, in evaluation mode: of tagged images, then of images without a tag."""
    config, device = run.recipe.training, torch.device(this_process().device or "cpu")
    size = config.batch_size // config.accumulation
    shown = [
        chosen[i : i + size] for chosen in calibration_images(run.training_records) for i in range(0, len(chosen), size)
    ]
    batches = (collate([samples.sample(run.recipe.seed, 0, index) for index in batch]) for batch in shown)
    method.eval().calibrate(batch.to(device) for batch in batches)


def calibration_images(records: Sequence[Record]) -> tuple[list[int], list[int]]:
    """Which images calibrate: the first tagged ones and more of the classes that are rare among them, and negatives.

    >>> records = [Record(str(i), (0,) if i < 200 else (), "train") for i in range(300)]
    >>> [len(chosen) for chosen in calibration_images([*records, Record("rare", (1,), "train")])]
    [129, 64]
    """
    tagged = [index for index, record in enumerate(records) if record.tags]
    chosen = dict.fromkeys(tagged[:NUM_CALIBRATION_IMAGES])
    having = Counter(tag for index in chosen for tag in records[index].tags)
    for index in tagged[NUM_CALIBRATION_IMAGES:]:
        if any(having[tag] < NUM_OF_EACH_CLASS for tag in records[index].tags):
            chosen[index] = None
            having.update(records[index].tags)
    negatives = [index for index, record in enumerate(records) if not record.tags]
    return [*chosen], negatives[:NUM_NEGATIVES]


# ── maps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_maps(run: Run) -> None:
    """Multi-scale activation maps of the training images' tags; writes ``maps/`` and ``tags.json``."""
    each = maps_of_each(run)
    tables = [run.folder.predicted_tags] * bool(run.validation_records)
    if is_finished(run, "make-maps", [*each.files(), *tables]):
        return
    method = trained_method(run)
    with run.stage("make-maps", images=len(run.training_records)):
        _write_maps(run, method, each.records)
        if this_process().is_main_process and run.validation_records:
            write_json(run.folder.predicted_tags, _predicted_tags(run, method))
        this_process().wait_for_everyone()


def maps_of_each(run: Run) -> EachImage:
    """The maps: of tags as they are given for training images, as they are predicted for others."""
    shown = (*run.training_records, *(run.validation_records if run.recipe.maps.validation else ()))
    return EachImage(shown, (keeping(run).maps_file,), lambda: partial(_write_maps, run, trained_method(run)))


def make_seed_maps(run: Run, records: Sequence[Record]) -> None:
    """The maps of some training images only, such as those with masks: enough to score the seeds of a method."""
    files = list(files_of(records, run.folder.maps))
    if is_finished(run, "make-maps", files) or is_finished(run, "make-seed-maps", files):
        return
    method = trained_method(run)
    with run.stage("make-seed-maps", images=len(records)):
        _write_maps(run, method, records)
        this_process().wait_for_everyone()


def make_maps_again(run: Run, records: Sequence[Record]) -> None:
    """The maps of images that were removed after their masks (``masks.keep``) and are needed once more."""
    file = keeping(run).maps_file
    if run.recipe.masks.keep == "walks" and not all(is_whole(file(record.id)) for record in records):
        _write_maps(run, trained_method(run), records)
        this_process().wait_for_everyone()


def _write_maps(run: Run, method: Method, records: Sequence[Record]) -> None:
    config, given = run.recipe.maps, run.recipe.data.train_split
    left = missing(records, keeping(run).maps_file)
    pyramids = load_pyramids(
        run.dataset, left, config.scales, config.base_long_side, method.backbone.normalization, config.workers
    )
    maker = MapMaker(config, method)
    with folded(method.backbone), behind() as put:
        for record, image, images in track(pyramids, "make-maps", len(records), len(records) - len(left)):
            size = (image.shape[0], image.shape[1])
            archive = maker(size, images, record.tags if record.split == given else None)
            put(write_maps, run.folder.maps(record.id), archive)


def _predicted_tags(run: Run, method: Method) -> dict[str, dict[str, float]]:
    """The classifier's probability of every class on every validation image, at scale 1."""
    config, records = run.recipe.maps, run.validation_records
    pyramids = load_pyramids(
        run.dataset, records, [1.0], config.base_long_side, method.backbone.normalization, config.workers
    )
    result: dict[str, dict[str, float]] = {}
    with folded(method.backbone):
        for record, _, images in track(pyramids, "predict tags", len(records)):
            _, logits = summed_activations(method, images, config.flip, config.precision)
            result[record.id] = dict(zip(run.dataset.classes, logits.sigmoid().tolist(), strict=True))
    return result


@dataclass(frozen=True)
class MapMaker:
    """Makes the maps of an image.

    Attributes:
        config: scales and grid of the maps.
        method: a trained method in evaluation mode.
    """

    config: MapsConfig
    method: Method

    def __call__(
        self, size: tuple[int, int], images: Sequence[Float[Tensor, "3 _ _"]], tags: Sequence[int] | None
    ) -> MapArchive:
        """The maps of an image's tags, or of those that are predicted.

        Args:
            size: rows and columns of the image.
            images: the normalised image at each scale.
            tags: of the image; None: not known.
        """
        activations, logits = summed_activations(self.method, images, self.config.flip, self.config.precision)
        predicted = (logits.sigmoid() >= self.config.tag_threshold).nonzero().flatten().tolist()
        shown = torch.tensor(list(predicted if tags is None else tags), dtype=torch.long)
        known = torch.zeros_like(logits).index_fill_(0, shown.to(logits.device), 1.0)[None]
        finished = [self.method.finish(activation, known) for activation in activations]
        grid = size if self.config.size == "image" else feature_grid(size, self.method.backbone.stride)
        through = images if self.config.resizing == "twice" else None
        maps = class_maps(finished, shown.to(logits.device), grid, through).cpu().numpy()
        normalized = normalized_maps(maps, self.method, len(images) * (2 if self.config.flip else 1))
        has_background = len(maps) > len(shown)
        classes = np.array([0] * has_background + [tag + 1 for tag in shown.tolist()], np.int16)
        return MapArchive(classes, normalized, size)


def normalized_maps(summed: Float[np.ndarray, "n h w"], method: Method, passes: int) -> Float[np.ndarray, "n h w"]:
    """Maps summed over so many passes, brought to [0, 1] as the method says."""
    normalize = {"max": normalize_max, "min_max": normalize_min_max, "mean": lambda maps: maps / passes}
    return normalize[method.map_normalization](summed) if len(summed) else summed
