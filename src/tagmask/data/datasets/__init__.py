"""Where images and tags come from: your own folder, tar files, PASCAL VOC, COCO, drawn scenes."""

from pathlib import Path

from tagmask.config import AnyData, CocoData, FolderData, TarData, ToyData, VocData
from tagmask.contracts import Dataset, Record
from tagmask.data.datasets.bounded import Bounded
from tagmask.data.datasets.coco import Coco
from tagmask.data.datasets.folder import Folder
from tagmask.data.datasets.paths import listed_ids
from tagmask.data.datasets.tar import Tar
from tagmask.data.datasets.toy import Toy
from tagmask.data.datasets.voc import Voc
from tagmask.errors import TagmaskError

DATASETS = {FolderData: Folder, TarData: Tar, VocData: Voc, CocoData: Coco, ToyData: Toy}


def open_dataset(config: AnyData, root: Path | None, verify: bool = True) -> Dataset:
    """Open a data set and check it.

    Args:
        config: which data set and how it is laid out.
        root: its folder; None for drawn scenes.
        verify: decode every image once, so that bad ones are found before training.

    Raises:
        TagmaskError: anything is wrong with the data, all of it listed by name; or with the list of ids to score.
    """
    if root is None and not isinstance(config, ToyData):
        raise TagmaskError(f"the data set {config.kind!r} lies in a folder; name it with --data")
    if root is not None and isinstance(config, ToyData):
        raise TagmaskError(
            f"--data {root} was given, but the recipe draws its scenes (data.kind is toy); leave out --data, or take a "
            "recipe for photographs"
        )
    dataset = DATASETS[type(config)](config, root, verify)
    _check_score_ids(dataset, config, root)
    return dataset if config.largest_side is None else Bounded(dataset, config.largest_side, verify)


def score_records(dataset: Dataset, config: AnyData, root: Path | None) -> tuple[Record, ...]:
    """The training images whose masks score seeds and pseudo masks.

    They are those of ``config.score_ids`` if it is set, else those of the data set's own list if it has one (VOC: the
    official training images), else all with a mask.

    Raises:
        TagmaskError: the list is missing or none of its images is a training image with a mask.
    """
    known = [record for record in dataset.split(config.train_split) if record.has_mask]
    wanted = _score_ids(dataset, config, root)
    if wanted is None:
        return tuple(known)
    chosen = tuple(record for record in known if record.id in wanted)
    if not chosen and config.max_images is None:
        raise TagmaskError(
            "no id of the score list is a training image with a mask; correct data.score_ids or data.masks"
        )
    return chosen


def _check_score_ids(dataset: Dataset, config: AnyData, root: Path | None) -> None:
    """Refuse a list that cannot be read or names no images: now, not after the training."""
    wanted = listed_ids(config.score_ids, root) or frozenset()
    unknown = sorted(wanted.difference((record.id for record in dataset.records), dataset.skipped))
    if unknown and config.max_images is None:
        raise TagmaskError(
            f"data.score_ids={config.score_ids} names {len(unknown)} image(s) that the data do not have: "
            f"{', '.join(unknown[:10])}; expected one id a line, such as {dataset.records[0].id}: correct the list"
        )


def _score_ids(dataset: Dataset, config: AnyData, root: Path | None) -> frozenset[str] | None:
    if config.score_ids is not None:
        return listed_ids(config.score_ids, root)
    return dataset.score_ids
