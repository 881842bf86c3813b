"""Multi-scale, mirrored inference for anything dense: passes are computed, put back in place and summed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import MixedPrecision
from tagmask.contracts import Activation, AnyActivation, Dataset, ImageArray, Images, Method, Normalization, Record
from tagmask.masks.grids import long_side_factor, scaled_size
from tagmask.networks.memory_format import channels_last
from tagmask.networks.mixed_precision import in_single, mixed_precision
from tagmask.system.workers import in_order


def resize_image(image: ImageArray, factor: float) -> UInt8[np.ndarray, "_ _ 3"]:
    """Scale a photograph with a cubic filter; sides are rounded and never below one pixel."""
    rows, columns = scaled_size((image.shape[0], image.shape[1]), factor)
    if (rows, columns) == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BICUBIC))


def pyramid(image: ImageArray, scales: Sequence[float], normalization: Normalization) -> list[Float[Tensor, "3 _ _"]]:
    """The normalised image at every scale."""
    return [normalization.apply(resize_image(image, scale)) for scale in scales]


def with_mirror(image: Float[Tensor, "3 h w"], flip: bool) -> Float[Tensor, "b 3 h w"]:
    """A batch of the image and, if ``flip``, its mirror image."""
    return channels_last(torch.stack([image, image.flip(-1)]) if flip else image[None])


def unmirrored_sum(maps: Float[Tensor, "b n p q"]) -> Float[Tensor, "n p q"]:
    """Sum of a pass and, if the batch has it, the mirrored pass turned back."""
    return maps[0] if len(maps) == 1 else maps[0] + maps[1].flip(-1)


def sum_passes(
    passes: Iterable[Float[Tensor, "n _ _"]], mirrored: Iterable[bool], size: tuple[int, int]
) -> Float[Tensor, "n h w"]:
    """Sum over passes of each map resized to ``size`` (rows, columns), mirrored ones turned back.

    Resizing is linear and commutes with mirroring, so passes of one shape are added before they are resized.

    Args:
        passes: maps ``n p q`` of each pass, any grid sizes.
        mirrored: for each pass, whether it saw the mirrored image.
        size: rows and columns of the result.
    """
    by_shape: dict[torch.Size, Tensor] = {}
    for maps, is_mirrored in zip(passes, mirrored, strict=True):
        upright = maps.flip(-1) if is_mirrored else maps
        by_shape[maps.shape] = by_shape[maps.shape] + upright if maps.shape in by_shape else upright
    return torch.stack([_resized(maps, size) for maps in by_shape.values()]).sum(dim=0)


def _resized(
    maps: Float[Tensor, "n _ _"], size: tuple[int, int], align_corners: bool = False
) -> Float[Tensor, "n _ _"]:
    if not len(maps):  # an image without tags
        return maps.new_zeros(0, *size)
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=align_corners)[0]


def unmirrored(pair: AnyActivation) -> AnyActivation:
    """One activation of a pass over an image and its mirror image: grids turned back and added, logits averaged."""
    grids = {field.name: getattr(pair, field.name) for field in fields(pair) if field.name != "logits"}
    added = {name: grid[:1] + grid[1:].flip(-1) for name, grid in grids.items() if grid is not None}
    return replace(pair, logits=pair.logits.mean(dim=0, keepdim=True), **added)


@torch.no_grad()  # not inference mode: a method may learn something of an image when it finishes
def summed_activations(
    method: Method, images: Sequence[Float[Tensor, "3 _ _"]], flip: bool, precision: MixedPrecision = "no"
) -> tuple[list[Activation], Float[Tensor, " c"]]:
    """Forward every scale with its mirror image; ``Method.finish`` is the caller's, who knows the tags.

    Args:
        method: a classifier in evaluation mode.
        images: the normalised image at each scale.
        flip: whether to add the mirrored image.
        precision: of the passes; activations are in single precision.

    Returns:
        The activation of each scale with a batch of one (mirrored pass turned back and added), and the logits averaged
        over all passes.
    """
    device = next(method.parameters()).device
    with mixed_precision(precision, device):
        passes = [in_single(method(with_mirror(image.to(device), flip))) for image in images]
    logits = torch.cat([a.logits for a in passes]).mean(dim=0)
    return [unmirrored(activation) if flip else activation for activation in passes], logits


def class_maps(
    activations: Sequence[Activation],
    present: Int[Tensor, " n"],
    size: tuple[int, int],
    through: Sequence[Float[Tensor, "3 _ _"]] | None = None,
) -> Float[Tensor, "_ h w"]:
    """Maps of the present classes summed over scales on a grid of ``size``; a learnt background comes first.

    Args:
        activations: one per scale, batch of one.
        present: class ids from 0.
        size: rows and columns of the result.
        through: the image at each scale, to whose pixels maps are resized on the way, corners aligned; None: they go
            to ``size`` at once.
    """
    chosen = [a.maps[0, present] for a in activations]
    if all(a.background is not None for a in activations):
        chosen = [torch.cat([a.background[0], maps]) for a, maps in zip(activations, chosen, strict=True)]  # pyright: ignore[reportOptionalSubscript] — checked above
    if through is not None:
        pixels = [(image.shape[1], image.shape[2]) for image in through]
        chosen = [_resized(maps, at, align_corners=True) for maps, at in zip(chosen, pixels, strict=True)]
    return sum_passes(chosen, [False] * len(chosen), size)


@torch.inference_mode()
def dense_logits(
    network: Callable[[Images], Float[Tensor, "b k _ _"]],
    images: Sequence[Float[Tensor, "3 _ _"]],
    size: tuple[int, int],
    flip: bool,
    device: torch.device,
    precision: MixedPrecision = "no",
) -> Float[Tensor, "k h w"]:
    """Mean over scales and mirror images of a dense network's logits, resized to ``size``."""
    with mixed_precision(precision, device):
        passes = [unmirrored_sum(network(with_mirror(image.to(device), flip)).float()) for image in images]
    return sum_passes(passes, [False] * len(passes), size) / (len(images) * (2 if flip else 1))


