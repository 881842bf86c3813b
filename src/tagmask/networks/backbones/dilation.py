"""Convolutions of a stage whose stride has been removed: where their taps lie.

timm keeps the cells of such a stage small and spreads the taps of its kernels instead. Two things are put right here.
IRN and SIPE are published with neighbouring taps. And a kernel of two taps, with which a ConvNeXt begins each stage,
has no middle: without its stride it sees its own cell and the next one, so that all that follows would lie half a cell
too far to the left and above.
"""

from typing import Any

from jaxtyping import Float
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

_Grid = Float[Tensor, "b _ _ _"]


def undilate(model: nn.Module) -> None:
    """Give every dilated convolution neighbouring taps, in place and at the same grid; two taps stay around theirs."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 and _has_middle(layer.kernel_size):
            assert isinstance(layer.padding, tuple), "timm pads dilated convolutions by numbers"
            rows, columns = layer.dilation
            layer.padding = (layer.padding[0] // rows, layer.padding[1] // columns)
            layer.dilation = (1, 1)


def centre(model: nn.Module) -> None:
    """Let convolutions that see their own cell and the next one see the one before it as well, in place.

    The outputs of both places of the kernel are averaged; weights and their names stay as they are.
    """
    for layer in model.modules():
        if (
            isinstance(layer, nn.Conv2d)
            and type(layer) is Conv2dSame
            and (layer.stride, layer.dilation) == ((1, 1), (1, 1))
            and not _has_middle(layer.kernel_size)
        ):
            layer.register_forward_pre_hook(_with_border)
            layer.register_forward_hook(_mean_of_neighbours)


def _has_middle(kernel: tuple[int, ...]) -> bool:
    return all(size % 2 for size in kernel)


# Functions of a module, and thus kept by deep copies and pickling.


def _with_border(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[_Grid]:
    """One more row above and one more column to the left; timm adds those on the other sides."""
    return (F.pad(inputs[0], (1, 0, 1, 0)),)


def _mean_of_neighbours(_layer: nn.Module, _inputs: object, output: _Grid) -> _Grid:
    return F.avg_pool2d(output, 2, stride=1)
