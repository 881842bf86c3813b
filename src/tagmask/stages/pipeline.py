"""The stages of a run. Each reads folders and writes folders, skips what is finished, and notes itself last."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from tagmask.affinity.random_walk import random_walk
from tagmask.config import AnyAffinity, InstancesConfig, IrnConfig, TrainingConfig
from tagmask.contracts import AffinityModel, Method, Neighbourhood, Record, Trainable
from tagmask.conventions import Goal
from tagmask.data.datasets import score_records
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError
from tagmask.inference.passes import load_pyramids, padded_to, summed_activations
from tagmask.inference.predictor import load
from tagmask.masks.grids import to_image
from tagmask.stages import saliency as saliency_making
from tagmask.stages.calibration import calibrate_affinity, calibrate_method
from tagmask.stages.instances import FindsCentres, InstanceMaker, Walk, merged_instances
from tagmask.stages.maps import MapMaker
from tagmask.stages.masks import (
    AffinityLabelMaker,
    MaskMaker,
    label_ignore_value,
    scores_with_background,
    walk_start,
    write_quality,
)
from tagmask.stages.run import Run, new_affinity_net, new_method, new_segmenter, trained_affinity_net, trained_method
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import MapArchive, is_complete, read_maps, write_json, write_maps
from tagmask.system.workers import in_order
from tagmask.training import checkpoints, engine
from tagmask.training.samples import LabelSamples, MaskSamples, PosteriorSamples, Samples, TagSamples


def run_all(run: Run, until: Goal = "prediction") -> None:
    """All stages in order, or those up to the maps of the images that score seeds, or up to the pseudo masks."""
    if run.recipe.instances is not None:
        _instances_affinity(run)  # what cannot be finished is not begun
    train_method(run)
    if until == "seed":
        make_seed_maps(run, score_records(run.dataset, run.recipe.data, run.folder.data()))
        return
    make_maps(run)
    train_affinity(run)
    make_masks(run)
    if until == "mask":
        return
    if run.recipe.instances is not None:
        make_instances(run)
    train_segmenter(run)


def _train(
    run: Run,
    stage: str,
    network: Trainable,
    samples: Samples,
    config: TrainingConfig,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Train, do what is to be done last (on the first process), write what is left, drop the checkpoints."""
    name = {"train-method": "method", "train-affinity": "affinity", "train-segmenter": "segmenter"}[stage]
    engine.train(network, samples, config, seed=run.recipe.seed, folder=run.folder.path, stage=name)
    if this_process().is_main_process:
        last()
        facts = {"recipe": run.recipe.model_dump_json(), "classes": json.dumps(run.dataset.classes)}
        left = network.for_inference() if isinstance(network, Method) else network
        checkpoints.save_weights(run.folder.weights(name), left, facts)
        checkpoints.drop(run.folder.path, name)
    this_process().wait_for_everyone()


def _missing(records: Iterable[Record], *paths: Callable[[str], Path]) -> list[Record]:
    """This process's share of the records that lack one of their files."""
    state = this_process()
    state.wait_for_everyone()
    left = [record for record in records if not all(is_complete(path(record.id)) for path in paths)]
    state.wait_for_everyone()
    return left[state.process_index :: state.num_processes]


def _make_of_each(
    run: Run, maker: Callable[[Record], None], records: Sequence[Record], title: str, *paths: Callable[[str], Path]
) -> None:
    """Run ``maker`` in worker processes on the records that lack one of their files."""
    missing = _missing(records, *paths)
    made = in_order(maker, missing, run.recipe.masks.workers)
    for _ in track(made, title, len(records), len(records) - len(missing)):
        pass
    this_process().wait_for_everyone()


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_saliency(run: Run) -> None:
    """Saliency maps of the training images, for methods that learn from them; writes ``saliency/``.

    Raises:
        TagmaskError: the recipe asks for none, or for those of a folder.
    """
    saliency_making.require_something_to_make(run.recipe)
    if run.folder.is_done("make-saliency"):
        return
    with run.stage("make-saliency", images=len(run.training_records)):
        backbone = saliency_making.initial_backbone(run.recipe.backbone)
        maker = saliency_making.SaliencyMaker(run.folder, run.dataset, backbone)
        _make_of_each(run, maker, run.training_records, "saliency", run.folder.saliency)


def train_method(run: Run) -> None:
    """Train the classifier on tags; writes ``method.safetensors``."""
    if run.folder.is_done("train-method"):
        return
    if saliency_making.is_wanted(run.recipe):
        make_saliency(run)
    with run.stage("train-method", images=len(run.training_records), left_out=list(run.dataset.skipped)):
        method = new_method(run)
        config = run.recipe.training
        saliency = saliency_making.reader(run.recipe, run.folder, run.dataset)
        samples = TagSamples(run.dataset, run.training_records, config.augment, method.backbone.normalization, saliency)
        _train(run, "train-method", method, samples, config, lambda: calibrate_method(run, method, samples))


