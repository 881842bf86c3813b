"""One number per pseudo mask: how far it is to be trusted."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tagmask.contracts import Record
from tagmask.errors import TagmaskError
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import write_bytes


def read_quality(confidence: Path) -> float:
    """The quality number in the header of a confidence map.

    Raises:
        TagmaskError: another program has written the file anew, without it.
    """
    with Image.open(confidence, formats=["PNG"]) as image:
        quality = image.info.get("quality")
    if quality is None:
        raise TagmaskError(f"{confidence} has lost its quality number; delete it, and `make-masks` writes it anew")
    return float(quality)


def write_quality(run: RunFolder, records: Sequence[Record]) -> None:
    """One line per mask, the least trustworthy first: the order in which to review them."""
    rows = [(read_quality(run.confidence(record.id)), record.id) for record in records]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["image", "quality"])
    table.writerows([image_id, f"{value:.6f}"] for value, image_id in sorted(rows))
    write_bytes(run.quality, text.getvalue().encode())
