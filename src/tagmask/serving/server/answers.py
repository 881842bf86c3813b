"""Masks as answers: indexed PNG, run lengths as COCO has them, or laid over the photograph."""

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

import numpy as np
from PIL import Image

from tagmask.contracts import ImageArray, MaskArray
from tagmask.data.images import mask_png
from tagmask.inference.predictor import largest_factor
from tagmask.masks.grids import scaled_size
from tagmask.masks.overlays import class_colors, overlay_mask, shrink_image, shrink_mask
from tagmask.serving.server.refusals import GoneError, RefusedError
from tagmask.system.asgi import Send
from tagmask.system.rle import encode_counts, pixel_runs

PIECE = 64 * 1024
OVERLAY_COMPRESSION = 3  # of zlib: a third of the default's time, some percent more bytes

_ACCEPTED = {"image/png": "png", "application/json": "rle", "image/*": "png", "application/*": "rle", "*/*": "png"}


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        kind: its media type.
        content: its bytes.
    """

    kind: str
    content: bytes


def wanted_format(query: str, accept: str) -> str:
    """The format that a request asks for: by its query, else by its `Accept` header, else an indexed PNG.

    Raises:
        RefusedError: there is none of these (400, 406).

    >>> wanted_format("format=overlay", ""), wanted_format("", "text/html, application/json;q=0.9")
    ('overlay', 'rle')
    """
    try:
        named = parse_qs(query, keep_blank_values=True, max_num_fields=10).get("format", [])
    except ValueError:
        named = ["?"]
    if named:
        if len(named) == 1 and named[0] in FORMATS:
            return named[0]
        raise RefusedError(400, f"the format is {named[0][:20]!r}, expected one of {', '.join(FORMATS)}; choose one")
    for kind in _by_liking(accept):
        if kind in _ACCEPTED:
            return _ACCEPTED[kind]
    raise RefusedError(406, f"Accept is {accept[:60]!r}, expected image/png or application/json; or ?format=overlay")


def _by_liking(accept: str) -> list[str]:
    """Media types of an `Accept` header, the most wanted first."""
    wanted = []
    for part in (accept or "*/*").split(","):
        kind, _, parameters = part.partition(";")
        quality = parameters.strip().removeprefix("q=") if parameters.strip().startswith("q=") else "1"
        wanted.append((kind.strip().lower(), float(quality) if quality.replace(".", "", 1).isdecimal() else 1.0))
    return [kind for kind, liking in sorted(wanted, key=lambda pair: -pair[1]) if liking > 0]


def _indexed(pixels: ImageArray, mask: MaskArray, classes: tuple[str, ...]) -> Answer:  # noqa: ARG001
    return Answer("image/png", mask_png(mask, None, len(classes)))


def _run_lengths(pixels: ImageArray, mask: MaskArray, classes: tuple[str, ...]) -> Answer:  # noqa: ARG001
    size = [int(side) for side in mask.shape]
    found = {
        "image": {"height": size[0], "width": size[1]},
        "annotations": [_annotation(mask == i, i, classes[i - 1], size) for i in np.unique(mask).tolist() if i > 0],
    }
    return Answer("application/json", json.dumps(found, ensure_ascii=False).encode())


def _annotation(inside: np.ndarray, index: int, name: str, size: list[int]) -> dict[str, object]:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "category_id": index,
        "category_name": name,
        "area": int(inside.sum()),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "segmentation": {"size": size, "counts": encode_counts(pixel_runs(inside))},
    }


def _overlay(pixels: ImageArray, mask: MaskArray, classes: tuple[str, ...]) -> Answer:  # noqa: ARG001
    size = (mask.shape[0], mask.shape[1])
    smaller = scaled_size(size, largest_factor(size))
    if smaller != size:
        pixels, mask = shrink_image(pixels, smaller), shrink_mask(mask, smaller)
    buffer = io.BytesIO()
    Image.fromarray(overlay_mask(pixels, mask)).save(buffer, "PNG", compress_level=OVERLAY_COMPRESSION)
    return Answer("image/png", buffer.getvalue())


FORMATS: dict[str, Callable[[ImageArray, MaskArray, tuple[str, ...]], Answer]] = {
    "png": _indexed,
    "rle": _run_lengths,
    "overlay": _overlay,
}


def class_list(classes: tuple[str, ...]) -> list[dict[str, object]]:
    """Number, name and colour of background and classes, as in the ``classes.json`` of ``tagmask predict``."""
    names = ("background", *classes)
    colors = class_colors(np.arange(len(names))).tolist()
    return [{"index": i, "name": name, "color": colors[i]} for i, name in enumerate(names)]


async def send_answer(send: Send, answer: Answer, seconds: float) -> None:
    """Send an answer piece by piece, so that a client that does not take it holds one piece and not all of it.

    Raises:
        GoneError: it was not taken in time.
    """
    content, length = answer.content, len(answer.content)
    headers = [
        (b"content-type", answer.kind.encode()),
        (b"content-length", str(length).encode()),
        (b"link", b'</classes>; rel="describedby"'),
        (b"cache-control", b"no-store"),
    ]
    try:
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for start in range(0, length, PIECE):
                piece = content[start : start + PIECE]
                await send({"type": "http.response.body", "body": piece, "more_body": start + PIECE < length})
    except TimeoutError:
        raise GoneError from None
