"""Charts as inline SVG: no script, no file beside them; colours come from the style sheet of the page."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tagmask.report.markup import Markup, element, join

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 22, 10, 34
NUM_COLORS = 8
TINY = 1e-12

Points = Sequence[tuple[float, float]]


def line_chart(series: Mapping[str, Points], x_label: str) -> Markup:
    """Lines over a common axis, with a legend; the vertical axis starts at 0 unless a value is negative.

    Points that are not finite are left out; long series are thinned to means of neighbours.
    """
    lines = {name: thin([p for p in points if all(map(math.isfinite, p))]) for name, points in series.items()}
    values = [p for points in lines.values() for p in points]
    x_ticks = nice_ticks(min((x for x, _ in values), default=0), max((x for x, _ in values), default=1))
    y_ticks = nice_ticks(min([0.0, *(y for _, y in values)]), max((y for _, y in values), default=1))
    paths = [_path(points, x_ticks, y_ticks, i % NUM_COLORS) for i, points in enumerate(lines.values()) if points]
    chart = _frame(join(_axes(x_ticks, y_ticks, x_label), *paths), f"Line chart of {', '.join(lines)} over {x_label}")
    return join(chart, legend(list(lines)))


def histogram(values: Sequence[float], x_label: str, bins: int = 20) -> Markup:
    """Counts of values in [0, 1] as bars."""
    counts, edges = np.histogram(np.clip(values, 0, 1), bins=bins, range=(0, 1))
    x_ticks, y_ticks = [0.0, 0.25, 0.5, 0.75, 1.0], nice_ticks(0, max(1, int(counts.max())))
    bars = [_bar(low, high, int(n), y_ticks) for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True) if n]
    return _frame(join(_axes(x_ticks, y_ticks, x_label), *bars), f"Histogram of {x_label}")


def legend(names: Sequence[str]) -> Markup:
    """Names beside the colours of their lines."""
    entries = [
        element("li", element("i", class_=f"key s{i % NUM_COLORS}"), element("span", name))
        for i, name in enumerate(names)
    ]
    return element("ul", *entries, class_="legend")


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


def _frame(content: Markup, label: str) -> Markup:
    return element("svg", content, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _axes(x_ticks: list[float], y_ticks: list[float], x_label: str) -> Markup:
    parts = []
    for y in y_ticks:
        at = f"{_y(y, y_ticks):.1f}"
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="rule"))
        parts.append(element("text", f"{y:g}", x=LEFT - 7, y=at, dy="0.35em", text_anchor="end"))
    for x in x_ticks:
        parts.append(element("text", f"{x:g}", x=f"{_x(x, x_ticks):.1f}", y=HEIGHT - BOTTOM + 15, text_anchor="middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    return join(*parts, element("text", x_label, x=middle, y=HEIGHT - 4, text_anchor="middle", class_="label"))


def _path(points: Points, x_ticks: list[float], y_ticks: list[float], color: int) -> Markup:
    corners = " ".join(f"{_x(x, x_ticks):.1f},{_y(y, y_ticks):.1f}" for x, y in points)
    if len(points) == 1:
        return element("circle", cx=corners.split(",")[0], cy=corners.split(",")[1], r=3, class_=f"dot s{color}")
    return element("polyline", points=corners, class_=f"curve s{color}")


def _bar(low: float, high: float, count: int, y_ticks: list[float]) -> Markup:
    left, right = _x(low, [0.0, 1.0]) + 1, _x(high, [0.0, 1.0]) - 1
    top, base = _y(count, y_ticks), _y(0, y_ticks)
    size = {"width": f"{right - left:.1f}", "height": f"{base - top:.1f}"}
    return element("rect", x=f"{left:.1f}", y=f"{top:.1f}", rx=1.5, class_="bar", **size)


def _x(value: float, ticks: list[float]) -> float:
    return LEFT + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, ticks: list[float]) -> float:
    return HEIGHT - BOTTOM - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - TOP - BOTTOM)
