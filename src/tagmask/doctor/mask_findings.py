"""Masks that lie beside the images and would score a run, if a setting named their folder."""

from collections.abc import Iterator
from pathlib import Path

from tagmask.config import AnyData, FolderData
from tagmask.contracts import Dataset
from tagmask.data.datasets.paths import ImageFiles
from tagmask.doctor.findings import Finding

FOLDERS = ("masks", "mask", "SegmentationClass")
"""What folders of masks are usually called."""


def mask_findings(dataset: Dataset, config: AnyData, data: Path | None) -> Iterator[Finding]:
    """A note on each folder of masks that no setting names.

    Args:
        dataset: the images.
        config: how they are laid out.
        data: the folder they lie in; None where they are drawn.
    """
    if data is None or not isinstance(config, FolderData) or config.masks is not None:
        return
    for folder in (data / name for name in FOLDERS):
        files = ImageFiles(folder) if folder.is_dir() else None
        number = sum(bool(files.named(record.id)) for record in dataset.records) if files else 0
        if number:
            yield Finding(
                "masks-not-used",
                "note",
                f"The folder {folder.name} has files named like {number:,} of the {len(dataset.records):,} images; it "
                "is not used.",
                "If they are masks, they can score those of a run; no training sees them.",
                f"Add --set data.masks={folder.name}.",
                (folder.name,),
            )
