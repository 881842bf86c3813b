"""A segmentation network as a graph for images of any size.

What brings an image to the strides of the network is part of the graph: the padding of its convolutions, and the
enlarging in front of a transformer. Images are not scaled in it: Pillow's cubic filter has no equal there.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from tagmask.errors import TagmaskError
from tagmask.networks.deeplab import DeepLab

EXAMPLE = (2, 3, 193, 257)
"""A batch to trace with: two images, as one would be taken for a constant, of sides that no stride divides."""


def traced(network: DeepLab) -> ExportedProgram:
    """The graph of a network in evaluation mode, for any number of images of any size.

    Raises:
        TagmaskError: the backbone does what a graph of any size cannot hold.
    """
    plain = with_open_padding(copy.deepcopy(network).cpu().eval()).to(memory_format=torch.contiguous_format)
    sizes = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    try:
        with torch.no_grad():
            program = torch.export.export(
                plain, (torch.zeros(EXAMPLE),), dynamic_shapes=sizes, prefer_deferred_runtime_asserts_over_guards=True
            )
    except Exception as error:  # whatever a backbone does that the tracer does not follow
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TagmaskError(f"this network cannot be made a graph ({reason}); take --to bundle") from error
    _forget_assertions(program)
    return program


def _forget_assertions(program: ExportedProgram) -> None:
    """Remove what the tracer believes of sizes.

    It asserts that grids which differ in the example always differ; where an image is so small that they do not,
    resizing one to the other changes nothing.
    """
    graph = program.graph_module.graph
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and "_assert" in str(node.target):
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


# ── padding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def with_open_padding(module: Any) -> Any:
    """Exchange, in place, convolutions that pad by the size of the image for ones whose arithmetic a graph can hold."""
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame):
            setattr(module, name, OpenSameConvolution(child))
        else:
            with_open_padding(child)
    return module


class OpenSameConvolution(nn.Module):
    """A convolution padded as TensorFlow does, to ceil(size / stride) cells, in whole numbers throughout."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, grid: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        """The same as the convolution it stands for."""
        inner = self.convolution
        sides = zip(grid.shape[2:], inner.kernel_size, inner.stride, inner.dilation, strict=True)
        rows, columns = (same_padding(*side) for side in sides)
        padded = F.pad(grid, (*columns, *rows))
        return F.conv2d(padded, inner.weight, inner.bias, inner.stride, 0, inner.dilation, inner.groups)


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and behind a side.

    >>> same_padding(7, 3, 2, 1), same_padding(8, 3, 2, 1), same_padding(8, 3, 1, 2), same_padding(7, 1, 2, 1)
    ((1, 1), (0, 1), (2, 2), (0, 0))
    """
    extent = (kernel - 1) * dilation + 1
    total = (size + stride - 1) // stride * stride + extent - stride - size
    if extent < stride:  # cells that are stepped over may need none
        total = torch.sym_max(total, 0)
    return total // 2, total - total // 2
