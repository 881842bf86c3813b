"""What an accelerator does in a second, and whether its results are the processor's: a few minutes on one card.

    python benchmarks/gpu.py --json FILE [--minutes 8]
    python benchmarks/gpu.py --device cpu --tiny

Checks first: maps of every method, the walk and the dense CRF on both devices. Then images per second of both forms of
walk and CRF, of maps and of labels from photograph to mask, and of training steps in float32 and in bfloat16. A step is
compared with the bare network's forward and backward pass on the same images, and its operations, as torch counts them,
with the fastest matrix product that was measured in the same call. Convolutions of float32 use TF32, as torch has it.

Weights are random: speed does not depend on them. Every row is printed and written as soon as it is known. What fails,
and what there is no time left for, is a row, too, and makes the exit status 1.
"""

import argparse
import gc
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gpu_checks import CLASSES, TAGS, checks, maps_of, neighbourhood, photograph, scores_of
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from training_steps import WIDE_RESNET, example, timm_backbone

from tagmask.affinity import build_affinity_net
from tagmask.affinity.random_walk import random_walk
from tagmask.affinity.walk_on_device import walk_on_device
from tagmask.config import (
    CRF_PRESETS,
    AffinityNetConfig,
    AugmentConfig,
    BackgroundConfig,
    CamConfig,
    CrfConfig,
    EpsConfig,
    IrnConfig,
    MapsConfig,
    PpcConfig,
    SeamConfig,
    SegmenterConfig,
    SipeConfig,
    TrainingConfig,
    WalkConfig,
)
from tagmask.contracts import AffinityModel, Backbone, Batch, Method, Neighbourhood, Trainable
from tagmask.conventions import IGNORE
from tagmask.inference.passes import dense_logits, pyramid, with_mirror
from tagmask.masks.crf import refine
from tagmask.masks.crf.mean_field_on_device import LatticesOnDevice, refine_on_device
from tagmask.masks.from_archives import (
    refined_scores,
    scores_with_background,
    walk_start,
    walked_at_image_size,
    walked_scores,
)
from tagmask.masks.scores import mask_from_scores
from tagmask.methods import build_method
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.memory_format import channels_last
from tagmask.networks.padding import boxes
from tagmask.stages.affinity import walker
from tagmask.system.storage import MapArchive
from tagmask.testing import tiny_backbone
from tagmask.training import engine

