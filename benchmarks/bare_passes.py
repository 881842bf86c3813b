"""The passes through a backbone that a training step or an image cannot do without, and nothing else.

They take the same tensors as the stage: every view of a batch at its crop, every scale of an image with its mirror
image. Of a backbone that does not learn (IRN) no backward pass is needed, and none is counted.
"""

from collections.abc import Iterable, Sequence

import torch
from measuring import seconds
from torch import Tensor

from tagmask.contracts import Backbone, Batch, Method, Trainable
from tagmask.inference.passes import with_mirror
from tagmask.networks.memory_format import channels_last


def views_of(network: Trainable, batch: Batch) -> list[Tensor]:
    """What passes through the backbone in one training step."""
    return network.views(batch.images) if isinstance(network, Method) else [batch.images]


def step_seconds(backbone: Backbone, views: Sequence[Tensor]) -> float:
    """Forward and backward of all views, or forward alone if nothing in the backbone learns."""
    views = [channels_last(view) for view in views]
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return seconds(lambda: seen(backbone, views))
    backbone.zero_grad(set_to_none=True)
    return seconds(lambda: learned_from(backbone, views))


def learned_from(backbone: Backbone, views: Sequence[Tensor]) -> None:
    """Forward of all views, then backward of a gradient laid out as the features are, which is what losses send."""
    features = [backbone(view) for view in views]
    torch.autograd.backward(features, [torch.ones_like(grid) for grid in features])


def image_seconds(backbone: Backbone, images: Iterable[Sequence[Tensor]], flip: bool) -> float:
    """Forward of the scales of images, given as ``3 h w``, together with their mirror images if ``flip``."""
    batches = [with_mirror(scaled, flip) for scales in images for scaled in scales]
    return seconds(lambda: seen(backbone, batches))


def batch_seconds(backbone: Backbone, batches: Iterable[Tensor]) -> float:
    """Forward of batches."""
    shown = [*batches]
    return seconds(lambda: seen(backbone, shown))


@torch.inference_mode()
def seen(backbone: Backbone, batches: Sequence[Tensor]) -> None:
    for batch in batches:
        backbone(batch)
