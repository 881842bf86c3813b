"""Everything that can be trained, on a tiny backbone, and a batch for a step of it."""

from collections.abc import Callable
from dataclasses import replace

import torch

from tagmask.affinity.networks import AffinityNet, Irn
from tagmask.config import AffinityNetConfig, IrnConfig, MethodConfig, PpcConfig, SegmenterConfig, SipeConfig
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Batch, Trainable
from tagmask.methods import METHODS, build_method
from tagmask.networks.deeplab import DeepLab
from tagmask.testing import NUM_CLASSES, random_batch, tiny_backbone

TRAINING = load_recipe("toy").training


def without_dropout(config: type[MethodConfig]) -> MethodConfig:
    return config(**({"dropout": 0.0} if "dropout" in config.model_fields else {}))


PLAIN = {config.model_fields["kind"].default: without_dropout(config) for config in METHODS}
PLAIN |= {"sipe-matched": SipeConfig(background_factor="matched")}
METHOD_CONFIGS = PLAIN | {
    f"{name}-{kind}": PpcConfig(base=config, view_scale=0.6, faithful=kind == "published", warmup_steps=5)
    for name, config in PLAIN.items()
    for kind in ("ppc", "published")
}


def method(config: MethodConfig) -> Callable[[], Trainable]:
    return lambda: build_method(config, tiny_backbone(), NUM_CLASSES)


def segmenter(kind: str, **settings) -> Callable[[], Trainable]:
    rates = (2,) if kind == "deeplab_v1" else (1, 2)
    shared = {"width": 8, "rates": rates, "low_level_width": 4, "dropout": 0.0, "training": TRAINING}
    config = SegmenterConfig(kind=kind, **shared, **settings)
    return lambda: DeepLab(config, tiny_backbone(), NUM_CLASSES)


def affinity(network: type, config: type, **settings) -> Callable[[], Trainable]:
    return lambda: network(config(training=TRAINING, training_border="full", radius=2, **settings), tiny_backbone())


NETWORKS = {
    **{name: (method(config), None) for name, config in METHOD_CONFIGS.items()},
    **{kind: (segmenter(kind), 1) for kind in ("deeplab_v1", "deeplab_v2", "deeplab_v3plus")},
    "deeplab_v3plus-dice": (segmenter("deeplab_v3plus", dice_weight=1.0), 1),
    "affinitynet": (affinity(AffinityNet, AffinityNetConfig), 8),
    "irn": (affinity(Irn, IrnConfig, stride=4, walk_radius=2), 4),
}


def step_batch(stride: int | None) -> Batch:
    """Four images, of which the first two have few labels, and the last has padding and no tag."""
    step = random_batch(40, 4)
    step.tags[3] = 0
    step.valid[3, 30:] = False
    if stride is None:
        return step
    rows, columns = -(-40 // stride), -(-48 // stride)
    labels = torch.arange(rows * columns).view(1, rows, columns).expand(4, -1, -1) // 5 % NUM_CLASSES
    labels = torch.where((torch.arange(4) < 2)[:, None, None] & (labels != 1), -1, labels)
    return replace(step, masks=labels)
