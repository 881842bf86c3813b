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
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gpu_checks import CLASSES, TAGS, checks, maps_of, neighbourhood, photograph, scores_of
from gpu_measuring import PRECISIONS, Figures, Network, Report, Sizes, limits, mixed, seconds_of
from gpu_trainings import AFFINITY_CONFIGS, BASES, TRAINING, trainings
from torch import Tensor
from training_steps import WIDE_RESNET, timm_backbone

from tagmask.affinity import build_affinity_net
from tagmask.affinity.random_walk import random_walk
from tagmask.affinity.walk_on_device import walk_on_device
from tagmask.config import (
    CRF_PRESETS,
    BackgroundConfig,
    CamConfig,
    CrfConfig,
    MapsConfig,
    SegmenterConfig,
    WalkConfig,
)
from tagmask.contracts import AffinityModel, Backbone, Method, Neighbourhood
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
from tagmask.stages.affinity import walker
from tagmask.system.storage import MapArchive
from tagmask.testing import tiny_backbone

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
    # All of a run that a walk looks at.
    run: Any = SimpleNamespace(recipe=SimpleNamespace(walk=walk), training_records=())
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
