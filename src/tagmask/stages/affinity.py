"""The affinity network: it learns from confident labels of the maps, and maps walk where it finds neighbours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int16
from torch import Tensor
from torch.nn import functional as F

from tagmask.affinity.random_walk import random_walk
from tagmask.affinity.walk_on_device import walk_on_device
from tagmask.config import AffinityConfig, AnyLabels, TrainingConfig, WalkConfig
from tagmask.contracts import AffinityModel, ImageArray, Images, MaskArray, Neighbourhood, Record
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.data.images import mask_bits, write_mask
from tagmask.errors import TagmaskError
from tagmask.inference.passes import load_pyramids
from tagmask.masks.from_archives import confident_mask, label_posteriors, scores_with_background, walk_start
from tagmask.masks.grids import resized
from tagmask.networks.folding import folded
from tagmask.networks.memory_format import channels_last
from tagmask.networks.mixed_precision import mixed_precision
from tagmask.stages.classifier import make_maps_again
from tagmask.stages.results import LearnedMasks
from tagmask.stages.run import Run, new_affinity_net
from tagmask.stages.sharing import EachImage, Make, crf_device, is_finished, make_of_each, missing, train
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import MapArchive, read_maps, write_maps, write_posteriors
from tagmask.system.workers import behind
from tagmask.training.samples import LabelSamples, PosteriorSamples, Samples

Posteriors = tuple[Float32[np.ndarray, "k h w"], Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]
Offsets = Sequence[tuple[int, int]]
Walk = Callable[[Float[np.ndarray, "_ p q"]], Float[np.ndarray, "_ p q"]]


def train_affinity(run: Run) -> None:
    """CRF labels from the maps, then the affinity network; writes ``affinity_labels/`` and ``affinity.safetensors``."""
    config = run.recipe.affinity
    if config is None or is_finished(run, "train-affinity", [run.folder.weights("affinity")]):
        return
    run.require("make-maps")
    with run.stage("train-affinity", images=len(run.training_records)):
        each = labels_of_each(run)
        each.maker()(each.records)
        net = new_affinity_net(run, config)
        samples = _samples(run, config, net, each.records)
        train(run, "train-affinity", net, samples, config.training, lambda: calibrate(run, net, config.training))


def _samples(run: Run, config: AffinityConfig, net: AffinityModel, records: Sequence[Record]) -> Samples:
    folder = run.folder.path / "affinity_labels"
    shared = (run.dataset, records, config.training.augment, net.backbone.normalization)
    if config.labels.kind == "powers":
        return PosteriorSamples(*shared, folder=folder, stride=config.stride)
    ignore_value = label_ignore_value(len(run.dataset.classes))
    return LabelSamples(*shared, folder=folder, ignore_value=ignore_value, stride=config.stride)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def labels_of_each(run: Run) -> EachImage:
    """The confident labels of the images whose tags and masks are learned from.

    Raises:
        TagmaskError: the recipe has no affinity network.
    """
    config = run.recipe.affinity
    if config is None:
        raise TagmaskError(f"recipe {run.recipe.name!r} has no affinity network, so that there is nothing to label")
    tagged = [record for record in run.accepted_records if record.tags]
    maker = AffinityLabelMaker(run, config.labels, crf_device(config.labels.crf))

    def prepared() -> Make:
        run.require("make-maps")

        def make(records: Sequence[Record]) -> None:
            make_maps_again(run, records)
            make_of_each(run, maker, records, "affinity labels (CRF)", maker.path, device=maker.device)

        return make

    return EachImage(tagged, (maker.path,), prepared)


@dataclass(frozen=True)
class AffinityLabelMaker:
    """Confident labels of one image for the affinity network.

    AffinityNet averages posteriors over the cells of its grid after cropping, so that both posteriors are kept; labels
    of the other kinds are decided per pixel and kept as an indexed PNG. Where a person has drawn the mask, all its
    pixels are confident.
    """

    run: Run
    config: AnyLabels
    device: str = "cpu"

    def path(self, image_id: str) -> Path:
        """Where the labels of an image go."""
        return self.run.folder.affinity_labels(image_id, self.config.kind)

    def __call__(self, record: Record) -> None:
        """Write the labels of one image."""
        image, target = self.run.dataset.read_image(record), self.path(record.id)
        drawn = None
        if self.run.is_drawn(record):
            drawn = LearnedMasks(self.run)(record, (image.shape[0], image.shape[1]))
        if self.config.kind == "powers":
            low, high, classes = certain(drawn) if drawn is not None else self._posteriors(record, image)
            write_posteriors(target, {"low": low, "high": high}, classes[1:])
        else:
            mask = drawn
            if mask is None:
                mask = confident_mask(image, read_maps(self.run.folder.maps(record.id)), self.config, self.device)
            num_classes = len(self.run.dataset.classes)
            write_mask(target, mask, label_ignore_value(num_classes), num_classes)

    def _posteriors(self, record: Record, image: ImageArray) -> Posteriors:
        return label_posteriors(image, read_maps(self.run.folder.maps(record.id)), self.config, self.device)


def certain(mask: MaskArray) -> Posteriors:
    """A drawn mask as two equal posteriors and the mask value of each channel; all 0 where it has no label.

    >>> certain(np.array([[0, 3, -1]], np.int32))[0].tolist()
    [[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]]
    """
    classes = np.union1d([BACKGROUND], mask[mask != IGNORE]).astype(np.int16)
    shares = (mask == classes[:, None, None]).astype(np.float32)
    return shares, shares, classes


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
        yield channels_last(torch.stack(batch))


# ── the walk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def walk_maps(run: Run, net: AffinityModel, config: AffinityConfig, records: Sequence[Record]) -> None:
    """Walk the maps of every image that has no walk yet; writes ``walks/``."""
    left = missing(records, run.folder.walks)
    with behind() as put:
        for record, _, walked in walked_maps(run, net, config, left, "random walk", len(records)):
            put(write_maps, run.folder.walks(record.id), walked)
    this_process().wait_for_everyone()


def walked_maps(
    run: Run, net: AffinityModel, config: AffinityConfig, records: Sequence[Record], title: str, of: int
) -> Iterator[tuple[Record, ImageArray, MapArchive]]:
    """Each image with its maps after the walk; ``title`` and ``of``, the images of the stage, are for the progress."""
    side, normalization = run.recipe.walk.base_long_side, net.backbone.normalization
    pyramids = load_pyramids(run.dataset, records, [1.0], side, normalization, run.recipe.maps.workers)
    with folded(net.backbone):
        for record, image, images in track(pyramids, title, of, of - len(records)):
            scores, classes = _scores(run, record, (image.shape[0], image.shape[1]))
            walked = _walked(run, net, config, scores, images[0])
            yield record, image, MapArchive(classes, walked, (image.shape[0], image.shape[1]))


@torch.inference_mode()
def _walked(
    run: Run,
    net: AffinityModel,
    config: AffinityConfig,
    scores: Float32[np.ndarray, "k h w"],
    image: Float[Tensor, "3 _ _"],
) -> Float[np.ndarray, "k _ _"]:
    """Scores after the walk on the grid of an image that has been normalised for the network."""
    found = neighbourhood(net, image, run.recipe.walk)
    start = walk_start(scores, (image.shape[1], image.shape[2]), config.stride, run.recipe.walk)
    return walker(run, net, found)(start)


def neighbourhood(net: AffinityModel, image: Float[Tensor, "3 _ _"], walk: WalkConfig) -> Neighbourhood:
    """Where maps may walk in an image that has been normalised for the network, found on the device of this process."""
    device = torch.device(this_process().device or "cpu")
    with mixed_precision(walk.precision, device):
        found = net.neighbourhood(channels_last(image[None]).to(device), walk.border)
    return Neighbourhood(found.affinities.float(), None if found.passable is None else found.passable.float())


def walker(run: Run, net: AffinityModel, found: Neighbourhood) -> Walk:
    """The walk of maps in the neighbourhood of one image, on the device that found it."""
    walk = run.recipe.walk
    steps = walk.steps_for(len(run.training_records))
    settings = {"beta": walk.beta, "steps": steps, "form": walk.form, "tolerance": walk.tolerance}
    make = _walk_here if found.affinities.device.type == "cpu" else _walk_there
    return make(found, net.offsets, settings)


def _walk_here(found: Neighbourhood, offsets: Offsets, settings: dict[str, Any]) -> Walk:
    affinities = found.affinities[0].numpy()
    passable = np.float32(1) if found.passable is None else found.passable[0].numpy()
    return lambda maps: random_walk(maps * passable, affinities, offsets, **settings)


def _walk_there(found: Neighbourhood, offsets: Offsets, settings: dict[str, Any]) -> Walk:
    affinities, passable = found.affinities[0], 1.0 if found.passable is None else found.passable[0]

    def walk(maps: Float[np.ndarray, "_ p q"]) -> Float[np.ndarray, "_ p q"]:
        start = torch.from_numpy(maps).to(affinities.device) * passable
        return walk_on_device(start, affinities, offsets, **settings).cpu().numpy()

    return walk


def _scores(
    run: Run, record: Record, size: tuple[int, int]
) -> tuple[Float32[np.ndarray, "k h w"], Int16[np.ndarray, " k"]]:
    """What walks: the maps, and with them the background where it is a power of them or learnt."""
    archive = read_maps(run.folder.maps(record.id))
    background = run.recipe.masks.background
    if background.rule == "power" and background.when == "before_walk":
        return scores_with_background(archive, size, background)
    return resized(archive.maps, size), archive.classes
