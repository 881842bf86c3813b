"""Several photographs of one size as one batch, where that saves time."""

from collections.abc import Sequence

from tagmask.contracts import ImageArray, MaskArray
from tagmask.inference.passes import joint_logits
from tagmask.inference.predictor import Predictor, enlarged


def gains_together(predictor: Predictor) -> bool:
    """Whether a batch is quicker than its photographs one by one.

    It is on an accelerator. A processor is busy with one already: batches of two and four saved some percent of the
    network's time, and batches of eight lost more (``benchmarks/LOG.md``).
    """
    is_whole = predictor.tiles in ("auto", "none")
    return type(predictor) is Predictor and is_whole and predictor.device.type != "cpu"


def masks_together(predictor: Predictor, images: Sequence[ImageArray]) -> list[MaskArray]:
    """Masks of photographs of one size, as the predictor gives them one by one, up to the rounding of a batch.

    Args:
        predictor: with a network of torch.
        images: ``uint8 h w 3``, all of one size.
    """
    scaled = [predictor.scaled(image) for image in images]
    size, shown = images[0].shape[:2], scaled[0][0].shape[:2]
    logits = joint_logits(
        predictor.network,
        [scales for _, scales in scaled],
        shown,
        predictor.config.flip,
        predictor.device,
        predictor.precision,
    )
    masks = [
        predictor.decided(smaller, each.softmax(dim=0).cpu().numpy())
        for (smaller, _), each in zip(scaled, logits, strict=True)
    ]
    return [mask if mask.shape == size else enlarged(mask, (size[0], size[1])) for mask in masks]
