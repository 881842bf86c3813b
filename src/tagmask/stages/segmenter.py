"""The stages of the segmentation network: it learns from pseudo masks, predicts, and may revise what it learned."""

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from tagmask.config import RevisionConfig, SegmenterConfig, TrainingConfig
from tagmask.contracts import Record
from tagmask.data.images import write_mask
from tagmask.inference.passes import dense_logits, load_pyramids
from tagmask.inference.predictor import load
from tagmask.masks.scores import mask_from_scores, posterior
from tagmask.networks.deeplab import RAREST, class_weights
from tagmask.networks.folding import fold
from tagmask.stages.masks import mask_maker
from tagmask.stages.results import LearnedMasks, mask_shares
from tagmask.stages.run import Run, new_segmenter, trained_segmenter
from tagmask.stages.sharing import files_of, is_finished, missing, train
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.workers import behind
from tagmask.training.engine import num_steps
from tagmask.training.samples import MaskSamples, Samples


def train_segmenter(run: Run) -> None:
    """Train the segmentation network, predict the validation images without tags, revise the masks if asked to."""
    segmenter = run.recipe.segmenter
    if segmenter.learn_from == "pseudo_masks":
        run.require("make-masks")
    _train(run)
    predict_validation(run)
    if segmenter.learn_from == "pseudo_masks" and segmenter.revision is not None:
        revise_masks(run, segmenter.revision)


def _train(run: Run) -> None:
    """Train the network on pseudo masks or on ground truth."""
    if is_finished(run, "train-segmenter", [run.folder.weights("segmenter")]):
        return
    records = learned_records(run)
    from_truth = run.recipe.segmenter.learn_from == "masks"
    drawn = {record.id for record in records if from_truth or run.is_drawn(record)}
    with run.stage("train-segmenter", images=len({record.id for record in records}), drawn_masks=len(drawn)):
        network = new_segmenter(run)
        views = run.dataset, records, run.recipe.segmenter.training.augment, network.backbone.normalization
        samples = MaskSamples(*views, masks=LearnedMasks(run))
        shares = expected_shares(mask_shares(run, records), samples, run.recipe.segmenter)
        network.class_weights.copy_(class_weights(shares, run.recipe.segmenter.class_balance))
        train(run, "train-segmenter", network, samples, _as_long(run, len(records)))


def learned_records(run: Run) -> tuple[Record, ...]:
    """The images whose masks are learned from; those with drawn masks as often as ``masks.drawn_times`` says."""
    if run.recipe.segmenter.learn_from == "masks":
        return run.records_with_truth
    records = run.accepted_records
    drawn = tuple(record for record in records if run.is_drawn(record))
    return records + drawn * (run.recipe.masks.drawn_times - 1)


def _as_long(run: Run, number: int) -> TrainingConfig:
    """The training with as many steps as all training images ask for, however many views of them there are."""
    config = run.recipe.segmenter.training
    if number == len(run.training_records):
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


# ── after the training ────────────────────────────────────────────────────────────────────────────────────────────────


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
        with behind() as put:
            for record, image, images in track(pyramids, "predict", len(records), len(records) - len(left)):
                mask = predictor.mask(image, images)
                put(write_mask, run.folder.prediction(record.id), mask, None, len(run.dataset.classes))
        this_process().wait_for_everyone()


def revise_masks(run: Run, config: RevisionConfig) -> None:
    """Pseudo masks anew, from their scores times what the network sees among the given tags; writes ``revised/``.

    The network has learned from the masks of all images and repeats less of their chance; the scores know each image
    better. What both see is right more often than either.
    """
    records, segmenter = run.training_records, run.recipe.segmenter
    if is_finished(run, "revise-masks", files_of(records, run.folder.revised)):
        return
    with run.stage("revise-masks", images=len(records)):
        network, maker = trained_segmenter(run), mask_maker(run)
        fold(network.backbone)
        device, left = next(network.parameters()).device, missing(records, run.folder.revised)
        pyramids = load_pyramids(
            run.dataset,
            left,
            config.scales,
            segmenter.base_long_side,
            network.backbone.normalization,
            segmenter.workers,
        )
        with behind() as put:
            for record, image, images in track(pyramids, "revise masks", len(records), len(records) - len(left)):
                size = (image.shape[0], image.shape[1])
                logits = dense_logits(network, images, size, segmenter.flip, device, segmenter.precision)
                seen = logits.softmax(dim=0).cpu().numpy()
                scores, classes, _ = maker.scores_and_mask(record, image)
                both = agreed(scores, seen[classes], config.network_weight)
                mask = mask_from_scores(both, classes, run.recipe.masks.ignore_below)
                ignore = run.recipe.masks.ignore_value
                put(write_mask, run.folder.revised(record.id), mask, ignore, len(run.dataset.classes))
        this_process().wait_for_everyone()


def agreed(
    scores: Float32[np.ndarray, "k h w"], seen: Float32[np.ndarray, "k h w"], weight: float
) -> Float32[np.ndarray, "k h w"]:
    """Shares of scores times probabilities to a power, shared out anew.

    >>> scores, seen = np.array([[[[0.6]], [[0.4]]], [[[0.1]], [[0.9]]]], np.float32)
    >>> agreed(scores, seen, 0.5).ravel().round(2)
    array([0.33, 0.67], dtype=float32)
    """
    return posterior(posterior(scores) * seen ** np.float32(weight))
