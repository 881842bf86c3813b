"""The stage that trains a classifier on tags."""

from itertools import islice

import torch

from tagmask.contracts import Method
from tagmask.stages import saliency
from tagmask.stages.run import Run, makes_saliency, new_method
from tagmask.stages.sharing import is_finished, train
from tagmask.system.processes import this_process
from tagmask.training.batches import collate
from tagmask.training.samples import Samples, TagSamples

NUM_CALIBRATION_IMAGES = 128  # enough for a quantile over all their pixels


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
    """Show a trained method some training views of tagged images, in evaluation mode."""
    tagged = [index for index, record in enumerate(run.training_records) if record.tags][:NUM_CALIBRATION_IMAGES]
    config, device = run.recipe.training, torch.device(this_process().device or "cpu")
    views = (samples.sample(run.recipe.seed, 0, index) for index in tagged)
    batches = iter(lambda: list(islice(views, config.batch_size // config.accumulation)), [])
    method.eval().calibrate(collate(batch).to(device) for batch in batches)
