"""The data set of tar files: samples become records, and are read where they lie."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tagmask.config import TarData
from tagmask.contracts import Dataset, ImageArray, MaskArray, Record
from tagmask.data.datasets.bounded import larger_than
from tagmask.data.datasets.checks import (
    LEFT_OUT,
    NAMES_SHOWN,
    Problem,
    Problems,
    check_numbers,
    existing_folder,
    first_of_each_split,
    one_colour,
    verify_classes,
)
from tagmask.data.datasets.masks import (
    MaskLook,
    check_mask_sizes,
    check_mask_values,
    look_at_mask,
    mask_reading,
    without_background,
)
from tagmask.data.datasets.paths import listed_ids
from tagmask.data.datasets.saliency_files import SaliencyFiles
from tagmask.data.datasets.tagged_rows import NOBODY_HELD_OUT, records_of, taught_everywhere, thin, with_class_names
from tagmask.data.datasets.tar.names import plain_ending, shards_below, without_split
from tagmask.data.datasets.tar.samples import read_samples
from tagmask.data.datasets.tar.shards import as_file
from tagmask.data.images import examine
from tagmask.data.orientation import Shape, read_photograph, shape_of
from tagmask.data.stretch import stretch_of
from tagmask.errors import TagmaskError
from tagmask.system.workers import several_at_once


class Tar(Dataset):
    """Photographs in tar files, each with a file of its tags beside it, and a mask if there is one.

    ``KEY.jpg`` is an image, ``KEY.json`` has its tags; one without tags shows none of the classes. Ids are the paths in
    the tar files up to the first dot of the name. The split is that of the JSON, else the one that the shard's name
    begins with (``train-000000.tar``), else a share is held out. Classes are found as those of a folder with a table.

    Args:
        config: which tar files, and the endings and keys in them.
        root: the folder of the tar files.
        verify: decode every image and every mask that scoring needs once.

    Attributes:
        skipped: ids of the bad images left out under ``on_bad_image: skip``.
        notes: remarks worth showing, one sentence each.

    Raises:
        TagmaskError: anything is wrong with the data; all of it is listed by name.
    """

    def __init__(self, config: TarData, root: Path, verify: bool = True) -> None:
        self._config = config
        shards = shards_below(existing_folder(root, "the folder of tar files"), config.shards)
        problems = Problems()
        self._samples, rows = read_samples(shards, config, problems, root)
        self.name = root.resolve().name
        if not rows:
            problems.raise_any(root)
            more = "".join(f" {remark}" for remark in problems.remarks)
            raise TagmaskError(f"no images in {shards[0]}; expected KEY.jpg with KEY.{config.tags}, and so on.{more}")
        self.classes, rows, named = with_class_names(rows, None, root, config, problems)
        masks = {key for key, sample in self._samples.items() if sample.mask is not None}
        if config.masks and not masks:
            looked_for = f"{next(iter(rows))}.{plain_ending(config.masks)}"
            problems.add(Problem.NO_MASKS, f"data.masks={config.masks} (looked for {looked_for})")
        self._reading = mask_reading(config, self.classes)
        records, kept = records_of(rows, self.classes, masks, config, problems)
        self._saliency = SaliencyFiles(config, root)
        self.records, self.skipped = self._settled(records, problems, verify)
        self._saliency.note_missing(self.records, problems)
        looked = tuple(self._look(root, problems)) if verify else ()
        problems.raise_any(root)
        training = self.split(config.train_split)
        unnamed = (
            without_split([shard.relative_to(root) for shard in shards], config)
            if any(row.split is None for row in rows.values())
            else ()
        )
        told = (*kept, *looked, *self._said(), *unnamed, *taught_everywhere(training, self.classes))
        self.notes = (*named, *told, *problems.remarks)

    def _settled(
        self, records: Sequence[Record], problems: Problems, verify: bool
    ) -> tuple[tuple[Record, ...], tuple[str, ...]]:
        """The records that are offered and the ids of bad images that are left out."""
        config = self._config
        offered = first_of_each_split(records, config.max_images)
        bad = self._bad(offered, problems) if verify or config.on_bad_image == "skip" else {}
        skipped = tuple(bad) if config.on_bad_image == "skip" else ()
        for key, reason in bad.items():
            if not skipped:
                sample = self._samples[key]
                problems.add(Problem.UNREADABLE, f"{sample.shard.name}/{sample.image.name} ({reason})")
        left_out = set(skipped)
        kept = tuple(record for record in offered if record.id not in left_out)
        if any(record.split == config.train_split for record in kept):
            verify_classes(kept, self.classes, config.train_split, problems)
        else:
            found = ", ".join(sorted({record.split for record in kept}))
            problems.add(Problem.NO_TRAINING, f"{config.train_split!r} (found: {found or 'none'})")
        return kept, skipped

    def _bad(self, records: Iterable[Record], problems: Problems) -> dict[str, str]:
        """What is wrong with the images that cannot be read, by id; those of one colour are remarked upon."""
        in_use = [record for record in records if record.split in (self._config.train_split, self._config.val_split)]
        found = [*zip(in_use, several_at_once(self._examined, in_use), strict=True)]
        problems.remarks += one_colour([record.id for record, (_, is_blank) in found if is_blank])
        return {record.id: why for record, (why, _) in found if why is not None}

    def _examined(self, record: Record) -> tuple[str | None, bool]:
        if flaw := self._samples[record.id].image.flaw:
            return flaw, False
        with self._image_file(record) as path:
            return examine(path, self._config.bands, stretch_of(self._config))

    def _look(self, root: Path, problems: Problems) -> Iterator[str]:
        """Look at shapes, and at the masks that score; yields remarks."""
        config = self._config
        in_use = [record for record in self.records if record.split in (config.train_split, config.val_split)]
        found = zip(in_use, several_at_once(self._shape, in_use), strict=True)
        shapes = {record.id: shape for record, shape in found if shape is not None}
        yield from thin(shapes)
        if config.largest_side is not None:
            yield from larger_than(config.largest_side, [*shapes.values()])
        wanted = listed_ids(config.score_ids, root)
        scored = [r for r in in_use if r.has_mask and (not wanted or r.split != config.train_split or r.id in wanted)]
        looks = several_at_once(self._mask_look, scored)
        check_mask_values(looks, scored, self.classes, problems)
        yield from without_background(looks)
        yield from check_mask_sizes(looks, shapes, False, problems)

    def _shape(self, record: Record) -> Shape | None:
        if self._samples[record.id].image.flaw:
            return None
        with self._image_file(record) as path:
            return shape_of(path)

    def _image_file(self, record: Record) -> AbstractContextManager[Path]:
        sample = self._samples[record.id]
        return as_file(sample.shard, sample.image, sample.stamp)

    def _mask_look(self, record: Record) -> MaskLook:
        mask = self._samples[record.id].mask
        if mask is not None and mask.flaw:
            return MaskLook(record.id, reason=mask.flaw)
        with self._mask_file(record) as path:
            return look_at_mask(record.id, path, self._reading)

    def _mask_file(self, record: Record) -> AbstractContextManager[Path]:
        sample = self._samples[record.id]
        assert sample.mask is not None
        return as_file(sample.shard, sample.mask, sample.stamp)

    def _said(self) -> Iterator[str]:
        splits = {record.split for record in self.records}
        if self.skipped:
            yield f"{len(self.skipped)} {LEFT_OUT}: {', '.join(self.skipped[:NAMES_SHOWN])}."
        if self._config.val_split and self._config.val_split not in splits:
            yield f"{NOBODY_HELD_OUT}{self._config.val_split!r}; the splits are {', '.join(sorted(splits))}."

    def image_path(self, record: Record) -> None:
        """None: images have no files of their own."""

    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels.

        Raises:
            TagmaskError: it is no readable image, or the tar file has changed.
        """
        with self._image_file(record) as path:
            return read_photograph(path, self._config.bands, False, stretch_of(self._config))

    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth, if the record has any.

        Raises:
            TagmaskError: the mask is unreadable or holds a number that is no class.
        """
        if not record.has_mask:
            return None
        with self._mask_file(record) as path:
            return check_numbers(self._reading.read(path), len(self.classes), path)

    def read_saliency(self, record: Record) -> Float32[np.ndarray, "h w"] | None:
        """Object-ness in [0, 1], if the saliency folder holds a file for the image."""
        return self._saliency.read(record)
