"""Instances from displacements: which cells move to one centre, and which pixels their walked maps win.

Every cell of a displacement field says where, relative to itself, the centre of its object lies. Cells that arrive at
one centre form a cluster; the part of a class's map inside a cluster is a candidate. Candidates walk like maps do, and
what each of them wins against the others and a constant background is cut into connected parts, the instances: Ahn, Cho
& Kwak, CVPR 2019 (IRN), section 5. Written as COCO writes instances.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int, Int16, Int64
from scipy import ndimage

from tagmask.config import InstancesConfig
from tagmask.system.compiled import compiled
from tagmask.system.rle import encode_counts, pixel_runs

AT_ONCE = 16  # candidates that walk together: their scores exist at image size at the same time
NOBODY = -1  # the winner of a pixel that is background


@dataclass(frozen=True)
class Instance:
    """One object of an image.

    Attributes:
        class_number: class i as i + 1, as in masks.
        mask: True on its pixels; one 4-connected part.
        score: in [0, 1].
    """

    class_number: int
    mask: Bool[np.ndarray, "h w"]
    score: float


# ── clusters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def centroids(displacements: Float[np.ndarray, "2 p q"], iterations: int) -> Int64[np.ndarray, "2 p q"]:
    """Where each cell ends that follows the displacements.

    Every step adds the displacement at the present place, sampled bilinearly, and keeps the place inside the grid. A
    cell that did not move will not move again and stops early, which changes nothing.

    Args:
        displacements: (rows, columns) in cells, finite.
        iterations: steps of each cell.

    Returns:
        Row and column of the cell nearest to the end.

    Raises:
        ValueError: a displacement is NaN or infinite.

    Example:
        >>> centroids(np.array([[[0.0, 0.0, 0.0]], [[1.0, 0.0, -1.0]]]), iterations=3)[1]
        array([[1, 1, 1]])
    """
    if not np.isfinite(displacements).all():
        raise ValueError(
            "the displacements contain NaN or infinity; expected finite values: the network behind them has diverged, "
            "train it again with a lower rate."
        )
    return np.rint(_follow(displacements.astype(np.float64), iterations)).astype(np.int64)


@compiled
@no_type_check
def _follow(displacements, iterations):
    down, right = displacements[0], displacements[1]
    height, width = down.shape
    ends = np.empty(displacements.shape)
    for row in range(height):
        for column in range(width):
            y, x = float(row), float(column)
            for _ in range(iterations):
                next_y = min(max(y + _sampled(down, y, x), 0.0), height - 1.0)
                next_x = min(max(x + _sampled(right, y, x), 0.0), width - 1.0)
                if next_y == y and next_x == x:
                    break
                y, x = next_y, next_x
            ends[0, row, column], ends[1, row, column] = y, x
    return ends


@compiled
@no_type_check
def _sampled(values, y, x):
    height, width = values.shape
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    above = values[top, left] * (1 - across) + values[top, right] * across
    below = values[bottom, left] * (1 - across) + values[bottom, right] * across
    return above * (1 - down) + below * down


def cluster_numbers(displacements: Float[np.ndarray, "2 p q"], config: InstancesConfig) -> Int64[np.ndarray, "p q"]:
    """The cluster of each cell, numbered from 0 without gaps.

    Cells with displacements shorter than ``config.centre_below`` form 4-connected centres; a cluster is all cells whose
    centroid lies in the same centre. Cells that end outside every centre share one cluster, the first.

    Example:
        >>> field = np.zeros((2, 1, 9))
        >>> field[1, 0] = [1, 0, -3, -3, -3, 3, 3, 0, -1]
        >>> cluster_numbers(field, InstancesConfig(centre_below=2))
        array([[0, 0, 0, 0, 0, 1, 1, 1, 1]])
    """
    centres, _ = _parts(np.hypot(displacements[0], displacements[1]) < config.centre_below)
    rows, columns = centroids(displacements, config.iterations)
    return np.unique(centres[rows, columns], return_inverse=True)[1].reshape(centres.shape)


def _parts(inside: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
    """4-connected parts numbered from 1, with 0 outside, and their number."""
    parts, number = ndimage.label(inside)  # pyright: ignore[reportGeneralTypeIssues] - scipy's result depends on an argument
    return parts, number


# ── candidates ───────────────────────────────────────────────────────────────────────────────────────────────────────


def candidate_maps(
    maps: Float[np.ndarray, "n p q"], clusters: Int64[np.ndarray, "p q"]
) -> tuple[Float[np.ndarray, "m p q"], Int64[np.ndarray, " m"]]:
    """Each map inside each cluster, 0 elsewhere, and which map it comes from; those without a positive value left out.

    Example:
        >>> parts, origins = candidate_maps(np.array([[[1.0, 2.0]], [[0.0, 3.0]]]), np.array([[0, 1]]))
        >>> parts.tolist(), origins.tolist()
        ([[[1.0, 0.0]], [[0.0, 2.0]], [[0.0, 3.0]]], [0, 0, 1])
    """
    present = np.zeros((len(maps), int(clusters.max(initial=-1)) + 1), bool)
    for seen, each in zip(present, maps, strict=True):
        seen[clusters[each > 0]] = True
    origins, numbers = np.nonzero(present)
    return np.where(clusters == numbers[:, None, None], maps[origins], maps.dtype.type(0)), origins


def winning_candidates(
    starts: Float[np.ndarray, "m p q"],
    score: Callable[[Int64[np.ndarray, " _"]], Float[np.ndarray, "_ h w"]],
    size: tuple[int, int],
    background: float,
) -> tuple[Float[np.ndarray, "h w"], Int64[np.ndarray, "h w"]]:
    """The best score at each pixel, as a share of the largest of all, and the candidate it belongs to.

    A field without clear centres has hundreds of candidates. They are scored from the highest down, some at once, so
    that their scores never exist together; and when the next start value is no more than ``background`` times the
    largest score so far, nothing that follows can win a pixel.

    Args:
        starts: the candidates on the grid.
        score: walks candidates, given by their numbers, and enlarges them to the image; must not raise a candidate's
            largest value.
        size: rows and columns of the image.
        background: the constant that shares must exceed.

    Returns:
        Shares in [0, 1], and the number of each pixel's candidate or ``NOBODY``. Candidates that are all zero leave a
        share of 0 everywhere.
    """
    best, winner = np.zeros(size, starts.dtype), np.full(size, NOBODY)
    peaks = starts.max(axis=(1, 2), initial=0)
    order = np.argsort(-peaks, kind="stable")
    for first in range(0, len(order), AT_ONCE):
        chosen = order[first : first + AT_ONCE]
        if peaks[chosen[0]] <= background * best.max(initial=0):
            break
        scores = score(chosen)
        better = scores.max(axis=0) > best
        winner[better] = chosen[scores.argmax(axis=0)[better]]
        best = np.maximum(best, scores.max(axis=0))
    largest = best.max(initial=0)
    shares = best / largest if largest > 0 else best
    return shares, np.where(shares > background, winner, NOBODY)


def instances_of(
    shares: Float[np.ndarray, "h w"],
    winner: Int[np.ndarray, "h w"],
    class_numbers: Int16[np.ndarray, " m"],
    config: InstancesConfig,
) -> Iterator[Instance]:
    """The 4-connected parts of what each candidate won, scored by the largest share inside.

    Args:
        shares: of ``winners``.
        winner: of ``winners``.
        class_numbers: class of each candidate, class i as i + 1.
        config: parts below ``smallest_share`` of the image score 0, and are left out unless ``keep_small``.
    """
    smallest = config.smallest_share * winner.size
    for candidate in np.unique(winner[winner != NOBODY]):
        parts, number = _parts(winner == candidate)
        areas = np.bincount(parts.ravel(), minlength=number + 1)
        for part in range(1, number + 1):
            is_large = areas[part] >= smallest
            if is_large or config.keep_small:
                mask = parts == part
                yield Instance(int(class_numbers[candidate]), mask, float(shares[mask].max()) if is_large else 0.0)


# ── COCO ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class AnnotatedImage:
    """An image as an instances file lists it.

    Attributes:
        file_name: path below the image root.
        size: rows and columns.
        annotations: of ``annotation``, one for each instance.
    """

    file_name: str
    size: tuple[int, int]
    annotations: Sequence[dict[str, Any]]


def annotation(instance: Instance) -> dict[str, Any]:
    """An instance as COCO writes it, without the numbers of the annotation and its image.

    The mask becomes compressed run lengths, its box [left, top, width, height] in pixels.

    Raises:
        ValueError: the mask is empty.

    Example:
        >>> entry = annotation(Instance(2, np.array([[False, True], [False, True]]), 0.5))
        >>> entry["category_id"], entry["area"], entry["bbox"], entry["segmentation"]
        (2, 2, [1, 0, 1, 2], {'size': [2, 2], 'counts': '22'})
    """
    rows, columns = np.nonzero(instance.mask)
    if not rows.size:
        raise ValueError("an instance needs at least one pixel, got an empty mask; leave it out.")
    left, top = int(columns.min()), int(rows.min())
    return {
        "category_id": instance.class_number,
        "segmentation": {"size": list(instance.mask.shape), "counts": encode_counts(pixel_runs(instance.mask))},
        "area": int(rows.size),
        "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
        "iscrowd": 0,
        "score": instance.score,
    }


def coco_instances(images: Sequence[AnnotatedImage], classes: Sequence[str]) -> dict[str, Any]:
    """The content of a COCO instances file; images and annotations are numbered from 1, classes as in masks.

    Example:
        >>> coco_instances([AnnotatedImage("a.jpg", (2, 3), [])], ["cat"])["categories"]
        [{'id': 1, 'name': 'cat'}]
    """
    listed = [
        {"id": number, "file_name": image.file_name, "height": image.size[0], "width": image.size[1]}
        for number, image in enumerate(images, start=1)
    ]
    found = [(number, entry) for number, image in enumerate(images, start=1) for entry in image.annotations]
    return {
        "images": listed,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        "annotations": [
            {"id": number, "image_id": image, **entry} for number, (image, entry) in enumerate(found, start=1)
        ],
    }