def make_maps(run: Run) -> None:
    """Multi-scale activation maps of the training images' tags; writes ``maps/`` and ``tags.json``."""
    if run.folder.is_done("make-maps"):
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
    if run.folder.is_done("make-maps") or run.folder.is_done("make-seed-maps"):
        return
    method = trained_method(run)
    with run.stage("make-seed-maps", images=len(records)):
        _write_maps(run, method, records, tags_given=True)
        this_process().wait_for_everyone()


def _write_maps(run: Run, method: Method, records: Sequence[Record], tags_given: bool) -> None:
    config = run.recipe.maps
    missing = _missing(records, run.folder.maps)
    pyramids = load_pyramids(
        run.dataset, missing, config.scales, config.base_long_side, method.backbone.normalization, config.workers
    )
    maker = MapMaker(run.folder, config, method)
    for record, image, images in track(pyramids, "make-maps", len(records), len(records) - len(missing)):
        maker(record, (image.shape[0], image.shape[1]), images, tags_given)


def _predicted_tags(run: Run, method: Method) -> dict[str, dict[str, float]]:
    """The classifier's probability of every class on every validation image, at scale 1."""
    config = run.recipe.maps
    records = run.validation_records
    pyramids = load_pyramids(
        run.dataset, records, [1.0], config.base_long_side, method.backbone.normalization, config.workers
    )
    result: dict[str, dict[str, float]] = {}
    for record, _, images in track(pyramids, "predict tags", len(records)):
        _, logits = summed_activations(method, images, config.flip)
        result[record.id] = dict(zip(run.dataset.classes, logits.sigmoid().tolist(), strict=True))
    return result


def train_affinity(run: Run) -> None:
    """CRF labels from the maps, then the affinity network; writes ``affinity_labels/`` and ``affinity.safetensors``."""
    config = run.recipe.affinity
    if config is None or run.folder.is_done("train-affinity"):
        return
    run.require("make-maps")
    with run.stage("train-affinity", images=len(run.training_records)):
        tagged = [record for record in run.training_records if record.tags]
        maker = AffinityLabelMaker(run.folder, run.dataset, config.labels)
        _make_of_each(run, maker, tagged, "affinity labels (CRF)", maker.path)
        net = new_affinity_net(run, config)
        samples = _affinity_samples(run, config, net, tagged)
        _train(
            run, "train-affinity", net, samples, config.training, lambda: calibrate_affinity(run, net, config.training)
        )


def _affinity_samples(run: Run, config: AnyAffinity, net: AffinityModel, records: Sequence[Record]) -> Samples:
    folder = run.folder.path / "affinity_labels"
    shared = (run.dataset, records, config.training.augment, net.backbone.normalization)
    if config.labels.kind == "powers":
        return PosteriorSamples(*shared, folder=folder, stride=config.stride)
    ignore_value = label_ignore_value(len(run.dataset.classes))
    return LabelSamples(*shared, folder=folder, ignore_value=ignore_value, stride=config.stride)


def make_masks(run: Run) -> None:
    """Random walk and CRF; writes ``walks/``, ``masks/``, ``confidence/`` and ``quality.csv``."""
    if run.folder.is_done("make-masks"):
        return
    config = run.recipe.affinity
    run.require("make-maps" if config is None else "train-affinity")
    with run.stage("make-masks", images=len(run.training_records)):
        if config is not None:
            _walk(run, trained_affinity_net(run, config), config)
        _write_masks(run, 1 if config is None else config.stride)
        if this_process().is_main_process:
            write_quality(run.folder, run.training_records)
        this_process().wait_for_everyone()


@torch.inference_mode()
def _walk(run: Run, net: AffinityModel, config: AnyAffinity) -> None:
    walk, device = run.recipe.walk, this_process().device
    missing = _missing(run.training_records, run.folder.walks)
    pyramids = load_pyramids(
        run.dataset, missing, [1.0], walk.base_long_side, net.backbone.normalization, run.recipe.maps.workers
    )
    done = len(run.training_records) - len(missing)
    for record, image, images in track(pyramids, "random walk", len(run.training_records), done):
        size = (images[0].shape[1], images[0].shape[2])
        scores, classes = _walk_start(run, record, (image.shape[0], image.shape[1]))
        found = net.neighbourhood(padded_to(images[0], config.stride)[None].to(device), walk.border)
        walked = _walker(run, net, found)(walk_start(scores, size, config.stride, walk))
        write_maps(run.folder.walks(record.id), MapArchive(classes, walked, (image.shape[0], image.shape[1])))