Figures = dict[str, Any]

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
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Network:
    """A backbone, and how many images a step of it sees."""

    name: str
    build: Callable[[], Backbone]
    batch: int


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        networks: which, the first of them in the checks.
        pixels: side of the images.
        checked_pixels: likewise in the checks, where the processor computes the maps, too.
        seconds: of each measurement, about.
        matrix: side of the matrices whose product is the limit.
        copied: numbers of the copy that measures the memory.
    """

    networks: tuple[Network, ...]
    pixels: int
    checked_pixels: int
    seconds: float
    matrix: int
    copied: int


PUBLISHED = Sizes(
    (
        Network("ResNet-50, stride 16", lambda: build_backbone(timm_backbone("resnet50", 16)), 16),
        Network("Wide ResNet-38, stride 8", lambda: build_backbone(WIDE_RESNET), 8),
    ),
    pixels=448,
    checked_pixels=224,
    seconds=1.0,
    matrix=8192,
    copied=1 << 28,
)
TINY = Sizes((Network("tiny, stride 8", tiny_backbone, 2),), 48, 48, seconds=0.0, matrix=128, copied=1 << 16)


@dataclass
class Report:
    """Rows that are printed and kept as they come.

    Attributes:
        device: where everything is measured.
        file: where the rows go, if anywhere.
        minutes: after so many nothing new is begun.
        rows: those found.
    """

    device: torch.device
    file: Path | None
    minutes: float
    rows: list[Figures] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def row(self, part: str, what: str, find: Callable[[], Figures]) -> Figures:
        """Measure, print and keep; an error is a row as well, as the others are worth having without it."""
        if time.perf_counter() - self.began > 60 * self.minutes:
            found: Figures = {"left_out": "no time left"}
        else:
            try:
                found = find()
            except Exception as error:
                found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        self.rows.append({"part": part, "what": what} | found)
        told = "  ".join(f"{name} {shown(value)}" for name, value in found.items())
        print(f"{time.perf_counter() - self.began:6.1f} s  {part:10} {what:55} {told}", flush=True)
        self._write()
        self._free()
        return found

    def _write(self) -> None:
        if self.file is not None:
            facts = {"device": name_of(self.device), "torch": torch.__version__, "rows": self.rows}
            self.file.write_text(json.dumps(facts, indent=2) + "\n")

    def _free(self) -> None:
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def failed(self) -> list[str]:
        """What ended in an error or out of tolerance, or was left out."""
        bad = [row for row in self.rows if {"error", "left_out"} & row.keys() or row.get("good") is False]
        return [f"{row['part']}: {row['what']}" for row in bad]


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def seconds_of(work: Callable[[], object], device: torch.device, target: float) -> float:
    """Seconds of a call, as the mean over about ``target`` seconds of them after two that warm up."""

    def timed(times: int) -> float:
        wait_for(device)
        began = time.perf_counter()
        for _ in range(times):
            work()
        wait_for(device)
        return (time.perf_counter() - began) / times

    timed(1)
    once = timed(1)
    return timed(min(200, math.ceil(target / once))) if target > once else once


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def mixed(device: torch.device, precision: str) -> AbstractContextManager:
    """As ``engine.train`` computes with ``training.precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def limits(report: Report, sizes: Sizes) -> dict[str, float]:
    """Operations a second of matrix products, by the precision whose limit they are."""
    n, found = sizes.matrix, {}
    for name, dtype, tf32 in (
        ("float32 proper", torch.float32, False),
        ("float32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        one, other = (torch.randn(n, n, device=report.device).to(dtype) for _ in range(2))

        torch.backends.cuda.matmul.allow_tf32 = tf32
        row = report.row(
            "limits", f"product of {n} x {n}, {name}", partial(multiplied, one, other, report.device, sizes)
        )
        found[name] = 1e12 * row.get("tera_operations_per_second", math.nan)
    torch.backends.cuda.matmul.allow_tf32 = False
    report.row("limits", "copy", lambda: {"gigabytes_per_second": copied(report.device, sizes)})
    return found


def multiplied(one: Tensor, other: Tensor, device: torch.device, sizes: Sizes) -> Figures:
    seconds = seconds_of(lambda: one @ other, device, sizes.seconds)
    return {"tera_operations_per_second": 2e-12 * len(one) ** 3 / seconds}


def copied(device: torch.device, sizes: Sizes) -> float:
    """Read and written."""
    source = torch.zeros(sizes.copied, device=device)
    target = torch.empty_like(source)
    return 8e-9 * sizes.copied / seconds_of(lambda: target.copy_(source), device, sizes.seconds)


# ── trainings ────────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── maps, masks, predictions ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Picture:
    """A photograph as networks see it.

    Attributes:
        image: its pixels.
        images: normalised, at every scale of the maps.
    """

    image: np.ndarray
    images: list[Tensor]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.image.shape[0], self.image.shape[1]


def inference(report: Report, sizes: Sizes) -> None:
    """Images per second in float32, which is all that tagmask infers in; what bfloat16 would give the bare network."""
    for network in sizes.networks:
        backbone = network.build().eval().to(report.device, memory_format=torch.channels_last)
        image = photograph(sizes.pixels)
        picture = Picture(image, pyramid(image, MapsConfig().scales, backbone.normalization))
        for part, name, work in inferred(backbone, picture, report.device):
            report.row(part, f"{network.name}: {name}", partial(rate, work, report.device, sizes))


def rate(work: Callable[[], object], device: torch.device, sizes: Sizes) -> Figures:
    return {"images_per_second": 1 / seconds_of(work, device, sizes.seconds)}


def inferred(
    backbone: Backbone, picture: Picture, device: torch.device
) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Everything that is inferred with a backbone: part, name, and what is done to a photograph."""
    for precision in PRECISIONS:
        yield "maps", f"bare network, {precision}", partial(bare_forwards, backbone, picture, device, precision)
    for name, config in BASES.items():
        method = build_method(config, backbone, CLASSES).eval().to(device, memory_format=torch.channels_last)
        yield "maps", name, partial(maps_of, method, picture.images, TAGS, picture.size)
    segmenter = DeepLab(SegmenterConfig(training=TRAINING), backbone, CLASSES).eval().to(device)
    yield "prediction", "deeplab_v3plus", partial(predict, segmenter, picture, device)
    yield from labels(backbone, picture, device)


def predict(segmenter: DeepLab, picture: Picture, device: torch.device) -> Tensor:
    return dense_logits(segmenter, picture.images, picture.size, True, device).argmax(0).cpu()


def bare_forwards(backbone: Backbone, picture: Picture, device: torch.device, precision: str) -> None:
    with torch.inference_mode(), mixed(device, precision):
        for image in picture.images:
            backbone(with_mirror(image.to(device), flip=True))


def labels(
    backbone: Backbone, picture: Picture, device: torch.device
) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """From photograph to pseudo mask, without files: maps of CAM, affinities, walk, dense CRF."""
    method = build_method(CamConfig(), backbone, CLASSES).eval().to(device, memory_format=torch.channels_last)
    for name, config in AFFINITY_CONFIGS.items():
        net = build_affinity_net(config, deepcopy(backbone)).eval().to(device, memory_format=torch.channels_last)
        for place, where in (("there", device), ("on the processor", torch.device("cpu"))):
            what = f"cam and {name}, walk and CRF {place}"
            yield "labels", what, partial(label, method, net, picture, device, where)


@torch.inference_mode()
def label(
    method: Method, net: AffinityModel, picture: Picture, device: torch.device, where: torch.device
) -> np.ndarray:
    """The pseudo mask of a photograph; ``where``: the device that walks and refines."""
    walk, background = WalkConfig(), BackgroundConfig()
    classes = np.array(TAGS, np.int16) + np.int16(1)
    maps = MapArchive(classes, maps_of(method, picture.images, TAGS, picture.size), picture.size)
    scores, classes = scores_with_background(maps, picture.size, background)
    found = net.neighbourhood(channels_last(picture.images[0][None]).to(device), walk.border)
    passable = None if found.passable is None else found.passable.to(where)
    moved = Neighbourhood(found.affinities.to(where), passable)
    run: Any = SimpleNamespace(recipe=SimpleNamespace(walk=walk))  # all of a run that a walk looks at
    walked = walker(run, net, moved)(walk_start(scores, picture.size, net.stride, walk))
    archive = walked_at_image_size(MapArchive(classes, walked, picture.size), picture.size, walk, net.stride)
    scores, classes = walked_scores(archive, background)
    refined = refined_scores(picture.image, scores, CRF_PRESETS["psa"], str(where))
    return mask_from_scores(refined, classes, 0.0)


# ── walk and CRF ─────────────────────────────────────────────────────────────────────────────────────────────────────


def walks(report: Report, sizes: Sizes) -> None:
    """Both forms on the device, what is copied included, beside the processor's on one thread."""
    for stride, count, form in product((8, 4), (3, 21), ("exact", "chebyshev")):
        cells = -(-sizes.pixels // stride)
        near, offsets = neighbourhood(cells)
        maps, settings = scores_of(count, cells), (offsets, 8, 256, form)
        there = partial(walk_there, maps, torch.from_numpy(near).to(report.device), settings)
        here = partial(random_walk, maps, near, *settings)
        what = f"{cells} x {cells} cells, {count} maps, {form}"
        report.row("walk", what, partial(beside, there, here, report.device, sizes))


def walk_there(maps: np.ndarray, near: Tensor, settings: tuple[Any, ...]) -> np.ndarray:
    return walk_on_device(torch.from_numpy(maps).to(near.device), near, *settings).cpu().numpy()


def crfs(report: Report, sizes: Sizes) -> None:
    """Lattices included, and what is copied, beside the processor's on one thread."""
    image, device = photograph(sizes.pixels), report.device
    for name, count in product(("psa", "irn", "deeplab"), (3, 21)):
        scores, config = scores_of(count, sizes.pixels), CRF_PRESETS[name]
        there = partial(crf_there, image, scores, config, device)
        here = partial(refine, image, scores, config)
        report.row("CRF", f"{name}, {count} labels", partial(beside, there, here, device, sizes))


def crf_there(image: np.ndarray, scores: np.ndarray, config: CrfConfig, device: torch.device) -> np.ndarray:
    return refine_on_device(scores, config, LatticesOnDevice(image, device))


def beside(there: Callable[[], object], here: Callable[[], object], device: torch.device, sizes: Sizes) -> Figures:
    ours, processor = (seconds_of(work, device, sizes.seconds / 2) for work in (there, here))
    return {
        "images_per_second": 1 / ours,
        "processor_images_per_second": 1 / processor,
        "times_faster": processor / ours,
    }


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", type=torch.device)
    parser.add_argument("--tiny", action="store_true", help="a tiny network and tiny images: whether everything runs")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--minutes", type=float, default=8, help="begin nothing new after these")
    arguments = parser.parse_args()
    sizes = TINY if arguments.tiny else PUBLISHED
    report = Report(arguments.device, arguments.json, arguments.minutes)
    compared = checks(sizes.networks[0].build, sizes.checked_pixels, report.device)
    for what, compare in compared.items():
        report.row("check", what, compare)
    torch.backends.cudnn.allow_tf32 = True
    limit = limits(report, sizes)
    walks(report, sizes)
    crfs(report, sizes)
    inference(report, sizes)
    trainings(report, sizes, limit)
    for failed in report.failed():
        print("FAILED", failed)
    return 1 if report.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
