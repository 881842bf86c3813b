"""The parts that the stages of a run are made of, each with the bare passes that it must make."""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bare_passes import batch_seconds
from measuring import seconds
from parts import Part, Seen, Subject, built, made_again, read, remove, training

from tagmask.affinity.networks import Irn
from tagmask.config import AffinityConfig
from tagmask.contracts import Backbone, Record
from tagmask.inference.predictor import load
from tagmask.methods.pyramid import Pyramid
from tagmask.methods.sipe import Sipe
from tagmask.stages import affinity, classifier, masks, segmenter
from tagmask.stages.checks import check_all_weights, check_networks
from tagmask.stages.keeping import SHOWN, background_images
from tagmask.stages.results import LearnedMasks, mask_shares
from tagmask.stages.run import (
    begin_run,
    new_affinity_net,
    new_method,
    new_segmenter,
    trained_affinity_net,
    trained_method,
    trained_segmenter,
)
from tagmask.training.samples import MaskSamples, TagSamples


def parts(subject: Subject) -> Iterator[Part]:
    """All parts in the order of a run; what one needs is loaded when its turn has come."""
    yield from beginning(subject)
    yield from of_classifier(subject)
    if subject.recipe.affinity is not None:
        yield from of_affinity(subject, subject.recipe.affinity)
    yield from of_masks(subject)
    yield from of_segmenter(subject)


# ── beginning ────────────────────────────────────────────────────────────────────────────────────────────────────────


