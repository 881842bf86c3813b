from tagmask.report.content import ScoreRow
from tagmask.report.sections import class_table, duration, example_list, loss_charts, percent, score_list, time_table


def test_shares_and_durations_in_words() -> None:
    assert percent(0.6125001) == "61.3\N{NO-BREAK SPACE}%"
    assert [duration(s) for s in (0, 59.6, 60, 3599.7, 3600)] == [
        "0.0 s",
        "1 min 00 s",
        "1 min 00 s",
        "1 h 00 min",
        "1 h 00 min",
    ]


def test_nothing_gives_nothing() -> None:
    assert [score_list([]), class_table([]), example_list([], []), loss_charts([]), time_table({})] == [""] * 5


def test_class_table_lists_every_class_of_every_score_once() -> None:
    rows = [ScoreRow("a", "", 0.5, 0.5, {"x": 0.25, "y": None}), ScoreRow("b", "", 0.5, 0.5, {"y": 0.75, "z": 0.0})]
    table = class_table(rows)
    assert [table.count(f">{name}<") for name in "xyz"] == [1, 1, 1]
    assert [table.count(f">{value}<") for value in ("25.0", "75.0", "0.0", "\N{EN DASH}")] == [1, 1, 1, 3]


def test_log_lines_without_losses_are_passed_over() -> None:
    log = [{"note": "resumed"}, {"stage": "method", "step": 1, "losses": {"tags": None}}]
    assert loss_charts(log) == ""
    assert loss_charts([*log, {"stage": "method", "step": 2, "losses": {"tags": 0.5}}]).count("<svg") == 1


def test_time_of_nothing_divides_by_nothing() -> None:
    assert "width:0.0%" in time_table({"evaluate": 0.0})
