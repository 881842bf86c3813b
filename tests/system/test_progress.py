import pytest

from tagmask.system import progress
from tagmask.system.progress import track


def test_in_a_terminal_a_bar_goes_to_the_errors(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert list(track(iter("abc"), "letters [/x]", total=5, done=2)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "letters [/x]" in captured.err
    assert "5/5" in captured.err


def test_a_terminal_without_a_cursor_gets_lines(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert list(track(iter("abc"), "letters", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == "letters: 0 of 3\nletters: 3 of 3 in 0:00\n"


def test_elsewhere_a_line_tells_the_beginning_and_the_end(capsys):
    assert list(track(iter("abc"), "letters", total=5, done=2)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "letters: 2 of 5 done before\nletters: 5 of 5 in 0:00\n"


def test_in_between_a_line_comes_about_every_minute_and_not_with_every_item(capsys, monkeypatch):
    clock = iter(range(0, 10_000, 25))  # every look at the clock is 25 seconds later
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    list(track(range(8), "walk", total=8))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "walk: 0 of 8",
        "walk: 3 of 8 (38 %), 25 s each, 2:05 left",
        "walk: 6 of 8 (75 %), 25 s each, 0:50 left",
        "walk: 8 of 8 in 3:45",
    ]


def test_other_processes_are_silent(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert list(track([1], "numbers", total=1)) == [1]
    assert capsys.readouterr() == ("", "")


def test_nothing_to_do_shows_nothing_odd():
    assert list(track([], "nothing", total=0)) == []


def test_errors_of_the_items_arrive():
    def items():
        yield 1
        raise KeyError

    with pytest.raises(KeyError):
        list(track(items(), "items", total=2))
