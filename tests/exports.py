"""What tests of exports share: tiny networks of every kind, a run with random weights, sizes as symbols."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import torch

from shared_runs import tiny_recipe
from tagmask.config import SegmenterConfig
from tagmask.contracts import ImageArray
from tagmask.data.datasets import open_dataset
from tagmask.inference.predictor import build_segmenter
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.saved import save_weights
from tagmask.system.storage import write_json
from tagmask.testing import tiny_backbone

STEPS = {"steps": 1, "rate": 0.1, "augment": {"crop": 32}}
KINDS = {
    "deeplab_v1": {"kind": "deeplab_v1", "rates": (2,)},
    "deeplab_v2": {"kind": "deeplab_v2", "rates": (1, 2)},
    "deeplab_v2, maximum over scales": {"kind": "deeplab_v2", "rates": (1, 2), "maximum_over": (1.0, 0.75, 0.5)},
    "deeplab_v3": {"kind": "deeplab_v3", "rates": (0, 1, 2)},
    "deeplab_v3plus": {"kind": "deeplab_v3plus", "rates": (1, 2), "tag_weight": 1.0},
    "semantic_fpn": {"kind": "semantic_fpn", "tag_weight": 1.0},
    "semantic_fpn, padding cut": {"kind": "semantic_fpn", "tag_weight": 1.0, "padding": "cut"},
}
SCORES = {
    "prediction": {
        "protocol": "prediction on scenes.",
        "mean_iou": 0.625,
        "iou": {"background": 0.9, "disc": 0.35, "ring": None},
    },
    "tags": {"protocol": "classifier on scenes.", "mean_average_precision": 0.75},
}


def tiny_network(kind: str, backbone=None) -> DeepLab:
    """A network of random weights whose logits differ from cell to cell."""
    config = SegmenterConfig(width=8, low_level_width=4, training=STEPS, **KINDS[kind])
    torch.manual_seed(3)
    return DeepLab(config, backbone or tiny_backbone(), 4).eval()


def written_run(folder: Path, *settings: str) -> Path:
    """A run with a segmenter of random weights, as far as an export looks at it."""
    recipe = tiny_recipe(
        "segmenter.kind=semantic_fpn",
        "segmenter.tag_weight=1",
        "segmenter.scales=[0.75,1.0]",
        "data.largest_side=40",
        *settings,
    )
    dataset = open_dataset(recipe.data, None)
    torch.manual_seed(0)
    network = build_segmenter(recipe.segmenter, recipe.backbone, len(dataset.classes), False)
    _even_out(network.eval(), dataset.read_image(dataset.records[0]))
    facts = {"recipe": recipe.model_dump_json(), "classes": json.dumps(dataset.classes)}
    save_weights(folder / "segmenter.safetensors", network, facts)
    write_json(folder / "recipe.json", {"recipe": recipe.model_dump(mode="json"), "data": None})
    write_json(folder / "scores.json", SCORES)
    return folder


@torch.no_grad()
def _even_out(network: DeepLab, image: ImageArray) -> None:
    """Let every class win somewhere in an image, which random weights alone would not."""
    network.head.classify.weight *= 30
    logits = network(network.normalization.apply(image)[None])
    network.head.classify.bias -= logits.mean(dim=(0, 2, 3))


@contextmanager
def sizes_as_symbols() -> Iterator[None]:
    """While a graph is traced, sizes are symbols, which the shape checker of the tests would refuse as no ints."""
    export = torch.export.export

    def unchecked(*arguments, **options):
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            return export(*arguments, **options)
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)

    torch.export.export = unchecked
    try:
        yield
    finally:
        torch.export.export = export
