"""The stages that train the segmentation network on the pseudo masks, and predict the validation images with it."""

from tagmask.data.images import write_mask
from tagmask.inference.passes import load_pyramids
from tagmask.inference.predictor import load
from tagmask.stages.results import check_pseudo_masks
from tagmask.stages.run import Run, new_segmenter
from tagmask.stages.sharing import files_of, is_finished, missing, train
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.training.samples import MaskSamples


def train_segmenter(run: Run) -> None:
    """Train the segmentation network on the pseudo masks, then predict the validation images without tags."""
    run.require("make-masks")
    if not is_finished(run, "train-segmenter", [run.folder.weights("segmenter")]):
        with run.stage("train-segmenter", images=len(run.training_records)):
            network = new_segmenter(run)
            config = run.recipe.segmenter.training
            check_pseudo_masks(run, run.training_records)
            samples = MaskSamples(
                run.dataset,
                run.training_records,
                config.augment,
                network.backbone.normalization,
                folder=run.folder.path / "masks",
                ignore_value=run.mask_ignore_value,
            )
            train(run, "train-segmenter", network, samples, config)
    predict_validation(run)


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
