import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.report.charts import HEIGHT, NUM_COLORS, WIDTH, histogram, legend, line_chart, nice_ticks, thin


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_enclose_the_values(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    assert 2 <= len(ticks) <= 8
    slack = 1e-6 * max(1.0, abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert ticks == sorted(set(ticks))


def test_values_that_do_not_differ_still_get_an_axis() -> None:
    assert nice_ticks(0, 0) == [0.0, 0.2]
    assert nice_ticks(5, 5) == [5.0, 6.0]


def test_thin_takes_means_of_neighbours() -> None:
    points = [(float(i), float(i % 2)) for i in range(8)]
    assert thin(points, limit=4) == [(0.5, 0.5), (2.5, 0.5), (4.5, 0.5), (6.5, 0.5)]
    assert thin(points, limit=8) == points


def corners(svg: str) -> list[tuple[float, float]]:
    found = re.findall(r'points="([^"]*)"', svg)
    return [(float(x), float(y)) for line in found for x, y in (pair.split(",") for pair in line.split())]


def test_lines_fall_where_values_fall_and_stay_inside() -> None:
    svg = line_chart({"loss": [(0, 1.0), (50, 0.5), (100, 0.0)]}, "step")
    points = corners(svg)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[1] == pytest.approx(((points[0][0] + points[2][0]) / 2, (points[0][1] + points[2][1]) / 2), abs=0.1)


def test_points_that_are_not_finite_are_left_out() -> None:
    svg = line_chart({"loss": [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 0.5)]}, "step")
    assert len(corners(svg)) == 2
    assert "nan" not in svg


@pytest.mark.parametrize("points", [[], [(3, 0.0)], [(3, 2.0), (3, 2.0)]])
def test_degenerate_series_still_draw(points: list[tuple[float, float]]) -> None:
    assert line_chart({"loss": points}, "step").startswith("<svg")


def test_names_are_escaped_and_colours_repeat() -> None:
    names = ["<script>", *map(str, range(NUM_COLORS))]
    assert "<script>" not in legend(names)
    assert legend(names).count("key s0") == 2
    assert "<script>" not in line_chart({"<script>": [(0, 1), (1, 2)]}, "<script>")


def test_histogram_has_one_bar_per_filled_bin_and_heights_in_proportion() -> None:
    svg = histogram([0.05, 0.05, 0.95, 1.0, 1.2, -1.0], "quality", bins=2)
    heights = [float(h) for h in re.findall(r'height="([^"]*)"', svg)]
    assert len(heights) == 2
    assert heights[0] == pytest.approx(heights[1])
    assert histogram([], "quality").count("<rect") == 0
