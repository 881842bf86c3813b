"""Images of tar files with their tags: which files of a shard are one image, and what its tags are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from tagmask.config import TarData
from tagmask.data.datasets.checks import NAMES_SHOWN, Problem, Problems
from tagmask.data.datasets.tables import Row, tags_in, text_of
from tagmask.data.datasets.tar.names import is_image, is_like_image, is_possible, plain_ending, split_of
from tagmask.data.datasets.tar.shards import Member, Stamp, content_of, members_of, stamp_of
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
        stamp: of the tar file.
    """

    shard: Path
    image: Member
    mask: Member | None
    stamp: Stamp


def read_samples(
    shards: Sequence[Path], config: TarData, problems: Problems, root: Path | None = None
) -> tuple[dict[str, Sample], dict[str, Row]]:
    """Every image of the tar files and its row of tags, by id.

    Args:
        shards: the tar files in order.
        config: endings, keys and separators.
        problems: where to note what is wrong with single images.
        root: the data folder; names of folders below it may begin with a split.

    Raises:
        TagmaskError: a tar file cannot be read.
    """
    samples: dict[str, Sample] = {}
    rows: dict[str, Row] = {}
    for shard in shards:
        split = split_of(shard if root is None else shard.relative_to(root), config)
        with _opened(shard) as file:
            for sample, tags in _samples(shard, config, problems):
                key = sample.image.key
                if key in samples:
                    problems.add(Problem.TWICE, f"{key} ({samples[key].shard.name}, {shard.name})")
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
        found = [*islice(members_of(shard), _LOOKED_AT)]
    except TagmaskError:
        return False
    for member in found:
        if member.ending == plain_ending(config.tags):
            tagged.add(member.key)
        elif is_image(member):
            shown.add(member.key)
    goes_on = len(found) == _LOOKED_AT  # files of an image may lie far from each other
    return bool(tagged and shown) and (goes_on or not tagged.isdisjoint(shown))


def _samples(shard: Path, config: TarData, problems: Problems) -> Iterator[tuple[Sample, Member | None]]:
    """The images of a shard, each with the file of its tags; tar files of a folder have them in any order."""
    stamp, alone, dotted = stamp_of(shard), [], []
    for key, (files, twice) in _by_key(shard).items():
        tags = files.pop(plain_ending(config.tags), None)
        mask = files.pop(plain_ending(config.masks), None) if config.masks else None
        images = [member for member in files.values() if is_image(member)]
        others = [member for member in files.values() if is_like_image(member)]
        if (images or tags) and not is_possible(key):
            problems.add(Problem.NAME, f"{key[:60]!r} in {shard.name}")
        elif (images or tags) and twice:
            problems.add(Problem.TWICE, f"{', '.join(member.name for member in twice)} in {shard.name}")
        elif len(images) > 1:
            problems.add(Problem.DUPLICATE_ID, f"{', '.join(image.name for image in images)} in {shard.name}")
        elif images:
            yield Sample(shard, images[0], mask, stamp), tags
        elif tags is not None:
            beside = f" (there is {others[0].name}, which ends in .{others[0].ending})" if others else ""
            alone.append(f"{shard.name}/{tags.name}{beside}")
        else:
            dotted += others
    _note_unused(shard, alone, dotted, config, problems)


def _note_unused(shard: Path, alone: list[str], dotted: list[Member], config: TarData, problems: Problems) -> None:
    """Note files of tags without an image, and images whose names have several dots."""
    if alone and config.on_bad_image == "skip":
        shown = ", ".join(alone[:NAMES_SHOWN])
        problems.remarks.append(f"{len(alone)} files of tags without an image are left out: {shown}.")
    for name in alone if config.on_bad_image != "skip" else ():
        problems.add(Problem.NO_IMAGE, name)
    if dotted:
        problems.remarks.append(
            f"{len(dotted)} files of {shard.name} are not used, such as {dotted[0].name}: its ending is taken to be "
            f".{dotted[0].ending}, since a name ends at its first dot."
        )


def _by_key(shard: Path) -> dict[str, tuple[dict[str, Member], list[Member]]]:
    """The files of each image by their ending, and those whose ending had come before."""
    found: dict[str, tuple[dict[str, Member], list[Member]]] = {}
    for member in members_of(shard):
        files, twice = found.setdefault(member.key, ({}, []))
        if member.ending in files:
            twice.append(member)
        files[member.ending] = member
    return found


def _row(
    sample: Sample, tags: Member, split: str | None, file: BinaryIO, config: TarData, problems: Problems
) -> Row | None:
    is_json = tags.ending.endswith("json")
    try:
        text = _text(sample.shard, tags, file)
        content = json.loads(text) if is_json else text
        found = _of_json(content, config) if is_json else content
        said = _split_in(content, config)
    except (ValueError, LookupError, RecursionError, TagmaskError) as error:
        problems.add(Problem.BAD_TAGS, f"{sample.shard.name}/{tags.name} ({_words(error)})")
        return None
    names = tags_in(found, config.separators if is_json else f"{config.separators}\n")
    if names is None:
        problems.add(Problem.BAD_TAGS, f"{sample.shard.name}/{tags.name} ({str(found)[:60]!r})")
        return None
    return Row(f"{sample.shard.name}/{sample.image.name}", names, said or split)


def _split_in(content: object, config: TarData) -> str | None:
    """The split that JSON names, if any."""
    said = content.get(config.split_key) if isinstance(content, Mapping) else None
    if said is not None and (isinstance(said, bool) or not isinstance(said, str | int)):
        raise LookupError(f"its {config.split_key!r} is {str(said)[:60]}; expected a name")
    text = text_of(said)
    text.encode()
    return text or None


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
        keys = [str(key)[:60] for key in islice(content, NAMES_SHOWN)]
        more = ", ..." if len(content) > len(keys) else ""
        raise LookupError(f"no {config.tags_key!r}; there are {', '.join(keys) or 'no keys'}{more}: see data.tags_key")
    return content[config.tags_key]
