"""The stage that trains an affinity network on confident labels of the maps."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import AffinityConfig, AnyLabels, TrainingConfig
from tagmask.contracts import AffinityModel, Dataset, Images, Record
from tagmask.data.images import mask_bits, write_mask
from tagmask.inference.passes import load_pyramids
from tagmask.masks.from_archives import confident_mask, label_posteriors
from tagmask.stages.run import Run, new_affinity_net
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import is_finished, make_of_each, train
from tagmask.system.progress import track
from tagmask.system.storage import read_maps, write_posteriors
from tagmask.training.samples import LabelSamples, PosteriorSamples, Samples


def train_affinity(run: Run) -> None:
    """CRF labels from the maps, then the affinity network; writes ``affinity_labels/`` and ``affinity.safetensors``."""
    config = run.recipe.affinity
    if config is None or is_finished(run, "train-affinity", [run.folder.weights("affinity")]):
        return
    run.require("make-maps")
    with run.stage("train-affinity", images=len(run.training_records)):
        tagged = [record for record in run.training_records if record.tags]
        maker = AffinityLabelMaker(run.folder, run.dataset, config.labels)
        make_of_each(run, maker, tagged, "affinity labels (CRF)", maker.path)
        net = new_affinity_net(run, config)
        samples = _samples(run, config, net, tagged)
        train(run, "train-affinity", net, samples, config.training, lambda: calibrate(run, net, config.training))


def _samples(run: Run, config: AffinityConfig, net: AffinityModel, records: Sequence[Record]) -> Samples:
    folder = run.folder.path / "affinity_labels"
    shared = (run.dataset, records, config.training.augment, net.backbone.normalization)
    if config.labels.kind == "powers":
        return PosteriorSamples(*shared, folder=folder, stride=config.stride)
    ignore_value = label_ignore_value(len(run.dataset.classes))
    return LabelSamples(*shared, folder=folder, ignore_value=ignore_value, stride=config.stride)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── calibration ──────────────────────────────────────────────────────────────────────────────────────────────────────


@runtime_checkable
class FindsCentres(Protocol):
    """A network that says how far each cell is from the centre of its object, and in which direction."""

    def displacements(self, images: Images) -> Float[Tensor, "b 2 p q"]:
        """(rows, columns) in cells of the affinity grid."""
        ...

    def measure_shift(self, images: Iterable[Float[Tensor, "_ 3 _ _"]]) -> None:
        """Measure, after training, the mean displacement, which pairs of cells cannot tell."""
        ...


def calibrate(run: Run, net: AffinityModel, config: TrainingConfig) -> None:
    """Show a trained affinity network that finds centres the upper left corners of all training images (IRN)."""
    if isinstance(net, FindsCentres):
        net.measure_shift(_corners(run, net, config))


def _corners(run: Run, net: AffinityModel, config: TrainingConfig) -> Iterator[Tensor]:
    """Batches of corners as large as a crop in training; the mean colour completes small images."""
    crop, records = config.augment.crop, run.training_records
    pyramids = load_pyramids(run.dataset, records, [1.0], None, net.backbone.normalization, config.workers)
    corners = (images[0][:, :crop, :crop] for _, _, images in track(pyramids, "calibrate", len(records)))
    padded = (F.pad(part, (0, crop - part.shape[2], 0, crop - part.shape[1])) for part in corners)
    while batch := list(islice(padded, config.batch_size // config.accumulation)):
        yield torch.stack(batch)
