"""Charts as plain data: where lines, bars and ticks lie. The template ``parts.html`` draws them as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 22, 10, 34
NUM_COLORS = 8
TINY = 1e-12

Points = Sequence[tuple[float, float]]


class Tick(NamedTuple):
    """A number beside an axis, and where it lies along that axis, in units of the chart."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: beside its colour.
        color: number of its colour in the style sheet, below ``NUM_COLORS``.
        corners: ``(x, y)`` in units of the chart.
    """

    name: str
    color: int
    corners: Points


class Bar(NamedTuple):
    """A bar: its upper left corner and its size, in units of the chart."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """A chart; everything in it is measured in its own units, x rightwards and y downwards.

    Attributes:
        title: above it.
        description: of its kind, for those who cannot see it.
        x_label: what the horizontal axis counts.
        x_ticks: from left to right.
        y_ticks: from below.
        lines: the lines that have points.
        bars: from left to right.
        width: of the whole.
        height: of the whole.
        left: where the horizontal axis begins.
        right: where it ends.
        base: where the vertical axis begins, below.
    """

    title: str
    description: str
    x_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    base: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Axis:
    """Where values lie between two ends of a chart.

    Attributes:
        ticks: round numbers that enclose all values.
        first: where the first tick lies, in units of the chart.
        last: where the last one does.
    """

    ticks: Sequence[float]
    first: int
    last: int

    def at(self, value: float) -> float:
        """Where a value lies, in units of the chart.

        Example:
            >>> Axis([0, 5, 10], 40, 60).at(2.5)
            45.0
        """
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return round(self.first + share * (self.last - self.first), 1)

    def shown(self) -> list[Tick]:
        """The ticks as they are written."""
        return [Tick(self.at(value), f"{value:g}") for value in self.ticks]


def line_chart(title: str, series: Mapping[str, Points], x_label: str) -> Chart:
    """Lines over a common axis; the vertical axis starts at 0 unless a value is negative.

    Points that are not finite are left out; long series are thinned to means of neighbours.

    Args:
        title: above the chart.
        series: ``(x, y)`` by the name of the line.
        x_label: what the horizontal axis counts.
    """
    known = {name: thin([p for p in points if all(map(math.isfinite, p))]) for name, points in series.items()}
    xs = [x for points in known.values() for x, _ in points]
    ys = [y for points in known.values() for _, y in points]
    x_axis = _across(nice_ticks(min(xs, default=0), max(xs, default=1)))
    y_axis = _upwards(nice_ticks(min([0.0, *ys]), max(ys, default=1)))
    lines = [
        Line(name, i % NUM_COLORS, [(x_axis.at(x), y_axis.at(y)) for x, y in points])
        for i, (name, points) in enumerate(known.items())
    ]
    return Chart(
        title=title,
        description=f"Line chart of {', '.join(known)} over {x_label}",
        x_label=x_label,
        x_ticks=x_axis.shown(),
        y_ticks=y_axis.shown(),
        lines=lines,
    )


def histogram(title: str, values: Sequence[float], x_label: str, bins: int = 20) -> Chart:
    """Counts of values in [0, 1] as bars; empty bins have none.

    Args:
        title: above the chart.
        values: clipped to [0, 1].
        x_label: what the values are.
        bins: how many, all of the same width.
    """
    counts, edges = np.histogram(np.clip(values, 0, 1), bins=bins, range=(0, 1))
    x_axis, y_axis = _across([0.0, 0.25, 0.5, 0.75, 1.0]), _upwards(nice_ticks(0, max(1, int(counts.max()))))
    found = zip(edges[:-1], edges[1:], counts, strict=True)
    return Chart(
        title=title,
        description=f"Histogram of {x_label}",
        x_label=x_label,
        x_ticks=x_axis.shown(),
        y_ticks=y_axis.shown(),
        bars=[_bar(x_axis.at(low), x_axis.at(high), y_axis.at(int(n))) for low, high, n in found if n],
    )


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers, evenly apart, that enclose [low, high].

    Example:
        >>> nice_ticks(0, 0.83), nice_ticks(10, 990)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0])
    """
    size, span = max(abs(low), abs(high)), high - low
    if span <= max(1e-6 * size, TINY):  # values that do not differ
        span = size if size > TINY else 1.0
    decimals = -math.floor(math.log10(span / wanted))
    magnitude = 10.0**-decimals
    step = magnitude * next(m for m in (1, 2, 5, 10) if m * magnitude * wanted >= span * 0.99)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, max(decimals, 0)) for i in range(first, max(last, first + 1) + 1)]


def thin(points: Points, limit: int = 200) -> list[tuple[float, float]]:
    """At most ``limit`` points, each the mean of as many neighbours."""
    if len(points) <= limit:
        return list(points)
    groups = np.array_split(np.asarray(points, float), limit)
    return [(float(x), float(y)) for x, y in (group.mean(axis=0) for group in groups)]


def _across(ticks: Sequence[float]) -> Axis:
    return Axis(ticks, LEFT, WIDTH - RIGHT)


def _upwards(ticks: Sequence[float]) -> Axis:
    return Axis(ticks, HEIGHT - BOTTOM, TOP)


def _bar(left: float, right: float, top: float) -> Bar:
    """A bar from the base of the chart, one unit apart from its neighbours on either side."""
    return Bar(left + 1, top, round(right - left - 2, 1), round(HEIGHT - BOTTOM - top, 1))