def beginning(subject: Subject) -> Iterator[Part]:
    """What ``begin_run`` does before the first stage."""
    run = subject.run

    def networks(turn: int) -> tuple[float, float]:  # noqa: ARG001 - the same in every turn
        return seconds(lambda: (check_all_weights(run.recipe), check_networks(run.recipe, len(run.dataset.classes)))), 0

    def images(turn: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as out:
            whole = seconds(lambda: begin_run(run.recipe, run.data, Path(out) / "run", alone=False))
        return (whole - networks(turn)[0]) / len(run.dataset.records), 0

    yield Part("begin", "look at weights and networks", "run", 1, networks)
    yield Part("begin", "read and check images", "image", subject.images + subject.validation, images)


# ── classifier ───────────────────────────────────────────────────────────────────────────────────────────────────────


def of_classifier(subject: Subject) -> Iterator[Part]:
    """Training, calibration, maps, tags of the validation images."""
    run, recipe, config = subject.run, subject.recipe, subject.recipe.maps
    method = new_method(run)
    samples = TagSamples(run.dataset, run.training_records, recipe.training.augment, method.backbone.normalization)
    yield built("train-method", partial(new_method, run))
    yield training(subject, "train-method", method, samples, recipe.training)
    if isinstance(method.for_inference(), Sipe | Pyramid):
        chosen = sum(map(len, classifier.calibration_images(run.training_records)))
        most = classifier.NUM_CALIBRATION_IMAGES + classifier.NUM_NEGATIVES
        yield Part(
            "train-method",
            "calibrate",
            "image",
            min(subject.images, most),
            lambda _: (seconds(lambda: classifier.calibrate(run, method, samples)) / chosen, 0),
        )
    method = trained_method(run)
    seen = Seen(run, method.backbone, config.scales, config.base_long_side, config.flip, config.workers)
    shown = run.training_records
    make = classifier.maps_of_each(run).maker()
    yield Part(
        "make-maps",
        "maps",
        "image",
        subject.images + (subject.validation if config.validation else 0),
        made_again(subject, shown, (run.folder.maps,), make, seen.reading),
        lambda turn: seen.bare(subject.group(shown, turn)),
    )
    if run.validation_records:
        yield validation_tags(subject, method.backbone)


def validation_tags(subject: Subject, backbone: Backbone) -> Part:
    """The tags of the validation images, which a run looks at once more at scale 1."""
    run, config, records = subject.run, subject.recipe.maps, subject.run.validation_records
    seen = Seen(run, backbone, [1.0], config.base_long_side, config.flip, config.workers)

    def work(turn: int) -> tuple[float, float]:  # noqa: ARG001 - all of them in every turn
        loading = seconds(lambda: trained_method(run))
        run.folder.predicted_tags.unlink(missing_ok=True)
        return (seconds(lambda: classifier.make_maps(run)) - loading) / len(records), seen.reading(records)

    return Part(
        "make-maps", "tags of validation images", "image", subject.validation, work, lambda _: seen.bare(records)
    )


# ── affinity network ─────────────────────────────────────────────────────────────────────────────────────────────────


def of_affinity(subject: Subject, config: AffinityConfig) -> Iterator[Part]:
    """Labels, training, shift."""
    run = subject.run
    each = affinity.labels_of_each(run)
    yield Part(
        "train-affinity",
        "labels",
        "image",
        subject.images,
        made_again(subject, each.records, each.paths, each.maker(), partial(read, run)),
    )
    net = new_affinity_net(run, config)
    yield built("train-affinity", partial(new_affinity_net, run, config))
    samples = affinity._samples(run, config, net, each.records)
    yield training(subject, "train-affinity", net, samples, config.training)
    if isinstance(net, Irn) and net.config.displacements:
        corners = partial(affinity._corners, run, net, config.training)
        number = len(run.training_records)
        seen = Seen(run, net.backbone, [1.0], None, False, config.training.workers)
        yield Part(
            "train-affinity",
            "mean displacement",
            "image",
            subject.images,
            lambda _: (
                seconds(lambda: affinity.calibrate(run, net, config.training)) / number,
                seen.reading(run.training_records),
            ),
            lambda _: batch_seconds(net.backbone, corners()) / number,
        )


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_masks(subject: Subject) -> Iterator[Part]:
    """The strength of the background, walks and masks."""
    run, shown = subject.run, subject.run.training_records
    if number := len(background_images(run)):

        def strength(turn: int) -> tuple[float, float]:  # noqa: ARG001 - all of them in every turn
            run.folder.background.unlink(missing_ok=True)
            return seconds(lambda: masks.mask_maker(run)) / number, read(run, background_images(run))

        yield Part("make-masks", "strength of the background", "image", min(subject.images, SHOWN), strength)
    each, seen = masks.masks_of_each(run), seen_by_the_walk(subject)
    yield Part(
        "make-masks",
        "masks, confidence" if seen is None else "walks, masks, confidence",
        "image",
        subject.images,
        made_again(subject, shown, each.paths, each.maker(), partial(read, run) if seen is None else seen.reading),
        None if seen is None else lambda turn: seen.bare(subject.group(shown, turn)),
    )
    yield Part(
        "make-masks",
        "table of qualities",
        "image",
        subject.images,
        lambda _: (seconds(lambda: masks.write_quality(run.folder, shown)) / len(shown), 0),
    )


def seen_by_the_walk(subject: Subject) -> Seen | None:
    """What the affinity network sees before maps walk, if the recipe has one."""
    run, config = subject.run, subject.recipe.affinity
    if config is None:
        return None
    net = trained_affinity_net(run, config)
    flip = isinstance(net, Irn) and net.config.flip
    return Seen(run, net.backbone, [1.0], subject.recipe.walk.base_long_side, flip, subject.recipe.maps.workers)


# ── segmentation network ─────────────────────────────────────────────────────────────────────────────────────────────


def of_segmenter(subject: Subject) -> Iterator[Part]:
    """Shares of the classes, training, prediction, revision."""
    run, config = subject.run, subject.recipe.segmenter
    records, network = segmenter.learned_records(run), new_segmenter(run)
    yield Part(
        "train-segmenter",
        "shares of the classes",
        "image",
        subject.images,
        lambda _: (seconds(lambda: mask_shares(run, records)) / len(records), 0),
    )
    yield built("train-segmenter", partial(new_segmenter, run))
    views = run.dataset, records, config.training.augment, network.backbone.normalization
    samples = MaskSamples(*views, masks=LearnedMasks(run))
    yield training(subject, "train-segmenter", network, samples, config.training)
    network = trained_segmenter(run)
    seen = partial(
        Seen, run, network.backbone, long_side=config.base_long_side, flip=config.flip, workers=config.workers
    )
    if run.validation_records:
        yield network_masks(subject, "predict", run.validation_records, seen(scales=config.scales))
    if config.revision is not None:
        yield network_masks(subject, "revise-masks", run.training_records, seen(scales=config.revision.scales))


def network_masks(subject: Subject, stage: str, records: Sequence[Record], seen: "Seen") -> Part:
    """The masks of a network; what the stage loads and notes is taken off."""
    run, revision = subject.run, subject.recipe.segmenter.revision
    path = run.folder.prediction if stage == "predict" else run.folder.revised

    def once() -> None:
        _ = load(run.folder.path, "cpu") if stage == "predict" else (trained_segmenter(run), masks.mask_maker(run))
        with run.stage(stage):
            pass

    def whole() -> None:
        if stage == "predict" or revision is None:
            segmenter.predict_validation(run)
        else:
            segmenter.revise_masks(run, revision)

    def work(turn: int) -> tuple[float, float]:
        group, loading = subject.group(records, turn), seconds(once)
        remove(group, (path,))
        return (seconds(whole) - loading) / len(group), seen.reading(group)

    units = subject.validation if stage == "predict" else subject.images
    return Part(stage, "masks", "image", units, work, lambda turn: seen.bare(subject.group(records, turn)))
