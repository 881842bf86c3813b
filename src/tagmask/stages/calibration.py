"""What trained networks measure on training images before their weights are written."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import TrainingConfig
from tagmask.contracts import AffinityModel, Method
from tagmask.inference.passes import load_pyramids
from tagmask.stages.instances import FindsCentres
from tagmask.stages.run import Run
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.training import engine
from tagmask.training.samples import Samples

NUM_METHOD_IMAGES = 128  # enough for a quantile over all their pixels


def calibrate_method(run: Run, method: Method, samples: Samples) -> None:
    """Show a trained method some training views of tagged images, in evaluation mode."""
    tagged = [index for index, record in enumerate(run.training_records) if record.tags][:NUM_METHOD_IMAGES]
    size, device = _batch_size(run.recipe.training), torch.device(this_process().device or "cpu")
    views = (samples.sample(run.recipe.seed, 0, index) for index in tagged)
    batches = iter(lambda: list(islice(views, size)), [])
    method.eval().calibrate(engine.collate(batch).to(device) for batch in batches)


def calibrate_affinity(run: Run, net: AffinityModel, config: TrainingConfig) -> None:
    """Show a trained affinity network that finds centres the upper left corners of all training images (IRN)."""
    if isinstance(net, FindsCentres):
        net.calibrate(_corners(run, net, config))


def _corners(run: Run, net: AffinityModel, config: TrainingConfig) -> Iterator[Tensor]:
    """Batches of corners as large as a crop in training; the mean colour completes small images."""
    crop, records = config.augment.crop, run.training_records
    pyramids = load_pyramids(run.dataset, records, [1.0], None, net.backbone.normalization, config.workers)
    corners = (images[0][:, :crop, :crop] for _, _, images in track(pyramids, "calibrate", len(records)))
    padded = (F.pad(part, (0, crop - part.shape[2], 0, crop - part.shape[1])) for part in corners)
    while batch := list(islice(padded, _batch_size(config))):
        yield torch.stack(batch)


def _batch_size(config: TrainingConfig) -> int:
    return config.batch_size // config.accumulation
