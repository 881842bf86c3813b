"""How fast a cost grows: exponents of measured points, and their plots on logarithmic axes."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, LEGEND = 790, 360, 62, 34, 44, 360
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b0468f", "#000000", "#c48a00")
DASHES = ("none", "6 3", "2 3")  # of the first six lines, of the next six, of all others


def exponent(points: Points) -> float | None:
    """Slope of the best straight line through the upper half of the points, three at least, on logarithmic axes.

    Small inputs are left out, as what a call costs once hides how the rest grows. None for fewer than two points.

    >>> round(exponent([(1, 2), (2, 8), (4, 32)]), 6), exponent([(1, 2)])
    (2.0, None)
    """
    known = upper_half([(x, y) for x, y in points if x > 0 and y > 0])
    if len({x for x, _ in known}) < 2:
        return None
    return float(np.polyfit(*np.log([*zip(*known, strict=True)]), deg=1)[0])


def upper_half(points: Points) -> Points:
    """The points with the largest inputs: half of them, three at least.

    >>> upper_half([(3, 1), (1, 1), (2, 1), (5, 1), (4, 1), (6, 1), (7, 1)])
    [(4, 1), (5, 1), (6, 1), (7, 1)]
    """
    ordered = sorted(points)
    return ordered[-max(3, (len(ordered) + 1) // 2) :]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten that enclose what lies between two positive numbers, one decade at least.

    >>> decades(0.03, 4.0), decades(1.0, 1.0)
    ([0.01, 0.1, 1.0, 10.0], [1.0, 10.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def plot(title: str, lines: Mapping[str, Points], x_label: str) -> str:
    """An SVG of lines on logarithmic axes, each with its exponent beside its name; what is not positive is left out.

    Names stand in the order in which lines end, the highest first.
    """
    drawn = {name: sorted((x, y) for x, y in points if x > 0 and y > 0) for name, points in lines.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    drawn = dict(sorted(drawn.items(), key=lambda line: -line[1][-1][1]))
    if not drawn:
        raise ValueError(f"there is no positive number to plot for {title}; measure again with more or larger inputs")
    xs = sorted({x for points in drawn.values() for x, _ in points})
    y_ticks = decades(*(pick(y for points in drawn.values() for _, y in points) for pick in (min, max)))

    def place(x: float, y: float) -> str:
        across, up = _share(x, xs[0], xs[-1]), _share(y, y_ticks[0], y_ticks[-1])
        right, base = WIDTH - LEGEND, HEIGHT - BOTTOM
        return f"{LEFT + across * (right - LEFT):.1f},{base - up * (base - TOP):.1f}"

    marks = [_mark(place(xs[0], y), place(xs[-1], y), f"{y:g}") for y in y_ticks]
    marks += [_mark(place(x, y_ticks[0]), place(x, y_ticks[0]), f"{x:g}", below=True) for x in xs]
    curves = [
        _curve(number, name, [place(*point) for point in points], exponent(points))
        for number, (name, points) in enumerate(drawn.items())
    ]
    return "\n".join([_opening(title, x_label), *marks, *curves, "</svg>\n"])


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if low == high else math.log(value / low) / math.log(high / low)


def _opening(title: str, x_label: str) -> str:
    middle = (LEFT + WIDTH - LEGEND) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11">\n<title>{html.escape(title)}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{LEFT}" y="18" font-size="13">{html.escape(title)}</text>\n'
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(x_label)}</text>'
    )


def _mark(begin: str, end: str, text: str, below: bool = False) -> str:
    (x, y), (x2, y2) = begin.split(","), end.split(",")
    label = (x, str(float(y) + 16), "middle") if below else (str(float(x) - 6), str(float(y) + 4), "end")
    line = "" if below else f'<line x1="{x}" y1="{y}" x2="{x2}" y2="{y2}" stroke="#ddd"/>'
    return f'{line}<text x="{label[0]}" y="{label[1]}" text-anchor="{label[2]}">{text}</text>'


def _curve(number: int, name: str, corners: Sequence[str], power: float | None) -> str:
    colour, at = COLOURS[number % len(COLOURS)], TOP + 14 + 19 * number
    dash = DASHES[min(number // len(COLOURS), len(DASHES) - 1)]
    style = f'fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"'
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="2.5"/>' for x, y in (corner.split(",") for corner in corners))
    told, left = name if power is None else f"{name}: exponent {power:.2f}", WIDTH - LEGEND + 16
    return (
        f'<g fill="{colour}"><polyline points="{" ".join(corners)}" {style}/>{dots}'
        f'<polyline points="{left},{at - 4} {left + 22},{at - 4}" {style}/>'
        f'<text x="{left + 28}" y="{at}">{html.escape(told)}</text></g>'
    )
