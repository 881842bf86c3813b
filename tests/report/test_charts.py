import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmask.report.charts import BOTTOM, HEIGHT, NUM_COLORS, WIDTH, histogram, line_chart, nice_ticks, thin


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


def test_lines_fall_where_values_fall_and_stay_inside() -> None:
    (line,) = line_chart("method", {"loss": [(0, 1.0), (50, 0.5), (100, 0.0)]}, "step").lines
    points = list(line.corners)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[1] == pytest.approx(((points[0][0] + points[2][0]) / 2, (points[0][1] + points[2][1]) / 2), abs=0.1)


def test_ticks_lie_where_values_lie() -> None:
    chart = line_chart("method", {"loss": [(0, 0.0), (100, 1.0)]}, "step")
    (line,) = chart.lines
    assert [tick.text for tick in chart.y_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert list(line.corners) == [(chart.x_ticks[i].at, chart.y_ticks[i].at) for i in (0, -1)]
    assert chart.y_ticks[0].at == HEIGHT - BOTTOM


def test_points_that_are_not_finite_are_left_out() -> None:
    (line,) = line_chart("", {"loss": [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 0.5)]}, "step").lines
    assert len(line.corners) == 2


@pytest.mark.parametrize("points", [[], [(3, 0.0)], [(3, 2.0), (3, 2.0)]])
def test_degenerate_series_still_have_axes(points: list[tuple[float, float]]) -> None:
    chart = line_chart("", {"loss": points}, "step")
    assert [len(line.corners) for line in chart.lines] == [len(points)]
    assert len(chart.x_ticks) >= 2
    assert len(chart.y_ticks) >= 2


def test_colours_repeat() -> None:
    lines = line_chart("", {str(i): [(0, 1)] for i in range(NUM_COLORS + 1)}, "step").lines
    assert [line.color for line in lines] == [*range(NUM_COLORS), 0]


def test_histogram_has_one_bar_per_filled_bin_and_heights_in_proportion() -> None:
    bars = histogram("", [0.05, 0.05, 0.95, 1.0, 1.2, -1.0], "quality", bins=2).bars
    assert len(bars) == 2
    assert bars[0].height == pytest.approx(bars[1].height)
    assert all(bar.y + bar.height == pytest.approx(HEIGHT - BOTTOM) for bar in bars)
    assert not histogram("", [], "quality").bars
