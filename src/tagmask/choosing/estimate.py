"""How long a run will take and how much memory it will need, from a few steps of each stage that are measured."""

import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from tagmask.config import AffinityConfig, CrfConfig, TrainingConfig
from tagmask.contracts import AffinityModel, Batch, Method, Normalization, Record, Trainable
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.inference.passes import class_maps, dense_logits, load_pyramids, summed_activations
from tagmask.masks.crf import refiner
from tagmask.masks.grids import feature_grid
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.depthwise import quick_depthwise
from tagmask.networks.mixed_precision import mixed_precision
from tagmask.stages.affinity import neighbourhood, walker
from tagmask.stages.run import Run, new_affinity_net, new_method, new_segmenter
from tagmask.stages.sharing import crf_device
from tagmask.system.environment import peak_memory
from tagmask.system.processes import this_process
from tagmask.training.batches import collate
from tagmask.training.engine import build_optimizer, num_steps
from tagmask.training.samples import TagSamples

STEPS = 2  # measured of each training, after one that warms up
IMAGES = 2  # measured of each stage that goes image by image


@dataclass(frozen=True)
class StageEstimate:
    """One stage.

    Attributes:
        stage: its name.
        units: steps or images.
        seconds: of each.
        training: name of the training's settings; None of a stage that goes image by image.
    """

    stage: str
    units: int
    seconds: float
    training: str | None = None

    @property
    def total(self) -> float:
        """Seconds of the stage."""
        return self.units * self.seconds


@dataclass(frozen=True)
class Estimate:
    """A whole run.

    Attributes:
        stages: in their order.
        memory: MiB that the largest of its processes held while it was measured; None if unknown.
    """

    stages: tuple[StageEstimate, ...]
    memory: float | None

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.total for stage in self.stages)

    def __str__(self) -> str:
        """In a line."""
        longest = ", ".join(f"{stage.stage} {duration(stage.total)}" for stage in self.stages if stage.total >= 1)
        parts = f" ({longest})" if longest else ""
        memory = "" if self.memory is None else f", {self.memory / 1024:.1f} GiB of memory or a little more"
        return f"about {duration(self.seconds)}{parts}{memory}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(59), duration(3000), duration(9000)
    ('59 s', '50 min', '2 h 30 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def estimate(run: Run) -> Estimate:
    """Measure a few steps and images of every stage that the recipe has; nothing is written, nothing is kept."""
    state = torch.get_rng_state()
    try:
        stages = tuple(_measured(run))
    finally:
        torch.set_rng_state(state)
    return Estimate(stages, peak_memory())


def _measured(run: Run) -> Iterable[StageEstimate]:
    recipe, images, validation = run.recipe, len(run.training_records), len(run.validation_records)
    shown = [record for record in run.training_records if record.tags][:IMAGES] or list(run.training_records[:IMAGES])
    method, size = new_method(run).to(this_process().device), shown[0]
    view = _View(run, method.backbone.normalization)
    yield _training(view, "train-method", "training", recipe.training, method, None)
    tagged_alone = validation / sum(scale**2 for scale in recipe.maps.scales)  # their tags are told at scale 1
    looked_at = images + (validation if recipe.maps.validation else 0) + tagged_alone
    yield StageEstimate("make-maps", round(looked_at), _maps(view, method.eval(), shown))
    crf = 0.0 if recipe.masks.crf is None else _crf(run, size, recipe.masks.crf)
    walk = 0.0
    if recipe.affinity is not None:
        net = new_affinity_net(run, recipe.affinity, load_initial=False).to(this_process().device)
        yield _training(
            view, "train-affinity", "affinity.training", recipe.affinity.training, net, recipe.affinity.stride
        )
        tagged = sum(bool(record.tags) for record in run.training_records)
        labels = 2 * _crf(run, size, recipe.affinity.labels.crf)
        yield StageEstimate("labels", tagged, labels)
        walk = _walk(view, net.eval(), recipe.affinity, size)
    yield StageEstimate("make-masks", images, walk + crf)
    segmenter, revision = new_segmenter(_from_imagenet(run)).to(this_process().device), recipe.segmenter.revision
    yield _training(view, "train-segmenter", "segmenter.training", recipe.segmenter.training, segmenter, 1)
    predicted = _predict(view, segmenter.eval(), shown)
    if revision is not None:
        share = sum(scale**2 for scale in revision.scales) / sum(scale**2 for scale in recipe.segmenter.scales)
        yield StageEstimate("revise-masks", images, share * predicted + crf)
    yield StageEstimate("predict", validation, predicted)


@dataclass(frozen=True)
class _View:
    """A run, and how its photographs are normalised."""

    run: Run
    normalization: Normalization

    @property
    def device(self) -> torch.device:
        return torch.device(this_process().device or "cpu")


def _from_imagenet(run: Run) -> Run:
    """The run without a start from a classifier that does not exist yet."""
    segmenter = run.recipe.segmenter.model_copy(update={"initial": "imagenet"})
    return replace(run, recipe=run.recipe.model_copy(update={"segmenter": segmenter}))


def _seconds(work: Callable[[], object], times: int = 1) -> float:
    """Of one call, after one that warms up."""
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


# ── trainings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _training(
    view: _View, stage: str, name: str, config: TrainingConfig, network: Trainable, stride: int | None
) -> StageEstimate:
    """Steps of a training; ``stride``: cell of random labels in place of those that do not exist yet."""
    run = view.run
    samples = TagSamples(run.dataset, run.training_records, config.augment, view.normalization)
    began = time.perf_counter()
    batch = collate([samples.sample(0, 0, place % len(samples)) for place in range(config.batch_size)])
    loading = (time.perf_counter() - began) / max(1, config.workers)
    batch = _with_labels(batch, len(run.dataset.classes), stride).to(view.device)
    optimizer = build_optimizer(network.train().to(memory_format=torch.channels_last).parameter_groups(), config)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(config.precision, view.device):
            losses = network.losses(batch)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    with quick_depthwise(network):
        seconds = _seconds(step, STEPS)
    overlapped = max(seconds, loading) if config.workers else seconds + loading
    return StageEstimate(stage, num_steps(config, len(run.training_records)), overlapped, name)


