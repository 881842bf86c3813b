import doctest
import json
import pickle

import pytest

PURE = ("measuring", "growth_fit", "whole_table", "ratio", "sample_data")


@pytest.mark.parametrize("name", PURE)
def test_examples_hold(script, name):
    found = doctest.testmod(script(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_a_median_travels_between_processes_with_its_repeats(script):
    median = script("measuring").Median([4.0, 1.0, 2.0])
    copy = pickle.loads(pickle.dumps(median))
    assert copy == 2.0
    assert copy.repeats == (4.0, 1.0, 2.0)


def test_functions_take_turns_after_a_warm_up(script):
    calls = []
    script("measuring").in_turn(lambda: calls.append("a"), lambda: calls.append("b"), repeats=2)
    assert calls == ["a", "b", "a", "b", "a", "b"]


def test_rows_are_printed_as_they_come(script, capsys):
    rows = script("measuring").told([("walk", {"seconds": 0.12345, "grid": (3, 4)}), ("crf.seconds", 2.0)])
    next(rows)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["walk.seconds", "0.1235"],
        ["walk.grid.0", "3"],
        ["walk.grid.1", "4"],
    ]


def test_rows_and_leaves_are_each_others_inverse(script):
    measuring = script("measuring")
    found = {"grid": 3, "results": [{"seconds": 1.0}, {"seconds": 2.0}], "more": {"part": {"share": 0.5}}}
    assert measuring.nested(measuring.leaves(found)) == found


def test_what_is_written_keeps_the_repeats_of_medians_in_lists(script, tmp_path):
    measuring = script("measuring")
    path = tmp_path / "new" / "figures.json"
    measuring.write_figures(path, {"results": [{"seconds": measuring.Median([1.0, 2.0, 6.0])}]})
    assert json.loads(path.read_text()) == {"results": [{"seconds": 2.0, "seconds_repeats": [1.0, 2.0, 6.0]}]}
