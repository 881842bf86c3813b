"""Which images are held out for validation where nobody has said so."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from tagmask.contracts import Record


def hold_out(records: Iterable[Record], val_split: str | None, fraction: float) -> list[Record]:
    """Give a share of the records the validation split; the others stay as they are.

    Which ones is a fixed function of their ids, so that it does not change when images are added. An image that is the
    last one of a class to be learned from stays.

    Args:
        records: the images, all of the training split.
        val_split: name of the validation split; None: nothing is held out.
        fraction: about how many of them, 0 to 1.
    """
    kept = list(records)
    if val_split is None:
        return kept
    left: dict[int, int] = {}
    for tag in (tag for record in kept for tag in record.tags):
        left[tag] = left.get(tag, 0) + 1
    order = sorted(range(len(kept)), key=lambda place: share_of(kept[place].id))
    for place in order:
        record = kept[place]
        if share_of(record.id) >= fraction:
            break
        if all(left[tag] > 1 for tag in record.tags):
            kept[place] = replace(record, split=val_split)
            for tag in record.tags:
                left[tag] -= 1
    return kept


def share_of(key: str) -> float:
    """A number from 0 to 1 that belongs to an id, as if drawn by chance.

    >>> round(share_of("garden/0001"), 3)
    0.775
    """
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
