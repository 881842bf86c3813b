"""What our training step and map inference cost beside the bare backbone on the same tensors.

    python benchmarks/networks.py [--json FILE]

The backbone is MobileNetV2 at stride 16 with frozen batch normalisation and random weights: speed does not depend on
them. Both members of a pair are measured in turn, so that a drifting machine slows both alike; medians are reported.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from measuring import Row, in_turn, print_figures
from PIL import Image

from tagmask.config import AugmentConfig, CamConfig, FolderData, MapsConfig, TimmBackbone, TrainingConfig
from tagmask.contracts import Backbone, Batch, Method
from tagmask.data.datasets import open_dataset
from tagmask.inference.passes import class_maps, load_pyramids, pyramid, summed_activations, with_mirror
from tagmask.masks.scores import normalize_max
from tagmask.methods import build_method
from tagmask.networks.backbones import build_backbone
from tagmask.networks.memory_format import channels_last
from tagmask.system.storage import MapArchive, write_maps
from tagmask.training import engine
from tagmask.training.samples import TagSamples

REPEATS = 7
BACKBONE = TimmBackbone(model="mobilenetv2_100", weights="none", batch_norm="frozen", output_stride=16)


def draw_folder(root: Path, count: int, size: tuple[int, int]) -> None:
    """A data folder of smooth random photographs in two classes."""
    random = np.random.default_rng(0)
    lines = ["image,tags,split"]
    for i in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(root / f"{i}.jpg", quality=90)
        lines.append(f"{i}.jpg,{('cat', 'dog', 'cat;dog')[i % 3]},train")
    (root / "tags.csv").write_text("\n".join(lines) + "\n")


def training_step() -> dict[str, float]:
    """One optimiser step of the classifier against forward and backward of its backbone, batch 16 at 257 pixels."""
    method = build_method(CamConfig(), build_backbone(BACKBONE), 20).train().to(memory_format=torch.channels_last)
    images, tags = channels_last(torch.randn(16, 3, 257, 257)), (torch.rand(16, 20) > 0.9).float()
    config = TrainingConfig(steps=10, rate=1e-4, augment=AugmentConfig(crop=257))
    optimizer = engine.build_optimizer(method.parameter_groups(), config)
    batch = Batch(tuple("abcdefghijklmnop"), images, tags, torch.ones(16, 257, 257, dtype=torch.bool))

    def bare() -> None:
        method.backbone.zero_grad(set_to_none=True)
        method.backbone(images).mean().backward()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(method.losses(batch).values())).sum().backward()
        optimizer.step()

    ours, base = in_turn(step, bare, repeats=REPEATS)
    return {"step_s": ours, "backbone_forward_backward_s": base, "ratio": ours / base}


def data_loading(steps: int = 12) -> dict[str, float]:
    """Share of a training's time in which it waits for images (JPEG 375x500, two loader processes)."""
    with tempfile.TemporaryDirectory() as name:
        draw_folder(Path(name), 64, (375, 500))
        dataset = open_dataset(FolderData(val_split=None), Path(name))
        method = build_method(CamConfig(), build_backbone(BACKBONE), 2)
        augment = AugmentConfig(crop=257, long_side=(256, 384))
        config = TrainingConfig(steps=steps, rate=1e-4, augment=augment, workers=2)
        samples = TagSamples(dataset, dataset.records, augment, method.backbone.normalization)
        engine.train(method, samples, config, seed=0, folder=Path(name) / "out", stage="method")
        lines = [json.loads(line) for line in (Path(name) / "out" / "log.jsonl").read_text().splitlines()]
    # The first step waits for the loader processes to start.
    waited, seconds = (lines[-1][key] - lines[0][key] for key in ("waited", "seconds"))
    return {"waiting_share": waited / seconds, "seconds_per_step": seconds / (lines[-1]["step"] - lines[0]["step"])}


def _forwards(backbone: Backbone, pyramids: list[list[torch.Tensor]]) -> None:
    with torch.inference_mode():
        for images in pyramids:
            for image in images:
                backbone(with_mirror(image, flip=True))


def map_inference(count: int = 20) -> dict[str, float]:
    """Writing the maps of photographs, files to files, against the bare forward of the same tensors."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        draw_folder(root, count, (375, 500))
        dataset, config = open_dataset(FolderData(val_split=None), root), MapsConfig()
        method: Method = build_method(CamConfig(), build_backbone(BACKBONE), 2).eval()
        method.to(memory_format=torch.channels_last)
        normalization = method.backbone.normalization
        tensors = [pyramid(dataset.read_image(r), config.scales, normalization) for r in dataset.records]

        def ours() -> None:
            loaded = load_pyramids(dataset, dataset.records, config.scales, None, normalization, config.workers)
            for record, image, images in loaded:
                activations, _ = summed_activations(method, images, flip=True)
                size = (image.shape[0], image.shape[1])
                maps = class_maps(activations, torch.tensor(record.tags), size).numpy()
                classes = np.array(record.tags, np.int16) + np.int16(1)
                write_maps(root / "maps" / f"{record.id}.npz", MapArchive(classes, normalize_max(maps), size))

        with_files, bare = in_turn(ours, lambda: _forwards(method.backbone, tensors), repeats=3)
    return {
        "images_per_second": count / with_files,
        "backbone_images_per_second": count / bare,
        "ratio": bare / with_files,
    }


def run() -> Iterator[Row]:
    """All measurements of this file."""
    yield "training_step", training_step()
    yield "data_loading", data_loading()
    yield "map_inference", map_inference()


if __name__ == "__main__":
    print_figures(run, __doc__)
