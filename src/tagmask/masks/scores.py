"""From activation maps to pseudo masks: normalise, add a background, take the best class, say how sure it is.

Plain numpy on one image at a time. Scores are ``n h w``: one channel per
listed class, with ``classes`` naming the mask value of each channel (0 background, tag i as i + 1).
"""

import numpy as np
from jaxtyping import Float, Int, Int32

from tagmask.config import BackgroundConfig
from tagmask.conventions import BACKGROUND, IGNORE

LEAST_BACKGROUND = 0.2  # share of an image below which a mask is trusted in proportion
SMALLEST_SHARE = 0.005

Maps = Float[np.ndarray, "n h w"]
Mask = Int32[np.ndarray, "h w"]


# ── normalisation ────────────────────────────────────────────────────────────────────────────────────────────────────


def normalize_max(maps: Maps, eps: float = 1e-5) -> Maps:
    """Divide each map by its largest value plus ``eps``: [0, 1) for non-negative maps (AffinityNet, IRN, EPS, SIPE).

    Example:
        >>> normalize_max(np.array([[[0.0, 1.0, 4.0]]]), eps=0.0)
        array([[[0.  , 0.25, 1.  ]]])
    """
    return maps / (maps.max(axis=(1, 2), keepdims=True) + maps.dtype.type(eps))


def normalize_min_max(maps: Maps, eps: float = 1e-5) -> Maps:
    """Stretch each map from its least to its largest value, as SEAM's released inference does.

    Negative values become 0, then values below ``least + eps`` become 0 as well, and only then is the least value
    subtracted. Values at the minimum therefore land at ``-(least + eps) / (largest - least + eps)``, below 0, and a map
    of zeros becomes -1 everywhere. Both are kept: published scores contain them.
    """
    eps = maps.dtype.type(eps)
    positive = np.maximum(maps, 0)
    least = positive.min(axis=(1, 2), keepdims=True)
    largest = positive.max(axis=(1, 2), keepdims=True)
    kept = np.where(positive < least + eps, maps.dtype.type(0), positive)
    return (kept - least - eps) / (largest - least + eps)


def stretched(maps: Maps, eps: float = 1e-5) -> Maps:
    """Each map from its least value at 0 to its largest near 1; constant maps become 0.

    Example:
        >>> stretched(np.array([[[0.5, 0.6, 0.9]]]), eps=0.0)
        array([[[0.  , 0.25, 1.  ]]])
    """
    least = maps.min(axis=(1, 2), keepdims=True)
    return (maps - least) / (maps.max(axis=(1, 2), keepdims=True) - least + maps.dtype.type(eps))


def normalize_jointly(maps: Maps) -> Maps:
    """Divide all maps by the largest value of them all (IRN, after its walk); maps of zeros stay zero.

    Example:
        >>> normalize_jointly(np.array([[[1.0, 2.0]], [[0.0, 4.0]]]))
        array([[[0.25, 0.5 ]],
        <BLANKLINE>
               [[0.  , 1.  ]]])
    """
    largest = maps.max(initial=0)
    return maps / largest if largest > 0 else maps.copy()


# ── background ───────────────────────────────────────────────────────────────────────────────────────────────────────


def add_background(maps: Maps, power: float) -> Float[np.ndarray, "n+1 h w"]:
    """Put ``(1 - largest map) ** power`` first (AffinityNet, section 3.1: the power is its alpha).

    It lies in [0, 1]: where a map exceeds 1 it is 0, and where all maps are negative (`normalize_min_max`) it is 1,
    because absent classes, whose maps are 0, count as well.
    """
    largest = np.max(maps, axis=0, initial=0)
    background = np.maximum(1 - largest, 0) ** maps.dtype.type(power)
    return np.concatenate([background[None], maps])


def add_threshold(maps: Maps, value: float) -> Float[np.ndarray, "n+1 h w"]:
    """Put the constant ``value`` first: what does not exceed it is background."""
    return np.concatenate([np.full_like(maps, value, shape=(1, *maps.shape[1:])), maps])


def background_scores(config: BackgroundConfig, maps: Maps) -> Float[np.ndarray, "_ h w"]:
    """Scores by the configured rule: background first, or the maps alone under the rule ``none``."""
    if config.rule == "none":
        return maps
    return add_background(maps, config.value) if config.rule == "power" else add_threshold(maps, config.value)


def against_background(scores: Maps, classes: Int[np.ndarray, " n"], factor: float) -> Maps:
    """Scores with a background ``factor`` times as strong: it keeps its own score, and all classes are weaker.

    Args:
        scores: background and classes.
        classes: mask value of each channel.
        factor: on the background's score.

    >>> against_background(np.full((2, 1, 1), 0.5), np.array([0, 3]), 2.0).ravel()
    array([0.5 , 0.25])
    """
    if factor == 1:
        return scores
    return scores / np.where(classes == BACKGROUND, 1.0, factor).astype(scores.dtype)[:, None, None]


