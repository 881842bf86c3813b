"""``scores.json``: what it holds, and whether its scores still belong to the ground truth and to the results."""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from tagmask.contracts import Dataset, MaskArray, Record
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import read_json_as
from tagmask.system.workers import several_at_once


class ScoreEntry(BaseModel):
    """One score; further numbers of it are kept as they are.

    Attributes:
        protocol: what was scored and how, in a sentence.
        mean_iou: of masks, in [0, 1].
        mean_average_precision: of tags, in [0, 1].
        iou: of each class.
        average_precision: of each class.
        truth: digest of the ground truth that masks were compared with.
    """

    model_config = ConfigDict(extra="allow")

    protocol: str
    mean_iou: float | None = None
    mean_average_precision: float | None = None
    iou: dict[str, float | None] = {}
    average_precision: dict[str, float | None] = {}
    truth: int | None = None


_SCORES = TypeAdapter(dict[str, ScoreEntry])


def read_scores(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """The entries of ``scores.json`` by their keys; empty if there is no such file.

    Raises:
        TagmaskError: it holds something else.
    """
    if not folder.scores.exists():
        return {}
    remedy = f"delete it, and `tagmask evaluate {folder.path}` writes it anew"
    found = read_json_as(folder.scores, _SCORES.validate_python, remedy)
    return {key: entry.model_dump(exclude_unset=True) for key, entry in found.items()}


def digest(record: Record, truth: MaskArray) -> int:
    """A number that a mask of an image has and another one hardly ever; those of several images are added up.

    Example:
        >>> a, b = (digest(Record("a", (), "train"), np.array([[number]], np.int32)) for number in (1, 2))
        >>> a == b
        False
    """
    shape = ",".join(map(str, truth.shape))
    return zlib.crc32(np.ascontiguousarray(truth, np.int32).tobytes(), zlib.crc32(f"{record.id}\n{shape}".encode()))


def digest_of_all(dataset: Dataset, records: Iterable[Record]) -> int:
    """The digests of the ground truth of all records that have any, added up."""

    def one(record: Record) -> int:
        truth = dataset.read_mask(record)
        return 0 if truth is None else digest(record, truth)

    return sum(several_at_once(one, records))


def is_older(scores: Path, results: Iterable[Path]) -> bool:
    """Whether any of the results that exist was written after the scores."""
    scored = scores.stat().st_mtime_ns
    return any(result.exists() and result.stat().st_mtime_ns > scored for result in results)
