"""Names of tar files and of the files in them: which are images, which can be ids, which tell a split."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tagmask.config import TarData
from tagmask.data.datasets.paths import IMAGE_SUFFIXES
from tagmask.data.datasets.tar.shards import Member
from tagmask.errors import TagmaskError

LONGEST_PART = 240
"""Bytes of an id between two slashes: a run writes files of these names, with endings of its own."""
LONGEST_ID = 2000
"""Bytes of an id."""
_SPLITS = re.compile(r"(?<![^\W\d_])(?:train|training|val|valid|validation|dev|test)(?![^\W\d_])", re.IGNORECASE)


def plain_ending(setting: str) -> str:
    """An ending as somebody has set it, without the dot that it may begin with.

    >>> plain_ending(".JSON"), plain_ending("mask.png")
    ('json', 'mask.png')
    """
    return setting.lower().removeprefix(".")


def is_image(member: Member) -> bool:
    """Whether a file is a photograph by its ending."""
    return f".{member.ending}" in IMAGE_SUFFIXES


def is_like_image(member: Member) -> bool:
    """Whether a file would be a photograph if names went on to their last dot."""
    return "." in member.ending and f".{member.ending.rpartition('.')[2]}" in IMAGE_SUFFIXES


def is_possible(key: str) -> bool:
    r"""Whether files of a run can be called by an id.

    >>> is_possible("a/b"), is_possible("a" * 300), is_possible("a\0b"), is_possible("a\udcff")
    (True, False, False, False)
    """
    try:
        name = key.encode()
    except UnicodeEncodeError:
        return False
    return b"\0" not in name and len(name) <= LONGEST_ID and max(map(len, name.split(b"/"))) <= LONGEST_PART


# ── of tar files ─────────────────────────────────────────────────────────────────────────────────────────────────────


def split_of(shard: Path, config: TarData) -> str | None:
    """The split that a shard's name begins with, else a folder's, followed by anything but a letter.

    None if it is none in use.

    >>> split_of(Path("train-000012.tar"), TarData()), split_of(Path("trainings.tar"), TarData())
    ('train', None)
    >>> split_of(Path("val/000012.tar"), TarData())
    'val'
    """
    used = [split for split in (config.train_split, config.val_split) if split]
    begun = ((split, part) for part in reversed(shard.parts) for split in used)
    return next((split for split, part in begun if re.match(rf"{re.escape(split)}(?![^\W\d_])", part)), None)


def without_split(shards: Sequence[Path], config: TarData) -> Iterator[str]:
    """A remark on tar files whose names begin with no split, where others do or they seem to mean one.

    Args:
        shards: paths below the data folder.
        config: the names of the splits.
    """
    unnamed = [shard for shard in shards if split_of(shard, config) is None]
    if unnamed and (len(unnamed) < len(shards) or any(_SPLITS.search(shard.as_posix()) for shard in unnamed)):
        used = " or ".join(split for split in (config.train_split, config.val_split) if split)
        yield (
            f"The names of {len(unnamed)} tar files begin with none of the splits {used}, such as "
            f"{unnamed[0].as_posix()}: a share of their images is held out, unless their JSON names a split "
            "(data.train_split, data.val_split, data.shards)."
        )


def shards_below(root: Path, pattern: str) -> list[Path]:
    """The tar files below a folder, by their names.

    Raises:
        TagmaskError: the pattern is none, or fits no file.
    """
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise TagmaskError(f"data.shards={pattern}: expected a pattern below the data folder, such as *.tar")
    try:
        found = sorted(root.glob(pattern))
        shards = [path for path in found if path.is_file() and not path.name.startswith(".")]
    except (ValueError, IndexError, NotImplementedError, OSError) as error:
        raise TagmaskError(
            f"data.shards={pattern[:100]}: {error}; expected a pattern such as *.tar or **/*.tar"
        ) from error
    if not shards:
        hint = " (braces are no pattern: write train-*.tar)" if "{" in pattern else ""
        raise TagmaskError(f"no tar files {pattern} in {root}{_beside(root)}: check --data and data.shards{hint}")
    return shards


def _beside(root: Path) -> str:
    """What there is that may have been meant."""
    there = sorted({*root.glob("*"), *root.glob("*/*.[tT]*")})
    others = [
        path.relative_to(root).as_posix() for path in there if re.search(r"\.t(ar|gz)\b", path.name, re.IGNORECASE)
    ]
    packed = any(not name.lower().endswith(".tar") for name in others)
    unpack = ", which must be unpacked (gunzip)" if packed else ", which data.shards can name, as in **/*.tar"
    return f"; there are {', '.join(others[:3])}{unpack}" if others else ""
