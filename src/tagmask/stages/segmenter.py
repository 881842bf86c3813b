"""The stages that train the segmentation network on the pseudo masks, and predict the validation images with it."""

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from tagmask.config import SegmenterConfig, TrainingConfig
from tagmask.contracts import Record
from tagmask.data.images import write_mask
from tagmask.inference.passes import load_pyramids
from tagmask.inference.predictor import load
from tagmask.networks.deeplab import RAREST, DeepLab, class_weights
from tagmask.stages.results import mask_shares
from tagmask.stages.run import Run, new_segmenter
from tagmask.stages.sharing import files_of, is_finished, missing, train
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.training.engine import num_steps
from tagmask.training.samples import MaskSamples, Samples, TruthSamples


def train_segmenter(run: Run) -> None:
    """Train the segmentation network on the pseudo masks, then predict the validation images without tags."""
    from_truth = run.recipe.segmenter.learn_from == "masks"
    if not from_truth:
        run.require("make-masks")
    if not is_finished(run, "train-segmenter", [run.folder.weights("segmenter")]):
        records = run.records_with_truth if from_truth else run.training_records
        with run.stage("train-segmenter", images=len(records)):
            network = new_segmenter(run)
            samples = _samples(run, network, records)
            shares = expected_shares(mask_shares(run, records), samples, run.recipe.segmenter)
            network.class_weights.copy_(class_weights(shares, run.recipe.segmenter.class_balance))
            train(run, "train-segmenter", network, samples, _as_long(run))
    predict_validation(run)


def _samples(run: Run, network: DeepLab, records: tuple[Record, ...]) -> MaskSamples | TruthSamples:
    views = run.dataset, records, run.recipe.segmenter.training.augment, network.backbone.normalization
    if run.recipe.segmenter.learn_from == "masks":
        return TruthSamples(*views)
    return MaskSamples(*views, folder=run.folder.path / "masks", ignore_value=run.mask_ignore_value)


def _as_long(run: Run) -> TrainingConfig:
    """The training with as many steps as all training images ask for, however many of them are learned from."""
    config = run.recipe.segmenter.training
    if run.recipe.segmenter.learn_from == "pseudo_masks":
        return config
    return config.model_copy(update={"epochs": None, "steps": num_steps(config, len(run.training_records))})


def expected_shares(
    shares: Float64[np.ndarray, "n k"], samples: Samples, config: SegmenterConfig
) -> Float32[Tensor, " k"]:
    """The share of each class in the labelled pixels that a training sees on average.

    Args:
        shares: of each mask.
        samples: what the training draws from.
        config: whether it draws each image or each class equally often.
    """
    groups = samples.groups() if config.training.sampling == "balanced" else [[*range(len(shares))]]
    mean = torch.from_numpy(np.mean([shares[group].mean(axis=0) for group in groups], axis=0)).float()
    return mean / mean.sum().clamp(min=RAREST)


def predict_validation(run: Run) -> None:
    """Masks of the validation images by the trained network, no tags given; writes ``predictions/``."""
    records, config = run.validation_records, run.recipe.segmenter
    if is_finished(run, "predict", files_of(records, run.folder.prediction)):
        return
    with run.stage("predict", images=len(records)):
        predictor = load(run.folder.path, str(this_process().device))
        left = missing(records, run.folder.prediction)
        pyramids = load_pyramids(
            run.dataset, left, config.scales, config.base_long_side, predictor.normalization, config.workers
        )
        for record, image, images in track(pyramids, "predict", len(records), len(records) - len(left)):
            write_mask(run.folder.prediction(record.id), predictor.mask(image, images), None, len(run.dataset.classes))
        this_process().wait_for_everyone()
