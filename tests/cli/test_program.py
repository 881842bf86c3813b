"""The program: its help, its version."""

from importlib.metadata import version

import click
import pytest
import typer.main

from tagmask import cli


def commands() -> dict[str, click.Command]:
    return typer.main.get_command(cli.app).commands


def test_help_names_every_command_and_says_all_of_what_it_does(run):
    code, text = run("--help")
    flat = " ".join(text.split())
    assert code == 0
    for name, command in commands().items():
        assert f"{name} {command.help}" in flat


@pytest.mark.parametrize("name", commands())
def test_help_of_a_command_ends_with_an_example_of_it(run, name):
    code, text = run(name, "--help")
    assert code == 0
    example = text.strip().splitlines()[-1].strip()
    assert example.startswith(f"Example:  tagmask {name}")


def test_the_version_is_the_installed_one(run):
    assert run("--version") == (0, f"tagmask {version('tagmask')}\n")


def test_a_killed_loader_process_is_told_wherever_torch_says_so(run, monkeypatch):
    def killed():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(cli.program, "app", killed)
    code, text = run("run")
    assert code == 2
    assert "a loader process was killed" in text
    assert "--set workers=0" in text


def test_other_errors_are_not_hidden(monkeypatch):
    def broken():
        raise RuntimeError("the shapes are wrong")

    monkeypatch.setattr(cli.program, "app", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        cli.main()