@torch.inference_mode()
def joint_logits(
    network: Callable[[Images], Float[Tensor, "b k _ _"]],
    images: Sequence[Sequence[Float[Tensor, "3 _ _"]]],
    size: tuple[int, int],
    flip: bool,
    device: torch.device,
    precision: MixedPrecision = "no",
) -> list[Float[Tensor, "k h w"]]:
    """``dense_logits`` of several photographs of one size, which pass through the network as one batch at every scale.

    Args:
        network: a dense network.
        images: of each photograph, its normalised copies at every scale.
        size: rows and columns of the results.
        flip: whether to add the mirrored images.
        device: where to compute.
        precision: of the passes; logits are in single precision.
    """
    in_batch = 2 if flip else 1
    batches = [
        torch.cat([with_mirror(image.to(device), flip) for image in scale]) for scale in zip(*images, strict=True)
    ]
    with mixed_precision(precision, device):
        passes = [network(channels_last(batch)).float().split(in_batch) for batch in batches]
    found = []
    for of_one in zip(*passes, strict=True):
        maps = [unmirrored_sum(grids) for grids in of_one]
        found.append(sum_passes(maps, [False] * len(maps), size) / (len(maps) * in_batch))
    return found


def padded_to(image: Float[Tensor, "3 h w"], stride: int) -> Float[Tensor, "3 _ _"]:
    """Zeros (the mean colour) at the right and the bottom up to multiples of ``stride``."""
    return F.pad(image, (0, -image.shape[2] % stride, 0, -image.shape[1] % stride))


ScaledImage = tuple[Record, ImageArray, list[Tensor]]


@dataclass(frozen=True)
class _Reader:
    """Reads an image and scales it, in loader processes; bytes travel to the reader's owner, not floats."""

    dataset: Dataset
    scales: Sequence[float]
    long_side: int | None

    def __call__(self, record: Record) -> tuple[Record, ImageArray, list[Tensor]]:
        image = self.dataset.read_image(record)
        base = long_side_factor((image.shape[0], image.shape[1]), self.long_side)
        return record, image, [torch.tensor(resize_image(image, base * scale)) for scale in self.scales]


def load_pyramids(
    dataset: Dataset,
    records: Sequence[Record],
    scales: Sequence[float],
    long_side: int | None,
    normalization: Normalization,
    workers: int,
) -> Iterator[ScaledImage]:
    """Yield (record, image, normalised image per scale) in order, read ahead by loader processes."""
    for record, image, scaled in in_order(_Reader(dataset, scales, long_side), records, workers):
        yield record, image, [normalization.apply(pixels.numpy()) for pixels in scaled]
