"""Training steps on an accelerator beside the bare network's passes; part of ``benchmarks/gpu.py``."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch
from gpu_checks import CLASSES
from gpu_measuring import PRECISIONS, Figures, Report, Sizes, mixed, seconds_of
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from training_steps import example

from tagmask.affinity import build_affinity_net
from tagmask.config import (
    AffinityNetConfig,
    AugmentConfig,
    CamConfig,
    EpsConfig,
    IrnConfig,
    PpcConfig,
    SeamConfig,
    SegmenterConfig,
    SipeConfig,
    TrainingConfig,
)
from tagmask.contracts import Backbone, Batch, Trainable
from tagmask.conventions import IGNORE
from tagmask.methods import build_method
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.padding import boxes
from tagmask.training import engine

TRAINING = TrainingConfig(steps=10, rate=1e-20, augment=AugmentConfig(crop=448))  # too small to change the weights
BASES = {"cam": CamConfig(), "seam": SeamConfig(), "eps": EpsConfig(), "sipe": SipeConfig()}
METHOD_CONFIGS = BASES | {f"{name} with ppc": PpcConfig(base=config) for name, config in BASES.items()}
AFFINITY_CONFIGS = {"affinitynet": AffinityNetConfig(training=TRAINING), "irn": IrnConfig(training=TRAINING)}
SEGMENTERS: dict[Any, tuple[int, ...]] = {  # dilations of each kind
    "deeplab_v1": (12,),
    "deeplab_v2": (6, 12, 18, 24),
    "deeplab_v3": (0, 6, 12, 18),
    "deeplab_v3plus": (6, 12, 18),
    "semantic_fpn": (6, 12, 18),
}


def trainings(report: Report, sizes: Sizes, limit: dict[str, float]) -> None:
    """Steps of everything that learns, beside the bare network's passes with the same precision."""
    for network, precision in product(sizes.networks, PRECISIONS):
        torch.manual_seed(0)
        backbone = network.build().to(report.device, memory_format=torch.channels_last)
        batch = training_batch(network.batch, sizes.pixels).to(report.device)
        measure = partial(measured, device=report.device, sizes=sizes, limit=limit[precision], count=network.batch)
        at = f"{network.name}, {precision}"
        passes = partial(partial, backward_of, backbone, batch, precision)
        bare = report.row("training", f"{at}: bare network", partial(measure, passes))
        for name, build, shown in trained(backbone, batch):
            begin = partial(step_of, build, shown, precision)
            report.row("training", f"{at}: {name}", partial(measure, begin, bare=bare.get("images_per_second")))


def training_batch(count: int, pixels: int) -> Batch:
    """What the loader tells beside the images is there: no step waits."""
    batch = example(count, pixels).to(torch.device("cpu"))
    return replace(batch, boxes=boxes(batch.valid), most_tags=int(batch.tags.sum(dim=1).max()))


def trained(backbone: Backbone, batch: Batch) -> Iterator[tuple[str, Callable[[], Trainable], Batch]]:
    """Everything that can be trained on a backbone, and what it is shown."""
    own = partial(deepcopy, backbone)  # some of them freeze it
    for name, config in METHOD_CONFIGS.items():
        yield name, lambda config=config: build_method(config, own(), CLASSES), batch
    for name, config in AFFINITY_CONFIGS.items():
        yield name, lambda config=config: build_affinity_net(config, own()), with_labels(batch, config.stride)
    for kind, rates in SEGMENTERS.items():
        config = SegmenterConfig(kind=kind, rates=rates, training=TRAINING)
        yield kind, lambda config=config: DeepLab(config, own(), CLASSES), with_labels(batch, 1)


def with_labels(batch: Batch, stride: int) -> Batch:
    """The batch with labels in blocks, one for each cell of ``stride`` pixels, of its first three classes."""
    count, _, rows, columns = batch.images.shape
    blocks = torch.randint(IGNORE, 4, (count, 1, 6, 6), device=batch.images.device).float()
    labels = F.interpolate(blocks, size=(-(-rows // stride), -(-columns // stride)))[:, 0]
    return replace(batch, masks=labels.long())


def step_of(build: Callable[[], Trainable], batch: Batch, precision: str) -> Callable[[], None]:
    """An optimiser step as ``engine.train`` makes it."""
    network = build().train().to(batch.images.device, memory_format=torch.channels_last)
    optimizer = engine.build_optimizer(network.parameter_groups(), TRAINING)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with mixed(batch.images.device, precision):
            losses = network.losses(batch)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    return step


def backward_of(backbone: Backbone, batch: Batch, precision: str) -> None:
    backbone.zero_grad(set_to_none=True)
    with mixed(batch.images.device, precision):
        found = backbone(batch.images)
    found.float().mean().backward()


def measured(
    begin: Callable[[], Callable[[], object]],
    device: torch.device,
    sizes: Sizes,
    limit: float,
    count: int,
    bare: float | None = None,
) -> Figures:
    """Images per second of steps on ``count`` of them, the share of the limit, and the memory they take."""
    work = begin()
    with FlopCounterMode(display=False) as counter:
        work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = seconds_of(work, device, sizes.seconds)
    found = {"images_per_second": count / seconds, "share_of_limit": counter.get_total_flops() / seconds / limit}
    if bare is not None:
        found["share_of_bare"] = found["images_per_second"] / bare
    if device.type == "cuda":
        found["gigabytes"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found