def mask_values(tags: Int[np.ndarray, " n"], with_background: bool) -> Int[np.ndarray, " _"]:
    """Mask value of each score channel: ``tag + 1``, after a leading 0 if there is a background.

    Example:
        >>> mask_values(np.array([2, 7]), with_background=True)
        array([0, 3, 8])
    """
    return np.concatenate([[BACKGROUND], tags + 1]) if with_background else tags + 1


# ── grids ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def block_mean(maps: Maps, block: int) -> Float[np.ndarray, "n _ _"]:
    """Mean over blocks of ``block x block`` pixels; zeros complete the last blocks at the right and the bottom.

    Example:
        >>> block_mean(np.array([[[1.0, 3.0, 4.0], [1.0, 3.0, 4.0]]]), block=2)
        array([[[2., 2.]]])
    """
    n, h, w = maps.shape
    padded = np.pad(maps, ((0, 0), (0, -h % block), (0, -w % block)))
    blocks = padded.reshape(n, padded.shape[1] // block, block, padded.shape[2] // block, block)
    return blocks.mean(axis=(2, 4))


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def argmax_classes(scores: Maps, classes: Int[np.ndarray, " n"]) -> Mask:
    """Mask value of the best channel at each pixel; the first of equals; ``IGNORE`` if there is no channel at all.

    Example:
        >>> argmax_classes(np.array([[[0.5, 0.5]], [[0.5, 0.9]]]), np.array([0, 8]))
        array([[0, 8]], dtype=int32)
    """
    if not len(scores):
        return np.full(scores.shape[1:], IGNORE, np.int32)
    return classes.astype(np.int32)[scores.argmax(axis=0)]


def posterior(scores: Maps) -> Maps:
    """Scores as shares of their sum at each pixel: negatives count as 0, a pixel without any score is split evenly.

    The posterior of a dense CRF passes through unchanged, up to rounding.
    """
    positive = np.maximum(scores, 0)
    total = positive.sum(axis=0)
    even = scores.dtype.type(1 / max(len(scores), 1))
    return np.where(total > 0, positive / np.where(total > 0, total, 1), even)


def apply_ignore_band(mask: Mask, confidence: Float[np.ndarray, "h w"], below: float) -> Mask:
    """Copy of ``mask`` with ``IGNORE`` wherever ``confidence`` is less than ``below``."""
    return np.where(confidence < below, np.int32(IGNORE), mask)


def mask_from_scores(scores: Maps, classes: Int[np.ndarray, " n"], ignore_below: float = 0.0) -> Mask:
    """The pseudo mask: best class per pixel, ``IGNORE`` where its share of the scores is less than ``ignore_below``."""
    mask = argmax_classes(scores, classes)
    if ignore_below <= 0 or not len(scores):
        return mask
    return apply_ignore_band(mask, posterior(scores).max(axis=0), ignore_below)


def quality(scores: Maps, classes: Int[np.ndarray, " n"]) -> float:
    r"""How far a pseudo mask can be trusted, in [0, 1], from its scores alone: sort ascending to get a review queue.

    With margin = best minus second-best posterior at a pixel,

        quality = (tags that own >= 0.5 % of the pixels / tags) * mean over regions of (mean margin inside the region)
                  * min(1, share of the background / 20 %)

    where a region is all pixels won by one channel, the background included; channels without a pixel have none. The
    last factor is there where the background has a channel: a mask that covers a whole image is sure of itself all the
    same, and nearly always wrong.

    Why it puts the right images first. A tag without (nearly) any pixel contradicts what is known about the image, so
    it costs its full share whatever the other pixels say. Regions count alike whatever their size: a plain mean over
    pixels would be ruled by wide, easy backgrounds and rank images by object size, whereas here a small object in doubt
    weighs as much as its surroundings. It cannot see confident mistakes: it orders, it does not measure accuracy.

    Images of one channel have nothing to decide: 1 for an image without tags, which is background throughout, and for
    a single tag under the background rule ``none``. Without tags under that rule no mask exists: 0, look at it first.
    """
    if not len(scores):
        return 0.0
    winner = scores.argmax(axis=0).ravel()
    pixels = np.bincount(winner, minlength=len(scores))
    margin = np.bincount(winner, weights=_margin(posterior(scores)).ravel(), minlength=len(scores))
    certainty = float((margin[pixels > 0] / pixels[pixels > 0]).mean())
    owned = pixels[classes != BACKGROUND] >= SMALLEST_SHARE * winner.size
    left = pixels[classes == BACKGROUND].sum() / (LEAST_BACKGROUND * winner.size) if BACKGROUND in classes else 1.0
    return min(max(certainty * (float(owned.mean()) if owned.size else 1.0) * min(1.0, float(left)), 0.0), 1.0)


def _margin(shares: Maps) -> Float[np.ndarray, "h w"]:
    """Best minus second-best share; 1 where there is only one."""
    if len(shares) == 1:
        return np.ones_like(shares[0])
    second, best = np.partition(shares, -2, axis=0)[-2:]
    return best - second
