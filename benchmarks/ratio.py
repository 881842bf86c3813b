"""Two files of figures side by side, and what has become slower: ``python benchmarks/ratio.py before.json after.json``.

Every number that both files have is printed with its ratio, after by before. Seconds and megabytes are marked where the
ratio is beyond noise: farther from 1 than four times the spread of the repeats that the files keep beside a median
(``seconds_repeats`` beside ``seconds``), that of both files together and never less than 2 %. The spread is the median
distance of repeats from their median, as a share of it. Without repeats a figure counts as beyond noise from 10 % on.
The noise knows nothing of what drifts between two runs: measure both on one machine, one soon after the other, and look
at the line on the bare passes, which no change of ours makes faster. ``times_bare`` drifts with none of it.

    python benchmarks/ratio.py before.json after.json --fail-above 1.1

ends with exit code 1 if any seconds or megabytes are beyond noise and more than so many times those before.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import leaves
from whole_table import spread

DISTANCES = 4  # spreads that a ratio must be away from 1
LEAST, UNKNOWN = 0.02, 0.1  # noise at least, and where no repeats were kept
BARE = "bare_seconds"
NAMES = ("name", "network", "preset", "num_labels", "channels", "batch", "axis", "value", "stage", "part")
CIRCUMSTANCES = ("machine", "protocol")


@dataclass(frozen=True)
class Change:
    """A figure in two files.

    Attributes:
        name: dotted.
        before: in the first.
        after: in the second.
        noise: how far from 1 the ratio may be by chance; None of what is no cost, such as a count or a ratio.
    """

    name: str
    before: float
    after: float
    noise: float | None

    @property
    def ratio(self) -> float:
        """After by before; infinite if something has become of nothing."""
        if self.before == 0:
            return 1.0 if self.after == 0 else math.inf
        return self.after / self.before

    @property
    def is_beyond_noise(self) -> bool:
        """Whether a cost has changed by more than chance explains, either way."""
        if self.noise is None or self.before <= 0 or self.after <= 0:
            return False
        return abs(math.log(self.ratio)) > math.log1p(self.noise)

    def is_slower(self, factor: float) -> bool:
        """Whether a cost is beyond noise and more than ``factor`` times that before."""
        return self.is_beyond_noise and self.ratio > factor

    def __str__(self) -> str:
        """In a line; the mark is ``+`` for more and ``-`` for less."""
        mark = ("+" if self.ratio > 1 else "-") if self.is_beyond_noise else " "
        noise = "" if self.noise is None else f"noise {self.noise:.0%}"
        return f"{mark} {self.name:<64} {self.before:>11.4g} {self.after:>11.4g} {self.ratio:>8.3f}  {noise}".rstrip()


def is_cost(name: str) -> bool:
    """Whether less of a figure is better; bare passes tell the machine's drift instead.

    >>> [is_cost(name) for name in ("walk.seconds", "results.0.ours.total_s", "memory_megabytes.predict", "ratio")]
    [True, True, True, False]
    >>> is_cost("maps.times_bare"), is_cost("maps.bare_seconds")
    (True, False)
    """
    words = [word for word in name.split(".") if word != BARE]
    is_time = any(word in ("seconds", "times_bare") or word.endswith(("_seconds", "_s")) for word in words)
    return is_time or any(word.endswith("megabytes") for word in words)


def is_number(value: object) -> bool:
    """Whether a leaf can be compared."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def named(found: Any) -> Any:
    """Figures whose lists are told apart by what they are of, not by their place, so that a new one moves none.

    >>> named([{"stage": "predict", "part": "masks", "seconds": 1.0}])
    {'predict, masks': {'stage': 'predict', 'part': 'masks', 'seconds': 1.0}}
    """
    if isinstance(found, dict):
        return {key: value if key.endswith("_repeats") else named(value) for key, value in found.items()}
    if not isinstance(found, list):
        return found
    names = [_name(each) for each in found]
    if not all(names) or len(set(names)) < len(names):
        names = [str(place) for place in range(len(found))]
    return {name: named(value) for name, value in zip(names, found, strict=True)}


def _name(figures: Any) -> str:
    known = figures if isinstance(figures, dict) else {}
    return ", ".join(str(known[key]) for key in NAMES if key in known)


def repeats_in(found: Any) -> dict[str, list[float]]:
    """Repeats by the name of their median."""
    places: dict[str, dict[int, float]] = {}
    for name, value in leaves(found):
        parent, _, place = name.rpartition(".")
        if parent.endswith("_repeats"):
            places.setdefault(parent.removesuffix("_repeats"), {})[int(place)] = value
    return {name: [*values.values()] for name, values in places.items()}


def noise_of(before: list[float] | None, after: list[float] | None) -> float:
    """How far from 1 the ratio of two medians may be by chance.

    >>> noise_of([1.0, 1.1, 0.9], [2.0, 2.0, 2.0]), noise_of(None, [2.0])
    (0.4, 0.1)
    """
    if not before or not after or min(len(before), len(after)) < 3:
        return UNKNOWN
    return max(LEAST, DISTANCES * math.hypot(spread(before), spread(after)))


def changes(before: Any, after: Any) -> Iterator[Change]:
    """Every number that both have, in the order of the second."""
    before, after = named(before), named(after)
    earlier, later = dict(leaves(before)), dict(leaves(after))
    repeats, new_repeats = repeats_in(before), repeats_in(after)
    for name, value in later.items():
        is_figure = "_repeats." not in name and name.split(".")[0] not in CIRCUMSTANCES and not name.endswith(".units")
        if not (is_figure and is_number(value) and is_number(earlier.get(name))):
            continue
        noise = noise_of(repeats.get(name), new_repeats.get(name)) if is_cost(name) else None
        yield Change(name, earlier[name], value, noise)


def differences(before: Any, after: Any) -> list[str]:
    """What of the machine and the protocol differs, in words.

    >>> differences({"machine": {"cores": 2}}, {"machine": {"cores": 4}})
    ['machine.cores: 2 before, 4 after']
    """
    earlier, later = (
        {key: value for name in CIRCUMSTANCES for key, value in leaves(each.get(name, {}), name)}
        for each in (before, after)
    )
    keys = dict.fromkeys([*earlier, *later])
    return [f"{k}: {earlier.get(k)} before, {later.get(k)} after" for k in keys if earlier.get(k) != later.get(k)]


def main() -> int:
    """Print all figures; 1 if any cost has grown too much, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--fail-above", type=float, default=math.inf, metavar="FACTOR", help="exit code 1 beyond it")
    arguments = parser.parse_args()
    before, after = (json.loads(path.read_text()) for path in (arguments.before, arguments.after))
    for difference in differences(before, after):
        print(f"not alike: {difference}")
    found = [*changes(before, after)]
    print(*found, sep="\n")
    if bare := [change.ratio for change in found if change.name.endswith(BARE)]:
        print(f"\nbare passes: {statistics.median(bare):.3f} of the seconds before, the drift of the machine")
    slower = [change for change in found if change.is_slower(arguments.fail_above)]
    if slower:
        print(f"\nmore than {arguments.fail_above:g} times as much:", *slower, sep="\n")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
