"""A segmentation network as a graph for images of any size.

What brings an image to the strides of the network is part of the graph: the padding of its convolutions, and the
enlarging in front of a transformer. Images are not scaled in it: Pillow's cubic filter has no equal there.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm.layers.padding
import torch
from torch.export import Dim, ExportedProgram

from tagmask.errors import TagmaskError, first_line
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.folding import unfold

EXAMPLE = (2, 3, 193, 257)
"""A batch to trace with: two images, as one would be taken for a constant, of sides that no stride divides."""


def traced(network: DeepLab) -> ExportedProgram:
    """The graph of a network in evaluation mode, for any number of images of any size.

    Raises:
        TagmaskError: the backbone does what a graph of any size cannot hold.
    """
    plain = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    unfold(plain.backbone)  # a graph would multiply the weights in every pass; what reads it folds once
    sizes = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    try:
        with torch.no_grad(), open_padding():
            program = torch.export.export(
                plain, (torch.zeros(EXAMPLE),), dynamic_shapes=sizes, prefer_deferred_runtime_asserts_over_guards=True
            )
    except Exception as error:  # whatever a backbone does that the tracer does not follow
        raise TagmaskError(f"this network cannot be made a graph ({first_line(error)}); take --to bundle") from error
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
    for symbol, sizes in program.range_constraints.items():
        program.range_constraints[symbol] = type(sizes)(1, sizes.upper)


# ── padding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def open_padding() -> Iterator[None]:
    """While it lasts, timm finds the padding that TensorFlow would take by arithmetic that a graph can hold.

    Its own, of the convolutions and pools that pad by the size of the image, rounds a float: a graph for every size
    would have to hold Python's ``math.ceil``.
    """
    own = timm.layers.padding.get_same_padding
    timm.layers.padding.get_same_padding = same_padding
    try:
        yield
    finally:
        timm.layers.padding.get_same_padding = own


def same_padding(size: Any, kernel: int, stride: int, dilation: int) -> Any:
    """Zeros before and behind a side together, so that it has ceil(size / stride) cells; sizes are ints or symbols.

    >>> same_padding(7, 3, 2, 1), same_padding(8, 3, 2, 1), same_padding(8, 3, 1, 2), same_padding(7, 1, 2, 1)
    (2, 1, 4, 0)
    """
    extent = (kernel - 1) * dilation + 1
    total = (size + stride - 1) // stride * stride + extent - stride - size
    # Cells that are stepped over may need none.
    return torch.sym_max(total, 0) if extent < stride else total
