"""Gradients of depthwise convolutions, by torch and by ``quick_depthwise``: ``python benchmarks/depthwise.py``.

Forward and backward of one layer with its weights and what it sees, 16 grids, channels innermost, in float32 and in
mixed precision. Both take turns; one thread. The layers are those of MobileNetV2 at stride 16, and two larger kernels
as MobileNetV3 and EfficientNet have them.
"""

from collections.abc import Iterator

import torch
from measuring import Median, Row, in_turn, print_figures
from torch import Tensor, nn

from tagmask.networks.depthwise import quick_depthwise

IMAGES, TURNS = 16, 7
LAYERS = {  # channels, side of the grid, kernel, stride, dilation
    "3 x 3": (576, 17, 3, 1, 1),
    "3 x 3, stride 2": (96, 129, 3, 2, 1),
    "3 x 3, dilation 2": (960, 17, 3, 1, 2),
    "5 x 5": (240, 33, 5, 1, 1),
    "5 x 5, stride 2": (144, 65, 5, 2, 1),
}


def run() -> Iterator[Row]:
    """Milliseconds of each layer in each form, and how many times faster ours is than torch."""
    torch.set_num_threads(1)
    for place, (name, (channels, side, kernel, stride, rate)) in enumerate(LAYERS.items()):
        settings = {"stride": stride, "padding": rate * (kernel // 2), "dilation": rate, "groups": channels}
        layer = nn.Conv2d(channels, channels, kernel, **settings).to(memory_format=torch.channels_last)
        yield f"layers.{place}.name", name
        yield f"layers.{place}.grid", [channels, side, side]
        for precision in ("float32", "bf16"):
            features = torch.randn(IMAGES, channels, side, side)
            theirs, ours = compared(layer, features.bfloat16() if precision == "bf16" else features)
            yield f"layers.{place}.{precision}", {"torch_ms": theirs, "ms": ours, "times_faster": theirs / ours}


def compared(layer: nn.Conv2d, features: Tensor) -> tuple[Median, Median]:
    """Milliseconds of torch and of ours."""
    seen = features.contiguous(memory_format=torch.channels_last).requires_grad_()

    def learn() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=features.dtype == torch.bfloat16):
            given = layer(seen)
        given.backward(torch.ones_like(given))

    def learn_quickly() -> None:
        with quick_depthwise(layer):
            learn()

    found = in_turn(learn, learn_quickly, repeats=TURNS)
    theirs, ours = (Median([1000 * each for each in side.repeats]) for side in found)
    return theirs, ours


if __name__ == "__main__":
    print_figures(run, __doc__)
