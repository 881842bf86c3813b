"""Which levels of a backbone a network reads where its settings name none, and the check of those that they name."""

from collections.abc import Sequence

from tagmask.contracts import Level
from tagmask.errors import TagmaskError

_PLAIN_STAGES = 4


def main_levels(levels: Sequence[Level]) -> tuple[int, ...]:
    """The levels that stand for the stages of a backbone, from 0: all of them, or four of a plain transformer.

    Backbones whose grids grow coarser have a level per stage. A plain transformer has one for each of its blocks, all
    of one stride and each much like the next: there the ends of four equal parts are taken, of which the last is the
    deepest level.

    >>> main_levels([Level(64, 4), Level(128, 8), Level(256, 16)])
    (0, 1, 2)
    >>> main_levels([Level(384, 16)] * 13)  # twelve blocks and the final normalisation
    (2, 5, 8, 12)
    """
    if len(levels) <= _PLAIN_STAGES or not is_plain(levels):
        return tuple(range(len(levels)))
    return tuple(len(levels) * part // _PLAIN_STAGES - 1 for part in range(1, _PLAIN_STAGES + 1))


def is_plain(levels: Sequence[Level]) -> bool:
    """Whether all levels have one stride, as those of a transformer with patches of one size."""
    return len({level.stride for level in levels}) == 1


def spread_levels(levels: Sequence[Level], number: int, finest: int) -> tuple[int, ...]:
    """So many of the main levels, evenly from shallow to deep, none finer than a stride; the last ones if they are few.

    Args:
        levels: of the backbone.
        number: how many are wanted; at least two.
        finest: the smallest stride wanted.

    Returns:
        Places from 0, ascending; all main levels where there are fewer than wanted.

    >>> wanted = [Level(16, 2), Level(24, 4), Level(32, 8), Level(96, 16), Level(320, 16), Level(1280, 16)]
    >>> spread_levels(wanted, 3, finest=8), spread_levels(wanted, 5, finest=8)
    ((2, 3, 5), (1, 2, 3, 4, 5))
    """
    main = main_levels(levels)
    coarse = [place for place in main if levels[place].stride >= finest]
    if len(coarse) < number:
        return main[-number:]
    return tuple(coarse[index * (len(coarse) - 1) // (number - 1)] for index in range(number))


def chosen_levels(setting: str, chosen: Sequence[int], levels: Sequence[Level]) -> tuple[int, ...]:
    """The levels that a setting names, counted from 0; negative numbers count from the deepest.

    Args:
        setting: its name, for the error.
        chosen: what it says.
        levels: of the backbone.

    Raises:
        TagmaskError: the backbone has no such level.
    """
    count = len(levels)
    if not all(-count <= level < count for level in chosen):
        strides = ", ".join(str(level.stride) for level in levels)
        raise TagmaskError(
            f"{setting} is {list(chosen)}, but the backbone has {count} levels; choose from 0 to {count - 1} (of "
            f"strides {strides}), or set it to null to have them found."
        )
    return tuple(level % count for level in chosen)


def fine_levels(levels: Sequence[Level], finest: int) -> tuple[int, ...]:
    """The first level of each stride, none finer than ``finest`` pixels, and the last of all.

    Of the levels of one stride the first sees least around a cell: a deeper one tells that something tiny is near, not
    where.

    >>> levels = tuple(Level(8, stride) for stride in (2, 4, 8, 16, 16, 16))
    >>> fine_levels(levels, 4)
    (1, 2, 3, 5)
    """
    first = {levels[i].stride: i for i in reversed(main_levels(levels)) if levels[i].stride >= finest}
    return tuple(sorted({*first.values(), len(levels) - 1}))
