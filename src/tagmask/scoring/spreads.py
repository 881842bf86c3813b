"""Values of several seeds in brief: their mean, their deviation, and between what their true mean may lie."""

import math
import statistics
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict
from scipy.stats import t as student

CERTAINTY = 0.95


class Spread(BaseModel):
    """Values of several seeds in brief.

    Attributes:
        count: how many.
        mean: their mean.
        deviation: sample standard deviation (n - 1); None for a single value.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    mean: float
    deviation: float | None

    @property
    def reach(self) -> float | None:
        """Half the width of the interval that holds the true mean with ``CERTAINTY``, by Student's t; None: unknown.

        Values of seeds are taken as drawn from a normal distribution, and for differences of two recipes with the same
        seed it is the interval of the paired t-test.

        Example:
            >>> round(Spread(count=3, mean=1.0, deviation=0.5).reach, 3)
            1.242
        """
        if self.deviation is None:
            return None
        quantile = float(student.ppf((1 + CERTAINTY) / 2, self.count - 1))
        return quantile * self.deviation / math.sqrt(self.count)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and sample standard deviation of the values that are there; None if there are none.

    Example:
        >>> spread([1.0, None, 3.0])
        Spread(count=2, mean=2.0, deviation=1.4142135623730951)
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(
        count=len(known),
        mean=statistics.fmean(known),
        deviation=statistics.stdev(known) if len(known) > 1 else None,
    )


def spreads(values: Mapping[str, Sequence[float | None]]) -> dict[str, Spread]:
    """The same by name; names without any value are left out."""
    return {name: found for name, each in values.items() if (found := spread(each)) is not None}
