"""Images of tar files with their tags: which files of a shard are one image, and what its tags are."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from tagmask.config import TarData
from tagmask.data.datasets.checks import Problem, Problems
from tagmask.data.datasets.paths import IMAGE_SUFFIXES
from tagmask.data.datasets.tables import Row, tags_in
from tagmask.data.datasets.tar.shards import Member, content_of, members_of
from tagmask.errors import TagmaskError

_LOOKED_AT = 64  # files of a tar file that tell whether it holds samples
LONGEST_TAGS = 2**20
"""Bytes that a file of tags may have."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image in a tar file.

    Attributes:
        shard: the tar file.
        image: its file there.
        mask: its ground truth, if it has any.
    """

    shard: Path
    image: Member
    mask: Member | None


def read_samples(
    shards: Sequence[Path], config: TarData, problems: Problems
) -> tuple[dict[str, Sample], dict[str, Row]]:
    """Every image of the tar files and its row of tags, by id.

    Args:
        shards: the tar files in order.
        config: endings, keys and separators.
        problems: where to note what is wrong with single images.

    Raises:
        TagmaskError: a tar file cannot be read.
    """
    samples: dict[str, Sample] = {}
    rows: dict[str, Row] = {}
    for shard in shards:
        split = split_of(shard, config)
        with _opened(shard) as file:
            for sample, tags in _samples(shard, config, problems):
                key = sample.image.key
                if key in samples:
                    problems.add(Problem.DUPLICATE_ROW, f"{key} ({samples[key].shard.name}, {shard.name})")
                elif tags is None:
                    problems.add(Problem.UNTAGGED, f"{shard.name}/{sample.image.name}")
                elif (row := _row(sample, tags, split, file, config, problems)) is not None:
                    samples[key], rows[key] = sample, row
    return samples, rows


def _opened(shard: Path) -> BinaryIO:
    try:
        return shard.open("rb")
    except OSError as error:
        raise TagmaskError(f"cannot read {shard}: {error}") from error


def holds_samples(shard: Path, config: TarData) -> bool:
    """Whether a tar file begins as one of samples does: with an image that has its tags beside it."""
    tagged, shown = set(), set()
    try:
        for member in islice(members_of(shard), _LOOKED_AT):
            if member.ending == config.tags.lower():
                tagged.add(member.key)
            elif f".{member.ending}" in IMAGE_SUFFIXES:
                shown.add(member.key)
    except TagmaskError:
        return False
    return not tagged.isdisjoint(shown)


def split_of(shard: Path, config: TarData) -> str | None:
    """The split that a shard's name begins with, followed by anything but a letter; None if it is none in use.

    >>> split_of(Path("train-000012.tar"), TarData()), split_of(Path("trainings.tar"), TarData())
    ('train', None)
    """
    begins = (split for split in (config.train_split, config.val_split) if split)
    return next((split for split in begins if re.match(rf"{re.escape(split)}(?![^\W\d_])", shard.name)), None)


def _samples(shard: Path, config: TarData, problems: Problems) -> Iterator[tuple[Sample, Member | None]]:
    """The images of a shard, each with the file of its tags."""
    for key, group in groupby(members_of(shard), attrgetter("key")):
        files = {member.ending: member for member in group}
        tags = files.pop(config.tags.lower(), None)
        mask = files.pop(config.masks.lower(), None) if config.masks else None
        images = [member for ending, member in files.items() if f".{ending}" in IMAGE_SUFFIXES]
        if len(images) > 1:
            problems.add(Problem.DUPLICATE_ID, f"{', '.join(image.name for image in images)} in {shard.name}")
        elif images:
            yield Sample(shard, images[0], mask), tags
        elif tags is not None:
            problems.add(Problem.MISSING, f"{key} in {shard.name}")


def _row(
    sample: Sample, tags: Member, split: str | None, file: BinaryIO, config: TarData, problems: Problems
) -> Row | None:
    is_json = tags.ending.endswith("json")
    try:
        text = _text(sample.shard, tags, file)
        content = json.loads(text) if is_json else text
        found = _of_json(content, config) if is_json else content
    except (ValueError, LookupError, RecursionError, TagmaskError) as error:
        problems.add(Problem.BAD_TAGS, f"{sample.shard.name}/{tags.name} ({_words(error)})")
        return None
    names = tags_in(found, config.separators if is_json else f"{config.separators}\n")
    if names is None:
        problems.add(Problem.BAD_TAGS, f"{sample.shard.name}/{tags.name}")
        return None
    said = content.get(config.split_key) if isinstance(content, Mapping) else None
    return Row(f"{sample.shard.name}/{sample.image.name}", names, str(said) if said else split)


def _words(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, LookupError) else str(error)


def _text(shard: Path, member: Member, file: BinaryIO) -> str:
    if member.size > LONGEST_TAGS:
        raise TagmaskError(f"{member.size} bytes; expected {LONGEST_TAGS} at most")
    return content_of(shard, member, file).decode("utf-8-sig")


def _of_json(content: object, config: TarData) -> object:
    """Tags in JSON: a list or text of them, or an object that has it under a key."""
    if not isinstance(content, Mapping):
        return content
    if config.tags_key not in content:
        raise LookupError(f"no {config.tags_key!r}; there are {', '.join(map(str, content)) or 'no keys'}")
    return content[config.tags_key]
