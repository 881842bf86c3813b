"""A shard of a stage: which images one of many processes does."""

import os
import platform
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tagmask.errors import TagmaskError
from tagmask.system.shards.claims import claimed

Item = TypeVar("Item")

CHUNK = 100  # images that are claimed at once: a minute of maps, and a second of the fastest stage


class Shard(ABC):
    """One of many processes that share the images of a stage."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Tells it from the others, as part of a file's name."""

    @abstractmethod
    def parts(self, items: Sequence[Item], claims: Path, work: str) -> Generator[Sequence[Item], None, None]:
        """The items that are this process's, in parts.

        Args:
            items: all there are, in the same order for every shard.
            claims: the folder of claims.
            work: what is done to them, as part of a file's name.
        """


@dataclass(frozen=True)
class EveryNth(Shard):
    """Every n-th item: neighbours in a sorted list are alike, so that all shards get as much work.

    Attributes:
        number: of this shard, from 1.
        count: of all shards.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Number and count."""
        return f"{self.number}-of-{self.count}"

    def parts(self, items: Sequence[Item], claims: Path, work: str) -> Generator[Sequence[Item], None, None]:  # noqa: ARG002
        """One part.

        >>> [*EveryNth(2, 3).parts("abcdefgh", Path(), "")]
        ['beh']
        """
        yield items[self.number - 1 :: self.count]


@dataclass(frozen=True)
class WhatIsFree(Shard):
    """Chunks of items that nobody else has claimed, one after the other."""

    def __str__(self) -> str:
        return "auto"

    @property
    def name(self) -> str:
        """Host and process."""
        return f"auto-{platform.node()}-{os.getpid()}"

    def parts(self, items: Sequence[Item], claims: Path, work: str) -> Generator[Sequence[Item], None, None]:
        """Each chunk that can be claimed, claimed until the next is asked for."""
        for start in range(0, len(items), CHUNK):
            chunk = f"{work}-{start // CHUNK + 1}-of-{-(-len(items) // CHUNK)}"
            with claimed(claims / f"{chunk}.json", chunk) as is_ours:
                if is_ours:
                    yield items[start : start + CHUNK]


def shard_named(text: str) -> Shard:
    """The shard of a name as it is typed: ``2/3`` or ``auto``.

    Raises:
        TagmaskError: it is neither.

    Example:
        >>> shard_named("2/3")
        EveryNth(number=2, count=3)
    """
    if text == "auto":
        return WhatIsFree()
    found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if found is None:
        raise TagmaskError(f"--shard must be I/N, such as 2/3, or auto; got {text!r}")
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count:
        raise TagmaskError(
            f"--shard {text}: shards are counted from 1, so that of {max(count, 1)} there are 1/{max(count, 1)} to "
            f"{max(count, 1)}/{max(count, 1)}; where a scheduler counts from 0, add 1"
        )
    return EveryNth(number, count)
