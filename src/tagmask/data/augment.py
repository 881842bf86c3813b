"""Random views of training images: a plan is drawn once, then applied alike to image, mask, saliency and maps."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as vision

from tagmask.config import AugmentConfig
from tagmask.contracts import ImageArray, MaskArray, Normalization
from tagmask.conventions import IGNORE

_JITTER = ("brightness", "contrast", "saturation", "hue")


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Random numbers that depend on (seed, epoch, index) alone, so a resumed training sees what it would have seen."""
    return np.random.default_rng([seed, epoch, index])


@dataclass(frozen=True)
class ViewPlan:
    """One random view of an image of known size.

    Attributes:
        size: rows and columns the image is resized to.
        mirrored: whether it is flipped left to right, after resizing.
        jitter: colour changes in their order: (name, factor) pairs.
        top: row of the crop's corner in the resized image; negative where the image is smaller than the crop and is
            placed inside it.
        left: column of the crop's corner, likewise.
        crop: side of the crop in pixels.
    """

    size: tuple[int, int]
    mirrored: bool
    jitter: tuple[tuple[str, float], ...]
    top: int
    left: int
    crop: int


def draw_view(config: AugmentConfig, size: tuple[int, int], random: np.random.Generator) -> ViewPlan:
    """Draw one view of an image of ``size`` (rows, columns): resize, mirror, colour jitter, crop.

    The references draw in this order: long side, flip, jitter, crop position (uniform; images smaller than the crop
    are placed at a uniform position inside it).
    """
    rows, columns = _draw_size(config, size, random)
    return ViewPlan(
        size=(rows, columns),
        mirrored=bool(random.random() < config.flip),
        jitter=() if config.jitter is None else _draw_jitter(config.jitter, random),
        top=_draw_offset(rows - config.crop, random),
        left=_draw_offset(columns - config.crop, random),
        crop=config.crop,
    )


def _draw_size(config: AugmentConfig, size: tuple[int, int], random: np.random.Generator) -> tuple[int, int]:
    factor = 1.0
    if config.long_side is not None:
        factor = int(random.integers(config.long_side[0], config.long_side[1] + 1)) / max(size)
    if config.scale is not None:
        factor *= random.uniform(*config.scale)
    if config.scale_choices is not None:
        factor *= config.scale_choices[int(random.integers(len(config.scale_choices)))]
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _draw_jitter(
    strength: tuple[float, float, float, float], random: np.random.Generator
) -> tuple[tuple[str, float], ...]:
    centres = (1.0, 1.0, 1.0, 0.0)
    factors = [float(random.uniform(centre - s, centre + s)) for centre, s in zip(centres, strength, strict=True)]
    return tuple((_JITTER[i], factors[i]) for i in random.permutation(4) if strength[i] > 0)


def _draw_offset(room: int, random: np.random.Generator) -> int:
    return int(random.integers(min(0, room), max(0, room) + 1))


def view_image(
    image: ImageArray, plan: ViewPlan, normalization: Normalization, padding: str
) -> Float32[Tensor, "3 crop crop"]:
    """The view of a photograph, normalised; padding as in ``AugmentConfig`` (``mean`` is 0 by then)."""
    resized = Image.fromarray(image).resize((plan.size[1], plan.size[0]), Image.Resampling.BICUBIC)
    for name, factor in plan.jitter:
        resized = getattr(vision, f"adjust_{name}")(resized, factor)
    pixels = normalization.apply(np.array(resized))
    if padding == "mirrored":
        return _among_mirrors(pixels, plan)
    black = -torch.tensor(normalization.mean) / torch.tensor(normalization.std)
    fill = torch.zeros(3) if padding == "mean" else black
    return _placed(pixels, plan, fill[:, None, None].expand(3, plan.crop, plan.crop))


def view_mask(mask: MaskArray, plan: ViewPlan) -> Tensor:
    """The view of a mask (nearest neighbour), ``IGNORE`` outside the image; ``int64 crop crop``."""
    resized = np.asarray(Image.fromarray(mask).resize((plan.size[1], plan.size[0]), Image.Resampling.NEAREST))
    pixels = torch.from_numpy(resized.astype(np.int64))
    return _placed(pixels, plan, torch.full((plan.crop, plan.crop), IGNORE, dtype=torch.int64))


def view_planes(planes: Float32[np.ndarray, "n h w"], plan: ViewPlan) -> Float32[Tensor, "n crop crop"]:
    """The view of real-valued planes (bilinear), 0 outside the image."""
    resized = torch.from_numpy(planes)
    if planes.shape[1:] != plan.size:
        resized = torch.nn.functional.interpolate(resized[None], plan.size, mode="bilinear", align_corners=False)[0]
    return _placed(resized, plan, torch.zeros(len(planes), plan.crop, plan.crop))


def view_saliency(
    saliency: Float32[np.ndarray, "h w"], plan: ViewPlan, resizing: str
) -> Float32[Tensor, "1 crop crop"]:
    """The view of a saliency map, 0 outside the image; resized as ``AugmentConfig.saliency_resizing`` says.

    Args:
        saliency: in [0, 1]; where it is resized ``bicubic``, rounded to 256 levels before and after, as pictures are.
        plan: of the image's view.
        resizing: ``bilinear`` or ``bicubic``.
    """
    if resizing == "bilinear":
        return view_planes(saliency[None], plan)
    levels = Image.fromarray(np.round(saliency * 255).astype(np.uint8))
    resized = np.asarray(levels.resize((plan.size[1], plan.size[0]), Image.Resampling.BICUBIC), np.float32)
    return _placed(torch.from_numpy(resized[None] / np.float32(255)), plan, torch.zeros(1, plan.crop, plan.crop))


def view_valid(plan: ViewPlan) -> Bool[Tensor, "crop crop"]:
    """True where the view shows the photograph, False on padding."""
    return _placed(torch.ones(plan.size, dtype=torch.bool), plan, torch.zeros(plan.crop, plan.crop, dtype=torch.bool))


def _among_mirrors(pixels: Float32[Tensor, "3 h w"], plan: ViewPlan) -> Float32[Tensor, "3 crop crop"]:
    """The crop of a plane that the photograph and its mirror images tile; inside it is the same as without them."""
    upright = pixels.flip(-1) if plan.mirrored else pixels
    rows, columns = (
        mirrored_places(start, plan.crop, side) for start, side in zip((plan.top, plan.left), plan.size, strict=True)
    )
    return upright[:, rows[:, None], columns].contiguous()


def mirrored_places(start: int, number: int, side: int) -> Int64[Tensor, " n"]:
    """Places of an image's side that ``number`` pixels from ``start`` on show where mirror images go on beyond it.

    >>> mirrored_places(-2, 7, 3).tolist()
    [1, 0, 0, 1, 2, 2, 1]
    """
    places = torch.arange(start, start + number) % (2 * side)
    return torch.where(places < side, places, 2 * side - 1 - places)


def _placed(pixels: Tensor, plan: ViewPlan, container: Tensor) -> Tensor:
    """Mirror ``... h w`` pixels if the plan says so and put the crop's share of them into the container."""
    upright = pixels.flip(-1) if plan.mirrored else pixels
    result = container.clone()
    rows, columns = plan.size
    seen_rows, seen_columns = min(rows, plan.crop), min(columns, plan.crop)
    top, left = max(plan.top, 0), max(plan.left, 0)
    to_top, to_left = max(-plan.top, 0), max(-plan.left, 0)
    part = upright[..., top : top + seen_rows, left : left + seen_columns]
    result[..., to_top : to_top + seen_rows, to_left : to_left + seen_columns] = part
    return result
