"""Class names that differ by a letter or two: most often one of them is the other, misspelt."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

SHORTEST = 3
"""Names of fewer letters are all alike."""

LONG = 8
"""From so many letters on, two may differ: slips in `motorcycle` are likely, `horse` and `mouse` are words of their
own."""

RARE_SHARE = 0.25
"""A misspelling is on fewer images than what is misspelt; a class with more than this share of them is likely meant."""

RARE = 2
"""A class on so few images may be a misspelling, however few the other class has."""


@dataclass(frozen=True)
class Alike:
    """Two classes with names that are nearly the same.

    Attributes:
        rarer: number of the class with fewer images.
        commoner: number of the other.
        is_rare: whether the first is so rare that it is most likely a misspelling of the other.
    """

    rarer: int
    commoner: int
    is_rare: bool


def alike(classes: Sequence[str], counts: Sequence[int]) -> list[Alike]:
    """Pairs of classes whose names are nearly the same.

    Names of fewer than five letters are told only if one of them is rare: `cat` and `car` are both words. Names that
    differ in numbers alone (`type 1`, `type 2`) are meant.

    Args:
        classes: their names.
        counts: images of each.
    """
    plain = [_plain(name) for name in classes]
    found = []
    for first, second in _close(plain):
        rarer, commoner = sorted((first, second), key=lambda number: counts[number])
        is_rare = counts[rarer] <= max(RARE, RARE_SHARE * counts[commoner])
        if is_rare or min(len(plain[first]), len(plain[second])) >= 5:
            found.append(Alike(rarer, commoner, is_rare))
    return found


def _plain(name: str) -> str:
    """A name without case, blanks and the lines that stand for blanks."""
    return re.sub(r"[\s_\-]+", "", name.casefold())


def _close(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Places of the names that differ by a letter, or by two if both are long."""
    for first, second in sorted(_candidates(names)):
        shorter = min(len(names[first]), len(names[second]))
        if shorter < SHORTEST or _differ_in_numbers(names[first], names[second]):
            continue
        if edit_distance(names[first], names[second]) <= (2 if shorter >= LONG else 1):
            yield first, second


def _candidates(names: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs that are alike once up to two letters are left out: those at most so far apart, and some more."""
    homes: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        for rest in _shortened(name, 2 if len(name) >= LONG else 1):
            homes.setdefault(rest, []).append(place)
    return {pair for places in homes.values() for pair in combinations(places, 2)}


def _shortened(name: str, letters: int) -> set[str]:
    """The name with up to so many letters left out."""
    found = {name}
    for _ in range(letters):
        found |= _without_a_letter(found)
    return found


def _without_a_letter(names: Iterable[str]) -> set[str]:
    return {name[:place] + name[place + 1 :] for name in names for place in range(len(name))}


def _differ_in_numbers(first: str, second: str) -> bool:
    numbers = re.compile(r"\d+")
    return first != second and numbers.sub("", first) == numbers.sub("", second)


def edit_distance(first: str, second: str) -> int:
    """Letters to change, add, leave out, or swap with their neighbour, to turn one word into the other.

    Example:
        >>> edit_distance("horse", "hosre"), edit_distance("crack", "cracks"), edit_distance("cat", "dog")
        (1, 1, 3)
    """
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first):
        earlier, before, row = before, row, [i + 1]
        for j, other in enumerate(second):
            best = min(before[j + 1] + 1, row[j] + 1, before[j] + (letter != other))
            if i and j and letter == second[j - 1] and first[i - 1] == other:
                best = min(best, earlier[j - 1] + 1)
            row.append(best)
    return row[-1]
