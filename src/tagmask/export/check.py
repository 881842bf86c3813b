"""What an exported network must show before it is handed out: the same answers as torch, and how long it takes."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tagmask.contracts import Images
from tagmask.errors import TagmaskError
from tagmask.inference.passes import dense_logits, with_mirror
from tagmask.inference.predictor import Predictor

Photograph = UInt8[np.ndarray, "_ _ 3"]  # several of one size each

LARGEST_DIFFERENCE = 1e-3  # of a logit, for numbers of 32 bits
EQUAL_PIXELS = 0.999
EQUAL_PIXELS_INT8 = 0.95  # rounding moves boundaries; what moves whole objects is refused
PASSES = 7


@dataclass(frozen=True)
class Comparison:
    """How a network in another form compares with torch.

    Attributes:
        images: on how many photographs of the run.
        difference: the largest of any logit, scales and mirror images averaged.
        equal: share of pixels with the same class, before any CRF.
        size: rows and columns of the photograph that passes were timed on, at scale 1.
        threads: that both had.
        torch_seconds: median of one pass by torch.
        seconds: median of one pass in the new form.
    """

    images: int
    difference: float
    equal: float
    size: tuple[int, int]
    threads: int
    torch_seconds: float
    seconds: float

    def __str__(self) -> str:
        """In words, for people."""
        return (
            f"{self.images} photographs: largest difference of a logit {self.difference:.1e}, "
            f"{100 * self.equal:.3f} % of pixels have the same class. One pass over {self.size[0]} x {self.size[1]} "
            f"pixels, {self.threads} thread(s): {1000 * self.seconds:.0f} ms, torch {1000 * self.torch_seconds:.0f} ms "
            f"(medians of {PASSES})."
        )


def compared(exported: Predictor, original: Predictor, images: Sequence[Photograph]) -> Comparison:
    """Compare both on photographs of the run, prepared as predictors do, and time both on the first.

    Args:
        exported: the network as it was read back from its file.
        original: the same in torch, on the processor, with the same settings.
        images: at least one photograph.
    """
    differences, equal, pixels = [], 0, 0
    for image in images:
        small, inputs = original.scaled(image)
        size = (small.shape[0], small.shape[1])
        ours, theirs = (_logits(each, inputs, size) for each in (exported, original))
        differences.append(float((ours - theirs).abs().max()))
        equal += int((ours.argmax(dim=0) == theirs.argmax(dim=0)).sum())
        pixels += size[0] * size[1]
    small, _ = original.scaled(images[0])
    batch = with_mirror(original.normalization.apply(small), flip=False)
    return Comparison(
        images=len(images),
        difference=max(differences),
        equal=equal / pixels,
        size=(small.shape[0], small.shape[1]),
        threads=torch.get_num_threads(),
        torch_seconds=median_seconds(original.network, batch),
        seconds=median_seconds(exported.network, batch),
    )


def _logits(
    predictor: Predictor, inputs: list[Float[Tensor, "3 _ _"]], size: tuple[int, int]
) -> Float[Tensor, "k h w"]:
    return dense_logits(predictor.network, inputs, size, predictor.config.flip, predictor.device)


@torch.inference_mode()
def median_seconds(network: Callable[[Images], Tensor], images: Images, passes: int = PASSES) -> float:
    """Median time of a pass; a first one, in which memory is fetched, does not count."""
    network(images)
    seconds = []
    for _ in range(passes):
        began = time.perf_counter()
        network(images)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def refuse_different(found: Comparison, precision: str) -> None:
    """Refuse a network that does not answer as torch does; of one in 8 bits the classes alone are compared.

    Raises:
        TagmaskError: with the figures.
    """
    is_whole = precision == "float32"
    least = EQUAL_PIXELS if is_whole else EQUAL_PIXELS_INT8
    if found.equal >= least and (not is_whole or found.difference <= LARGEST_DIFFERENCE):
        return
    wanted = f"at most {LARGEST_DIFFERENCE:g} and " if is_whole else ""
    remedy = "take --to bundle" if is_whole else "try the other kind of --int8, or leave it out"
    raise TagmaskError(
        f"the exported network does not answer as torch does, and nothing was written. {found} Expected {wanted}at "
        f"least {100 * least:g} % of pixels; {remedy}"
    )