def _with_labels(batch: Batch, num_classes: int, stride: int | None) -> Batch:
    """The batch with random saliency, and with labels in blocks where a stride is given."""
    number, _, rows, columns = batch.images.shape
    random = torch.Generator().manual_seed(0)
    batch = replace(batch, saliency=torch.rand(number, 1, rows, columns, generator=random))
    if stride is None:
        return batch
    blocks = torch.randint(IGNORE, num_classes + 1, (number, 1, 4, 4), generator=random).float()
    labels = F.interpolate(blocks, size=(-(-rows // stride), -(-columns // stride)))[:, 0]
    return replace(batch, masks=labels.long())


# ── image by image ───────────────────────────────────────────────────────────────────────────────────────────────────


def _maps(view: _View, method: Method, shown: Sequence[Record]) -> float:
    config, classes = view.run.recipe.maps, len(view.run.dataset.classes)

    def work() -> None:
        pyramids = load_pyramids(
            view.run.dataset, shown, config.scales, config.base_long_side, view.normalization, workers=0
        )
        for record, image, images in pyramids:
            activations, _ = summed_activations(method, images, config.flip, config.precision)
            tags = torch.tensor(record.tags, dtype=torch.long, device=view.device)
            known = torch.zeros(1, classes, device=view.device).index_fill_(1, tags, 1.0)
            finished = [method.finish(each, known) for each in activations]
            through = images if config.resizing == "twice" else None
            class_maps(finished, tags, (image.shape[0], image.shape[1]), through)

    return _seconds(work) / len(shown)


def _crf(run: Run, record: Record, config: CrfConfig) -> float:
    """Seconds of an image, where processes do others beside it; a device does one after the other."""
    image, device = run.dataset.read_image(record), crf_device(config)
    beside = max(1, run.recipe.masks.workers) if device == "cpu" else 1
    scores = np.random.default_rng(0).random((1 + max(1, len(record.tags)), *image.shape[:2]), np.float32)
    return _seconds(lambda: refiner(image, device)(scores, config)) / beside


def _walk(view: _View, net: AffinityModel, config: AffinityConfig, record: Record) -> float:
    walk = view.run.recipe.walk
    pyramids = load_pyramids(view.run.dataset, [record], [1.0], walk.base_long_side, view.normalization, workers=0)
    _, _, images = next(iter(pyramids))
    rows, columns = feature_grid((images[0].shape[1], images[0].shape[2]), config.stride)
    start = np.random.default_rng(0).random((1 + max(1, len(record.tags)), rows, columns), np.float32)

    def work() -> None:
        with torch.inference_mode():
            found = neighbourhood(net, images[0], walk)
        walker(view.run, net, found)(start)

    return _seconds(work)


def _predict(view: _View, network: DeepLab, shown: Sequence[Record]) -> float:
    config = view.run.recipe.segmenter

    def work() -> None:
        pyramids = load_pyramids(
            view.run.dataset, shown, config.scales, config.base_long_side, view.normalization, workers=0
        )
        for _, image, images in pyramids:
            size = (image.shape[0], image.shape[1])
            dense_logits(network, images, size, config.flip, view.device, config.precision)

    return _seconds(work) / len(shown)


# ── a time to keep to ────────────────────────────────────────────────────────────────────────────────────────────────


def fitted_steps(
    found: Estimate, seconds: float, floors: dict[str, int], held: Set[str] = frozenset()
) -> dict[str, int]:
    """Steps of each training with which a run takes so many seconds; all are shortened or lengthened alike.

    Args:
        found: the estimate with the steps that the recipe has.
        seconds: what there is.
        floors: the fewest steps of each training, by the name of its settings.
        held: trainings that keep their steps.

    Raises:
        TagmaskError: not even the fewest steps fit.
    """
    trainings = {stage.training: stage for stage in found.stages if stage.training and stage.training not in held}
    rest = found.seconds - sum(stage.total for stage in trainings.values())
    floor = sum(floors.get(name, 1) * stage.seconds for name, stage in trainings.items())
    if rest + floor > seconds:
        raise TagmaskError(
            f"the budget is {duration(seconds)}, and this run takes {duration(rest + floor)} at least: "
            f"{duration(floor)} for the fewest steps that teach anything, {duration(rest)} for maps and masks. Give it "
            f"more time{', or fewer images (data.max_images)' if floor < seconds else ''}"
        )
    free, steps = seconds - rest, {}
    left = dict(trainings)
    while left:  # those that reach their floor leave less to the others
        factor = free / sum(stage.total for stage in left.values())
        at_floor = {name for name, stage in left.items() if stage.units * factor < floors.get(name, 1)}
        for name in at_floor or set(left):
            stage = left.pop(name)
            steps[name] = floors.get(name, 1) if at_floor else max(1, int(stage.units * factor))
            free -= steps[name] * stage.seconds
    return {name: steps[name] for name in trainings}
