"""The one exception for people: what they see of it."""

import pickle

import pytest

import tagmask
from tagmask import cli
from tagmask.errors import TagmaskError

MESSAGE = "TensorBoard is missing; install `tagmask[tensorboard]`\n  a second line [bold]as it is[/bold]"


def fail_with(error: Exception):
    def fail():
        raise error

    return fail


def test_the_command_line_shows_the_message_word_for_word_and_ends_with_two(capsys, monkeypatch):
    monkeypatch.setattr(cli.program, "app", fail_with(TagmaskError(MESSAGE)))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", f"error: {MESSAGE}\n")


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(cli.program, "app", fail_with(KeyError("loss")))
    with pytest.raises(KeyError, match="loss"):
        cli.main()


def test_it_reaches_other_processes_whole():
    again = pickle.loads(pickle.dumps(TagmaskError(MESSAGE)))
    assert type(again) is TagmaskError
    assert str(again) == MESSAGE


def test_users_catch_it_under_the_name_of_the_package():
    assert tagmask.TagmaskError is TagmaskError