def _walker(run: Run, net: AffinityModel, found: Neighbourhood) -> Walk:
    """The walk of maps in the neighbourhood of one image."""
    walk = run.recipe.walk
    affinities = found.affinities[0].cpu().numpy()
    passable = np.float32(1) if found.passable is None else found.passable[0].cpu().numpy()
    return lambda maps: random_walk(
        maps * passable,
        affinities,
        net.offsets,
        beta=walk.beta,
        steps=walk.steps,
        form=walk.form,
        tolerance=walk.tolerance,
    )


def _walk_start(run: Run, record: Record, size: tuple[int, int]) -> tuple[Float32[np.ndarray, "k h w"], np.ndarray]:
    """What walks: the maps, and with them the background where it is a power of them or learnt."""
    archive = read_maps(run.folder.maps(record.id))
    background = run.recipe.masks.background
    if background.rule == "power" and background.when == "before_walk":
        return scores_with_background(archive, size, background)
    return to_image(archive.maps, size), archive.classes


def _write_masks(run: Run, stride: int) -> None:
    walk = None if run.recipe.affinity is None else run.recipe.walk
    maker = MaskMaker(run.folder, run.dataset, run.recipe.masks, walk, stride)
    _make_of_each(run, maker, run.training_records, "pseudo masks (CRF)", run.folder.confidence, run.folder.mask)


def make_instances(run: Run) -> None:
    """Instance masks from the displacements of IRN; writes ``instances/`` and ``instances.json``.

    Raises:
        TagmaskError: the recipe asks for no instances, or its affinity network finds no centres of objects.
    """
    config = run.recipe.instances
    if config is None:
        raise TagmaskError(
            f"recipe {run.recipe.name!r} asks for no instances; begin the run with --set instances={{}}, and with an "
            "affinity network of kind irn."
        )
    affinity = _instances_affinity(run)
    if run.folder.is_done("make-instances"):
        return
    run.require("train-affinity")
    with run.stage("make-instances", images=len(run.training_records)):
        _find_instances(run, trained_affinity_net(run, affinity), config)
        this_process().wait_for_everyone()
        if this_process().is_main_process:
            write_json(run.folder.instances, merged_instances(run.folder, run.dataset, run.training_records))


def _instances_affinity(run: Run) -> IrnConfig:
    """The affinity network behind the recipe's instances."""
    affinity = run.recipe.affinity
    if not isinstance(affinity, IrnConfig):
        found = "no affinity network" if affinity is None else f"affinity.kind {affinity.kind}"
        raise TagmaskError(
            f"recipe {run.recipe.name!r} asks for instances, which are found along the displacements of IRN, but has "
            f"{found}; set affinity.kind to irn, or instances to null."
        )
    return affinity


@torch.inference_mode()
def _find_instances(run: Run, net: AffinityModel, config: InstancesConfig) -> None:
    assert isinstance(net, FindsCentres)
    walk, device, total = run.recipe.walk, this_process().device, len(run.training_records)
    missing = _missing(run.training_records, run.folder.image_instances)
    pyramids = load_pyramids(
        run.dataset, missing, [1.0], walk.base_long_side, net.backbone.normalization, config.workers
    )
    maker = InstanceMaker(run.folder, config, walk, net.stride)
    for record, _, images in track(pyramids, "instances", total, total - len(missing)):
        padded = padded_to(images[0], net.stride)[None].to(device)
        displacements = net.displacements(padded)[0].float().cpu().numpy()
        walker = _walker(run, net, net.neighbourhood(padded, walk.border))
        maker(record, (images[0].shape[1], images[0].shape[2]), displacements, walker)


def train_segmenter(run: Run) -> None:
    """Train the segmentation network on the pseudo masks, then predict the validation images without tags."""
    run.require("make-masks")
    if not run.folder.is_done("train-segmenter"):
        with run.stage("train-segmenter", images=len(run.training_records)):
            network = new_segmenter(run)
            config = run.recipe.segmenter.training
            samples = MaskSamples(
                run.dataset,
                run.training_records,
                config.augment,
                network.backbone.normalization,
                folder=run.folder.path / "masks",
                ignore_value=run.mask_ignore_value,
            )
            _train(run, "train-segmenter", network, samples, config)
    if not run.folder.is_done("predict"):
        with run.stage("predict", images=len(run.validation_records)):
            _predict_validation(run)


def _predict_validation(run: Run) -> None:
    config = run.recipe.segmenter
    predictor = load(run.folder.path, str(this_process().device))
    records = run.validation_records
    missing = _missing(records, run.folder.prediction)
    pyramids = load_pyramids(
        run.dataset, missing, config.scales, config.base_long_side, predictor.normalization, config.workers
    )
    for record, image, images in track(pyramids, "predict", len(records), len(records) - len(missing)):
        write_mask(run.folder.prediction(record.id), predictor.mask(image, images), None, len(run.dataset.classes))
    this_process().wait_for_everyone()
