"""How commands speak."""

import io

from rich.console import Console

from tagmask.cli.words import say, say_notes, show_table


def test_what_is_said_is_never_markup_and_never_broken():
    written = io.StringIO()
    say("masks[/v2] " + "word " * 40, Console(file=written, width=20))
    assert written.getvalue() == "masks[/v2] " + "word " * 40 + "\n"


def test_a_name_that_is_no_text_is_shown_by_its_bytes():
    written = io.StringIO()
    say("p\udcff.jpg", Console(file=written))
    assert written.getvalue() == "p\\udcff.jpg\n"


def test_notes_are_a_line_each(capsys):
    say_notes(["one", "two"])
    assert capsys.readouterr().out == "note: one\nnote: two\n"


def test_a_table_shows_its_cells_as_they_are(capsys):
    show_table(("name", "n"), [("[b]x", "1")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["name", "n"], ["[b]x", "1"]]
