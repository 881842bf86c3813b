import pytest

from tagmask.system.progress import track


def test_items_pass_through_and_the_bar_goes_to_the_errors(capsys):
    assert list(track(iter("abc"), "letters", total=5, done=2)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "letters" in captured.err
    assert "5/5" in captured.err


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
