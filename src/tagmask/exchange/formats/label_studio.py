"""Label Studio: a file of tasks with brush strokes, and the labelling setup that goes with it.

``tasks.json`` a task an image, with a layer of strokes for each class: annotations where a person has reviewed the
mask, else predictions · ``label_config.xml`` the setup · ``images/`` photographs, where they are copied. What comes
back is the JSON export. Each task carries the id of its image, which exports keep.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np
from pydantic import BaseModel, TypeAdapter

from tagmask.contracts import MaskArray
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.data.datasets.paths import image_id
from tagmask.data.images import palette
from tagmask.exchange.formats import brush
from tagmask.exchange.items import (
    Arrival,
    Arrivals,
    Item,
    Parcel,
    Size,
    check_size,
    class_numbers,
    json_file,
    regions,
    some,
    unlabelled_name,
)
from tagmask.system.storage import read_json_as, write_bytes

SERVED = "/data/local-files/?d="
ID = "tagmask_id"
_OTHER_SHAPES = ("polygonlabels", "rectanglelabels", "ellipselabels", "bitmasklabels", "vectorlabels")


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write(parcel: Parcel) -> list[str]:
    """Write tasks and setup; nothing is lost."""
    unlabelled = False
    tasks = []
    for item, mask in parcel.masks():
        unlabelled |= bool((mask == IGNORE).any())
        tasks.append(_task(item, mask, parcel))
    write_bytes(parcel.folder / "tasks.json", json.dumps(tasks, ensure_ascii=False, separators=(",", ":")).encode())
    more = [unlabelled_name(parcel.classes)] if unlabelled else []
    write_bytes(parcel.folder / "label_config.xml", _setup((*parcel.classes, *more)).encode())
    return []


def _task(item: Item, mask: MaskArray, parcel: Parcel) -> dict[str, Any]:
    names = dict(enumerate(parcel.classes, 1)) | {IGNORE: unlabelled_name(parcel.classes)}
    result = [_layer(item.id, mask, number, names[number]) for number in regions(mask)]
    data = {"image": SERVED + quote(item.file if item.image is None else item.image), ID: item.id}
    if item.is_reviewed:
        return {"data": data, "annotations": [{"result": result}]}
    return {"data": data, "predictions": [{"model_version": f"tagmask {parcel.title}", "result": result}]}


def _layer(image: str, mask: MaskArray, number: int, name: str) -> dict[str, Any]:
    height, width = mask.shape
    return {
        "id": uuid.uuid5(uuid.NAMESPACE_URL, f"{image}#{number}").hex[:10],
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush.encode(mask == number), "brushlabels": [name]},
    }


def _setup(names: Sequence[str]) -> str:
    """The labelling setup of a project, for its field "Code"."""
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette()[1:].tolist()]
    labels = "".join(
        f'    <Label value={quoteattr(name)} background="{colours[place % len(colours)]}"/>\n'
        for place, name in enumerate(names)
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="tag" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )


# ── back ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Result(BaseModel):
    """One layer of strokes, or the answer to a question that is none."""

    type: str = ""
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0
    value: dict[str, Any] = {}


class _Answer(BaseModel):
    """What one person, or one program, has said about a task."""

    result: list[_Result]
    was_cancelled: bool = False
    updated_at: str = ""


class _Task(BaseModel):
    data: dict[str, Any]
    annotations: list[_Answer] | None = None
    predictions: list[_Answer | int] = []  # in exports the numbers that Label Studio has given them
    file_upload: str | None = None

    @property
    def answer(self) -> _Answer | None:
        """The last annotation that was not skipped; of tasks that were never in Label Studio, the prediction."""
        given = self.predictions if self.annotations is None else self.annotations
        kept = [answer for answer in given if isinstance(answer, _Answer) and not answer.was_cancelled]
        return max(reversed(kept), key=lambda answer: answer.updated_at, default=None)

    @property
    def image(self) -> str:
        """The path of the image that the task shows, without suffix."""
        values = [value for key, value in self.data.items() if key != ID and isinstance(value, str)]
        address = next((value for value in values if "/" in value), "")
        parts = urlsplit(address)
        path = parse_qs(parts.query).get("d", [parts.path])[0]
        return image_id(path.lstrip("/")) if path else "?"


_TASKS = TypeAdapter(list[_Task])


def read(folder: Path, classes: Sequence[str]) -> Arrivals:
    """The masks of all tasks that have been annotated.

    Raises:
        TagmaskError: there is no such file, it is damaged, or a label is unknown.
    """
    path = json_file(folder)
    tasks = read_json_as(path, _TASKS.validate_python, "expected the export of Label Studio in the format JSON")
    numbers = class_numbers({name: name for task in tasks for name in _labels(task.answer)}, classes, path)
    arrivals = Arrivals()
    for task in tasks:
        if task.answer is not None:
            told = task.data.get(ID)
            known = told if isinstance(told, str) else None
            drawing = _Drawing(task.answer.result, numbers)
            arrivals.masks.append(Arrival(_name(task), f"{path.name}, image {known or task.image}", drawing, known))
    left = len(tasks) - len(arrivals.masks)
    if left:
        arrivals.notes.append(f"{left} tasks have no annotation, or were skipped; their images are left as they are.")
    return arrivals


def _name(task: _Task) -> str:
    """The name of the image; of an uploaded file without the letters that Label Studio puts before it."""
    path = PurePosixPath(task.image)
    head, dash, rest = path.name.partition("-")
    is_uploaded = "upload/" in task.image and dash and len(head) == 8
    return str(path.with_name(rest)) if is_uploaded and rest else str(path)


def _labels(answer: _Answer | None) -> list[str]:
    found = [result.value.get("brushlabels") for result in answer.result] if answer else []
    return [name for names in found if isinstance(names, list) for name in names if isinstance(name, str)]


@dataclass(frozen=True)
class _Drawing:
    """Layers of strokes; larger ones below smaller ones."""

    results: list[_Result]
    numbers: Mapping[str, int]

    def __call__(self, size: Size) -> MaskArray:
        others = [result.type for result in self.results if result.type in _OTHER_SHAPES]
        if others:
            raise ValueError(f"it has {some(dict.fromkeys(others))}; expected brush strokes: draw them with the brush")
        layers = [self._layer(result, size) for result in self.results if result.type == "brushlabels"]
        mask = np.full(size, BACKGROUND, np.int32)
        for region, number in sorted(layers, key=lambda layer: -int(layer[0].sum())):
            mask[region] = number
        return mask

    def _layer(self, result: _Result, size: Size) -> tuple[np.ndarray, int]:
        if result.original_height is not None and result.original_width is not None:
            check_size((result.original_height, result.original_width), size)
        packed, names = result.value.get("rle"), result.value.get("brushlabels")
        if result.value.get("format") != "rle" or not isinstance(packed, list) or result.image_rotation:
            raise ValueError("a layer holds no run lengths of an image as it lies; export it in the format JSON")
        if not isinstance(names, list) or len(names) != 1:
            raise ValueError(f"a layer has the labels {names}; expected one")
        return brush.decode(packed, *size), self.numbers[names[0]]
